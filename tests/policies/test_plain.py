from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from gymnasium import spaces
from sb3_contrib import ARS, QRDQN, TQC, CrossQ, RecurrentPPO
from stable_baselines3 import DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch import Tensor, nn

from sb3_integral import IntegralActorCriticPolicy, ResizablePolicy
from sb3_integral.policies import StandardizeExtractor
from sb3_integral.policies.layout import NetworkLayout, dense, find_layout
from sb3_integral.policies.plain import (
    actor_parameter_count,
    build_plain_policy,
    constructor_arguments,
)

MakePolicy = Callable[..., Any]
Outputs = Callable[[ActorCriticPolicy, Tensor], Tensor]


def rebuilt(policy: ActorCriticPolicy) -> ActorCriticPolicy:
    return build_plain_policy(policy, ActorCriticPolicy, policy.state_dict())


def modules_of(policy: ActorCriticPolicy, net: NetworkLayout) -> list[nn.Linear]:
    return [dense(policy, name) for name in (*net.hidden, *net.heads)]


def test_the_dense_layers_are_read_from_first_to_last(make_policy: MakePolicy) -> None:
    # given
    policy = make_policy("box", ActorCriticPolicy)
    # when
    layout = find_layout(policy)
    actor, critic = (modules_of(policy, net) for net in (layout.actors[0], layout.critics[0]))
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
        modules_of(policy, find_layout(policy).actors[0])
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


# ---------------------------------------------------------------- counting and arguments


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        *((algorithm, "MlpPolicy") for algorithm in (DQN, QRDQN, SAC, TD3, TQC, ARS)),
        *((algorithm, "CnnPolicy") for algorithm in (DQN, SAC, TD3)),
        (CrossQ, "MlpPolicy"),
    ],
)
def test_an_actors_parameters_are_all_counted_and_one_more(
    make_model: Callable[..., Any], algorithm: type[BaseAlgorithm], kind: str
) -> None:
    # given
    model = make_model(algorithm, kind, net_arch=[16, 12])
    owner = {DQN: "q_net", QRDQN: "quantile_net", ARS: "action_net"}.get(algorithm, "actor")
    actor = model.policy.get_submodule(owner)
    # then
    count = actor_parameter_count(model.policy, model.policy.state_dict())
    assert count == sum(parameter.numel() for parameter in actor.parameters()) + 1


@pytest.mark.parametrize(("algorithm", "memory"), [(PPO, 0), (RecurrentPPO, 8)])
@pytest.mark.parametrize("shared", [True, False])
def test_of_an_on_policy_actor_the_critic_and_the_noise_are_not_counted(
    make_model: Callable[..., Any],
    stock: Callable[..., str],
    algorithm: type[BaseAlgorithm],
    memory: int,
    shared: bool,
) -> None:
    # given
    kwargs: dict[str, Any] = {"net_arch": {"pi": [16, 12], "vf": [30]}}
    if memory:
        kwargs["lstm_hidden_size"] = memory
    kind = stock(algorithm, "IntegralMlpPolicy")
    policy = make_model(algorithm, kind, share_features_extractor=shared, **kwargs).policy
    # when
    count = actor_parameter_count(policy, policy.state_dict())
    # then: of four observations and two actions, with the four gates of an LSTM between them
    lstm = 4 * memory * (4 + memory + 2)
    inputs = memory or 4
    assert count == lstm + (inputs + 1) * 16 + 17 * 12 + 13 * 2 + 1


@pytest.mark.parametrize(
    ("algorithm", "kwargs"),
    [
        (PPO, {"share_features_extractor": False}),
        (SAC, {"share_features_extractor": True, "n_critics": 3}),
        (CrossQ, {"share_features_extractor": True}),
        (TQC, {"share_features_extractor": True, "n_quantiles": 7}),
        (RecurrentPPO, {"lstm_hidden_size": 8, "n_lstm_layers": 2, "enable_critic_lstm": False}),
        (RecurrentPPO, {"lstm_hidden_size": 8, "shared_lstm": True, "enable_critic_lstm": False}),
        pytest.param(
            ARS,
            {"with_bias": False},
        ),
    ],
)
def test_a_policy_is_made_again_by_what_it_was_made_with(
    make_model: Callable[..., Any],
    stock: Callable[..., str],
    algorithm: type[BaseAlgorithm],
    kwargs: dict[str, Any],
) -> None:
    # given
    policy = make_model(algorithm, stock(algorithm, "IntegralMlpPolicy"), **kwargs).policy
    # when
    arguments = constructor_arguments(policy, type(policy))
    # then
    assert {name: arguments[name] for name in kwargs} == kwargs
    again = type(policy)(**arguments)
    assert str(again) == str(policy)
    again.load_state_dict(policy.state_dict())


def fit_extractors(policy: BasePolicy) -> None:
    """Give each of a policy's extractors statistics of its own."""
    extractors = [part for part in policy.modules() if isinstance(part, StandardizeExtractor)]
    for i, extractor in enumerate(extractors):
        generator = torch.Generator().manual_seed(i)
        extractor.fit(3.0 * torch.randn(50, 4, generator=generator) + torch.arange(4.0) * (i + 1))
    assert extractors


@pytest.mark.parametrize("kind", ["MlpPolicy", "IntegralMlpPolicy"])
@pytest.mark.parametrize(
    ("algorithm", "kwargs"),
    [
        *((algorithm, {}) for algorithm in (PPO, DQN, QRDQN, SAC, TD3, TQC)),
        (PPO, {"share_features_extractor": False}),
        *((algorithm, {"share_features_extractor": True}) for algorithm in (SAC, TD3, TQC)),
        (CrossQ, {"batch_norm": False}),
        (RecurrentPPO, {"lstm_hidden_size": 8}),
        (RecurrentPPO, {"lstm_hidden_size": 8, "enable_critic_lstm": False}),
    ],
)
def test_standardisation_is_folded_whoever_reads_it(
    make_model: Callable[..., Any],
    stock: Callable[..., str],
    head_outputs: Callable[..., Tensor],
    algorithm: type[BaseAlgorithm],
    kwargs: dict[str, Any],
    kind: str,
) -> None:
    # given
    name = kind if kind.startswith("Integral") else stock(algorithm, f"Integral{kind}")
    model = make_model(
        algorithm, name, net_arch=[8, 6], features_extractor_class=StandardizeExtractor, **kwargs
    )
    fit_extractors(model.policy)
    model.learn(30)
    policy = model.policy
    if kind.startswith("Integral"):
        plain = policy.discretize()
    else:
        plain = build_plain_policy(policy, type(policy), policy.state_dict())
    # then: actor and critic alike
    assert not any(isinstance(part, StandardizeExtractor) for part in plain.modules())
    torch.testing.assert_close(
        head_outputs(plain, model), head_outputs(policy, model), rtol=1e-4, atol=1e-5
    )
    if hasattr(policy, "critic_target"):
        observations, actions = torch.ones(3, 4), torch.zeros(3, 2)
        for critic in ("critic", "critic_target"):
            if hasattr(policy, critic):
                with torch.no_grad():
                    theirs = getattr(policy, critic).train(False)(observations, actions)
                    ours = getattr(plain, critic)(observations, actions)
                for new, old in zip(ours, theirs, strict=True):
                    torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-4)


def test_standardisation_before_a_norm_is_refused(make_model: Callable[..., Any]) -> None:
    # given
    model = make_model(CrossQ, "IntegralMlpPolicy", features_extractor_class=StandardizeExtractor)
    # then
    with pytest.raises(ValueError, match="cannot be folded into a layer that normalises"):
        model.policy.discretize(8)
