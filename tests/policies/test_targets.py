"""Networks that follow the actor slowly: on the same axes, and moved by the same steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from sb3_contrib import QRDQN, TQC, CrossQ
from stable_baselines3 import DDPG, DQN, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn

from sb3_integral.nn import Axis, IntegralConv2d, IntegralLinear

MakeModel = Callable[..., Any]

FOLLOWED: dict[type[BaseAlgorithm], tuple[str, str]] = {
    DQN: ("q_net", "q_net_target"),
    QRDQN: ("quantile_net", "quantile_net_target"),
    TD3: ("actor", "actor_target"),
    DDPG: ("actor", "actor_target"),
}
KINDS = [
    pytest.param(algorithm, kind, id=f"{algorithm.__name__}-{kind[8:-6]}")
    for algorithm in FOLLOWED
    for kind in ("IntegralMlpPolicy", "IntegralCnnPolicy", "IntegralMultiInputPolicy")
]
every_kind = pytest.mark.parametrize(("algorithm", "kind"), KINDS)


def make(make_model: MakeModel, algorithm: type[BaseAlgorithm], kind: str, **kwargs: Any) -> Any:
    if kind.endswith("CnnPolicy"):
        kwargs["features_extractor_kwargs"] = {"features_dim": 16}
    if kind.endswith("InputPolicy"):
        kwargs["features_extractor_kwargs"] = {"cnn_output_dim": 16}
    return make_model(algorithm, kind, **{"net_arch": [16, 12], **kwargs})


def smaller(policy: Any) -> tuple[int, ...]:
    return tuple(size // 2 for size in policy.max_sizes)


def followed(policy: Any, algorithm: type[BaseAlgorithm]) -> tuple[nn.Module, nn.Module]:
    online, target = FOLLOWED[algorithm]
    return policy.get_submodule(online), policy.get_submodule(target)


def axes_of(network: nn.Module) -> list[tuple[Axis | None, Axis | None]]:
    layers = [part for part in network.modules() if isinstance(part, IntegralLinear | IntegralConv2d)]
    return [(layer.in_axis, layer.out_axis) for layer in layers]


def tensors(model: Any, observations: Any) -> Any:
    return model.policy.obs_to_tensor(observations)[0]


@every_kind
def test_a_target_is_on_the_axes_of_what_it_follows(
    make_model: MakeModel, algorithm: type[BaseAlgorithm], kind: str
) -> None:
    # when
    policy = make(make_model, algorithm, kind).policy
    online, target = followed(policy, algorithm)
    # then
    assert online is not target
    assert axes_of(online)
    for ours, theirs in zip(axes_of(online), axes_of(target), strict=True):
        assert all(axis is other for axis, other in zip(ours, theirs, strict=True))
    on_axes = {id(axis) for pair in axes_of(online) for axis in pair if axis is not None}
    assert on_axes == {id(axis) for axis in policy.actor_axes}
    # and has parameters of its own
    mine = {id(parameter) for parameter in online.parameters()}
    assert mine.isdisjoint(id(parameter) for parameter in target.parameters())


@every_kind
def test_a_target_of_the_same_parameters_says_the_same_at_every_size(
    make_model: MakeModel, observe: Callable[..., Any], algorithm: type[BaseAlgorithm], kind: str
) -> None:
    # given
    model = make(make_model, algorithm, kind)
    online, target = followed(model.policy, algorithm)
    observations = tensors(model, observe(model))
    outputs = []
    # when
    for sizes in (model.policy.max_sizes, smaller(model.policy), (3,) * len(model.policy.sizes)):
        model.policy.resize(sizes)
        with torch.no_grad():
            outputs.append(online(observations))
            # then
            torch.testing.assert_close(target(observations), outputs[-1])
    assert not torch.allclose(outputs[0], outputs[1])


@every_kind
def test_a_discretized_target_has_the_size_of_the_actor(
    make_model: MakeModel, observe: Callable[..., Any], algorithm: type[BaseAlgorithm], kind: str
) -> None:
    # given
    model = make(make_model, algorithm, kind).learn(30)
    policy = model.policy.resize(smaller(model.policy))
    observations = tensors(model, observe(model))
    # when
    plain = policy.discretize()
    # then
    online, target = followed(plain, algorithm)
    assert [p.shape for p in online.parameters()] == [p.shape for p in target.parameters()]
    with torch.no_grad():
        for ours, theirs in zip(followed(policy, algorithm), (online, target), strict=True):
            torch.testing.assert_close(theirs(observations), ours(observations), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("is_small", [False, True])
@every_kind
def test_a_target_goes_the_same_part_of_the_way_at_every_size(
    make_model: MakeModel, algorithm: type[BaseAlgorithm], kind: str, is_small: bool
) -> None:
    # given
    arguments: dict[str, Any] = {"tau": 0.25}
    if algorithm in (DQN, QRDQN):
        arguments["target_update_interval"] = 1
    if algorithm is TD3:
        arguments["policy_delay"] = 1
    model = make(make_model, algorithm, kind, arguments=arguments).learn(20)
    if is_small:
        model.policy.resize(smaller(model.policy))
    online, target = followed(model.policy, algorithm)
    before = [parameter.detach().clone() for parameter in target.parameters()]
    # when
    if algorithm in (DQN, QRDQN):
        model._on_step()  # their targets follow with the steps in the environment
    else:
        model.train(gradient_steps=1, batch_size=8)
    # then: λ itself is averaged, every node of it
    for new, old, ours in zip(target.parameters(), before, online.parameters(), strict=True):
        torch.testing.assert_close(new, 0.75 * old + 0.25 * ours)
    assert any(not torch.equal(new, old) for new, old in zip(target.parameters(), before, strict=True))


@every_kind
def test_it_trains_at_a_reduced_size_with_a_finite_loss(
    make_model: MakeModel, algorithm: type[BaseAlgorithm], kind: str
) -> None:
    # given
    model = make(make_model, algorithm, kind)
    sizes = smaller(model.policy)
    model.policy.resize(sizes)
    online, target = followed(model.policy, algorithm)
    before = [p.detach().clone() for network in (online, target) for p in network.parameters()]
    # when
    model.learn(30)
    model.train(gradient_steps=2, batch_size=8)
    # then
    losses = {name: v for name, v in model.logger.name_to_value.items() if "loss" in name}
    assert losses
    assert all(torch.tensor(loss).isfinite() for loss in losses.values())
    assert model.policy.sizes == sizes
    after = [p.detach() for network in (online, target) for p in network.parameters()]
    assert all(parameter.isfinite().all() for parameter in after)
    # and all of λ moves: each node is read at this size
    for old, new in zip(before[: len(before) // 2], after[: len(after) // 2], strict=True):
        assert not torch.equal(old, new)


@pytest.mark.parametrize("algorithm", [SAC, TQC, CrossQ])
def test_critics_and_their_followers_keep_their_size(
    make_model: MakeModel, algorithm: type[BaseAlgorithm]
) -> None:
    # given
    model = make(make_model, algorithm, "IntegralMlpPolicy", net_arch={"pi": [16, 12], "qf": [10, 11]})
    policy = model.policy
    networks = [getattr(policy, name) for name in ("critic", "critic_target") if hasattr(policy, name)]
    observations, actions = torch.ones(3, 4), torch.zeros(3, 2)
    shapes = [[p.shape for p in network.parameters()] for network in networks]
    with torch.no_grad():
        before = [torch.stack(tuple(network(observations, actions))) for network in networks]
    # when
    policy.resize([7, 5])
    # then
    with torch.no_grad():
        after = [torch.stack(tuple(network(observations, actions))) for network in networks]
    assert all(torch.equal(new, old) for new, old in zip(after, before, strict=True))
    plain = policy.discretize()
    networks = [getattr(plain, name) for name in ("critic", "critic_target") if hasattr(policy, name)]
    assert [[p.shape for p in network.parameters()] for network in networks] == shapes
    # and they learn beside the smaller actor
    model.learn(30)
    model.train(gradient_steps=1, batch_size=8)
    losses = {name: v for name, v in model.logger.name_to_value.items() if "loss" in name}
    assert {"train/actor_loss", "train/critic_loss"} <= losses.keys()
    assert all(torch.tensor(loss).isfinite() for loss in losses.values())


@pytest.mark.parametrize("algorithm", [TD3, DDPG, SAC, TQC])
def test_a_critic_on_the_actors_extractor_and_its_target_say_the_same_at_every_size(
    make_model: MakeModel, observe: Callable[..., Any], algorithm: type[BaseAlgorithm]
) -> None:
    # given: a target that has just been brought up to date
    model = make(make_model, algorithm, "IntegralCnnPolicy", share_features_extractor=True)
    policy = model.policy
    observations, actions = tensors(model, observe(model)), torch.zeros(3, 2)
    for sizes in (policy.max_sizes, smaller(policy)):
        # when
        policy.resize(sizes)
        # then
        with torch.no_grad():
            ours = torch.stack(tuple(policy.critic(observations, actions)))
            theirs = torch.stack(tuple(policy.critic_target(observations, actions)))
        torch.testing.assert_close(theirs, ours)
