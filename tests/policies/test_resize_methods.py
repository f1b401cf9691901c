"""Every named way to resize, in a policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3 import SAC
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from sb3_integral import ResizablePolicy
from sb3_integral.policies import StandardizeExtractor
from sb3_integral.policies.layout import dense, find_layout
from sb3_integral.resize import RESIZE_METHODS, DenseLayer, Pruning, activation_influence

MakePolicy = Callable[..., Any]
Outputs = Callable[[ActorCriticPolicy, Tensor], Tensor]

FULL = 6 * 16 + 17 * 12 + 13 * 2
"""Parameters of an actor from 5 observations over 16 and 12 neurons to 2 actions."""


def layers(policy: ActorCriticPolicy) -> list[DenseLayer]:
    net = find_layout(policy).actors[0]
    modules = [dense(policy, name) for name in (*net.hidden, *net.heads)]
    return [DenseLayer(module.weight.detach(), module.bias.detach()) for module in modules]


@pytest.mark.parametrize("method", sorted(RESIZE_METHODS))
def test_every_baseline_is_the_policy_at_full_size_and_acts_at_others(
    make_policy: MakePolicy, outputs: Outputs, observations: Tensor, method: str
) -> None:
    # given
    policy = make_policy("box", ActorCriticPolicy)
    # when
    resizable = ResizablePolicy(policy, method, observations.numpy())
    # then
    assert torch.equal(outputs(resizable.policy, observations), outputs(policy, observations))
    assert resizable.compression() == 0.0
    # and when
    resizable.resize([7, 6])
    # then
    actions, _ = resizable.predict(observations.numpy(), deterministic=True)
    assert all(policy.action_space.contains(action) for action in actions)
    assert not torch.equal(outputs(resizable.policy, observations), outputs(policy, observations))
    assert resizable.compression([7, 6]) == resizable.compression() > 40.0
    assert resizable.sizes == (7, 6)


def test_svd_keeps_the_neurons_and_counts_its_factors(make_policy: MakePolicy) -> None:
    # given 5 x 16 x 12 x 2, whose layers have 80, 192 and 24 weights and 30 biases
    resizable = ResizablePolicy(make_policy("box", ActorCriticPolicy), "svd")
    # when the 8 x 8 network has 48 + 72 + 18 parameters: 108 for weights
    small = resizable.discretize(8)
    # then what is left of them buys no further rank, of which the cheapest costs 21
    ranks = [int(torch.linalg.matrix_rank(layer.weight, rtol=1e-5)) for layer in layers(small)]
    cost = sum(
        min(rank * sum(layer.weight.shape), layer.weight.numel())
        for rank, layer in zip(ranks, layers(small), strict=True)
    )
    assert [tuple(layer.weight.shape) for layer in layers(small)] == [(16, 5), (12, 16), (2, 12)]
    assert cost <= 108
    assert 108 - cost < 21
    # with the one parameter that has no size
    assert resizable.compression(8) == pytest.approx(100 * (1 - (cost + 30 + 1) / (FULL + 1)))
    assert resizable.compression(8) >= ResizablePolicy(resizable.full_policy).compression(8)


def test_below_rank_one_it_says_how_little_was_removed(make_policy: MakePolicy) -> None:
    # given
    resizable = ResizablePolicy(make_policy("box", ActorCriticPolicy), "svd")
    # then three ranks of one are more than the network of one neuron in each layer
    kept = (16 + 5) + (12 + 16) + (2 + 12) + 30 + 1
    assert resizable.compression(1) == pytest.approx(100 * (1 - kept / (FULL + 1)))
    assert resizable.compression(1) < ResizablePolicy(resizable.full_policy).compression(1)


def test_observations_are_standardised_before_a_method_looks_at_them(
    make_policy: MakePolicy, outputs: Outputs
) -> None:
    # given a policy that standardises what it sees
    policy = make_policy(
        "box",
        ActorCriticPolicy,
        features_extractor_class=StandardizeExtractor,
        activation_fn=torch.nn.Tanh,
    )
    seen = 3.0 + 2.0 * torch.randn(50, 5, generator=torch.Generator().manual_seed(2))
    policy.features_extractor.fit(seen)
    # when
    resizable = ResizablePolicy(policy, "prune-activations", seen.numpy()).resize(4)
    # then
    inputs = policy.features_extractor(seen)
    expected = Pruning(activation_influence, inputs, torch.tanh)(layers(policy), (4, 4))
    got = ResizablePolicy(policy, lambda *_: expected).resize(4)
    torch.testing.assert_close(outputs(resizable.policy, seen), outputs(got.policy, seen))
    raw = Pruning(activation_influence, seen, torch.tanh)(layers(policy), (4, 4))
    assert not torch.allclose(raw[0].weight, expected[0].weight)


def test_a_method_that_looks_at_observations_asks_for_them(make_policy: MakePolicy) -> None:
    policy = make_policy("box", ActorCriticPolicy)
    with pytest.raises(ValueError, match="needs observations"):
        ResizablePolicy(policy, "prune-activations")
    with pytest.raises(ValueError, match="finite numbers only"):
        ResizablePolicy(policy, "prune-activations", np.full((3, 5), np.nan, dtype=np.float32))


def test_sac_is_pruned_by_activations_and_a_memory_is_refused() -> None:
    # given
    model = SAC("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [16, 12]}, buffer_size=10)
    seen = np.stack([model.observation_space.sample() for _ in range(20)])
    # when
    resizable = ResizablePolicy(model.policy, "prune-activations", seen).resize(5)
    # then
    assert resizable.compression() > 0
    assert model.action_space.contains(resizable.predict(seen[0], deterministic=True)[0])
    # and where the first layer reads a memory
    recurrent = RecurrentPPO("MlpLstmPolicy", "CartPole-v1", n_steps=8, batch_size=8)
    with pytest.raises(ValueError, match="does not follow from observations alone"):
        ResizablePolicy(recurrent.policy, "prune-activations", np.zeros((3, 4), dtype=np.float32))
