from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from sb3_integral import IntegralActorCriticPolicy, ResizablePolicy
from sb3_integral.policies.anatomy import Net, dense, dissect
from sb3_integral.policies.plain import build_plain_policy

MakePolicy = Callable[..., Any]
Outputs = Callable[[ActorCriticPolicy, Tensor], Tensor]


def rebuilt(policy: ActorCriticPolicy) -> ActorCriticPolicy:
    return build_plain_policy(policy, ActorCriticPolicy, policy.state_dict())


def modules_of(policy: ActorCriticPolicy, net: Net) -> list[nn.Linear]:
    return [dense(policy, name) for name in (*net.hidden, *net.heads)]


def test_the_dense_layers_are_read_from_first_to_last(make_policy: MakePolicy) -> None:
    # given
    policy = make_policy("box", ActorCriticPolicy)
    # when
    anatomy = dissect(policy)
    actor, critic = (modules_of(policy, net) for net in (anatomy.actors[0], anatomy.critics[0]))
    # then
    assert [(m.in_features, m.out_features) for m in actor] == [(5, 16), (16, 12), (12, 2)]
    assert [(m.in_features, m.out_features) for m in critic] == [(5, 10), (10, 1)]
    assert actor[-1] is policy.action_net
    assert critic[-1] is policy.value_net


def test_an_output_that_is_not_dense_is_refused(make_policy: MakePolicy) -> None:
    # given
    policy = make_policy("discrete", ActorCriticPolicy)
    policy.action_net = nn.Sequential(nn.Linear(12, 3), nn.Tanh())
    # when / then
    with pytest.raises(ValueError, match=r"dense layer at action_net, got Sequential"):
        modules_of(policy, dissect(policy).actors[0])
    with pytest.raises(ValueError, match=r"dense layer at action_net, got Sequential"):
        ResizablePolicy(policy)


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"activation_fn": nn.ReLU},
        {"share_features_extractor": False},
        {"log_std_init": -2.0},
        {"ortho_init": False},
        {"optimizer_class": torch.optim.SGD, "optimizer_kwargs": {"momentum": 0.5}},
    ],
    ids=str,
)
@pytest.mark.parametrize("actions", ["discrete", "box"])
def test_a_rebuilt_policy_says_the_same_and_is_built_alike(
    make_policy: MakePolicy,
    outputs: Outputs,
    observations: Tensor,
    actions: str,
    kwargs: dict[str, Any],
) -> None:
    # given
    policy = make_policy(actions, ActorCriticPolicy, **kwargs)
    # when
    plain = rebuilt(policy)
    # then
    assert torch.equal(outputs(plain, observations), outputs(policy, observations))
    assert str(plain) == str(policy)
    assert (plain.observation_space, plain.action_space) == (
        policy.observation_space,
        policy.action_space,
    )
    assert type(plain.optimizer) is type(policy.optimizer)
    assert plain.share_features_extractor == policy.share_features_extractor


def test_a_rebuilt_policy_has_parameters_of_its_own_and_can_learn(make_policy: MakePolicy) -> None:
    # given
    policy = make_policy("box", ActorCriticPolicy)
    # when
    plain = rebuilt(policy)
    # then
    mine = {parameter.data_ptr() for parameter in policy.parameters()}
    assert mine.isdisjoint(parameter.data_ptr() for parameter in plain.parameters())
    assert all(parameter.requires_grad for parameter in plain.parameters())
    assert not plain.training
    held = [id(p) for group in plain.optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in plain.parameters())


@pytest.mark.parametrize(
    "space",
    [spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(4)],
    ids=str,
)
def test_every_action_space_of_sb3_comes_through(observations: Tensor, space: spaces.Space[Any]) -> None:
    # given
    policy = IntegralActorCriticPolicy(
        spaces.Box(-10, 10, (5,)), space, lambda _: 1e-3, net_arch=[8, 8], ortho_init=False
    ).resize(5)
    actions = torch.as_tensor(policy.predict(observations.numpy(), deterministic=True)[0])
    # when
    plain = policy.discretize()
    # then
    for ours, theirs in zip(
        policy.evaluate_actions(observations, actions),
        plain.evaluate_actions(observations, actions),
        strict=True,
    ):
        torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)


def test_dictionaries_of_observations_come_through() -> None:
    # given
    from stable_baselines3.common.torch_layers import CombinedExtractor

    space = spaces.Dict({"a": spaces.Box(-1, 1, (3,)), "b": spaces.Discrete(4)})
    policy = IntegralActorCriticPolicy(
        space,
        spaces.Box(-1, 1, (2,)),
        lambda _: 1e-3,
        net_arch=[8],
        features_extractor_class=CombinedExtractor,
        ortho_init=False,
    ).resize(5)
    observation = space.sample()
    # when
    plain = policy.discretize()
    # then
    ours, _ = policy.predict(observation, deterministic=True)
    theirs, _ = plain.predict(observation, deterministic=True)
    assert theirs == pytest.approx(ours, abs=1e-5)
