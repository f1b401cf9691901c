from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import sb3_contrib
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3 import DQN, PPO, SAC, TD3
from torch import nn

import sb3_integral
from sb3_integral.actor import NumpyActor, actor_spec, quickest_actor

ACTIONS: dict[str, spaces.Space[Any]] = {
    "box": spaces.Box(-0.5, 1.5, (2, 2), np.float32),
    "discrete": spaces.Discrete(4),
    "multi-discrete": spaces.MultiDiscrete([2, 3]),
    "multi-binary": spaces.MultiBinary(3),
}


class Spaces(gym.Env[Any, Any]):
    def __init__(self, actions: str) -> None:
        self.observation_space = spaces.Box(-5.0, 5.0, (3, 2), np.float64)
        self.action_space = ACTIONS[actions]


CASES = [
    *[(PPO, actions, {"activation_fn": act}) for actions in ACTIONS for act in (nn.Tanh, nn.ReLU)],
    (PPO, "box", {"use_sde": True, "squash_output": True, "activation_fn": nn.SiLU}),
    (SAC, "box", {"use_sde": True}),
    (SAC, "box", {}),
    (TD3, "box", {"activation_fn": nn.Sigmoid}),
    (DQN, "discrete", {}),
    (sb3_contrib.TQC, "box", {}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0].__name__}-{case[1]}-{case[2]}")
@pytest.mark.parametrize("size", [6, 9, 16])
def test_actions_are_those_of_predict(case, size):
    # Given
    algorithm, actions, arguments = case
    arguments = dict(arguments)
    options = {"use_sde": arguments.pop("use_sde", False)} if algorithm in (PPO, SAC) else {}
    model = algorithm(
        "IntegralMlpPolicy", Spaces(actions), policy_kwargs={"net_arch": [16, 12], **arguments},
        seed=0, device="cpu", **options,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    for parameter in model.policy.parameters():
        parameter.data.add_(0.5 * torch.randn(parameter.shape, generator=generator))
    policy = model.policy.discretize(size)
    observations = np.random.default_rng(0).normal(size=(64, 3, 2))

    # When
    actor = quickest_actor(policy)

    # Then
    assert isinstance(actor, NumpyActor)
    expected, _ = policy.predict(observations, deterministic=True)
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(actor(observations), expected, atol=1e-5)
    single, _ = policy.predict(observations[0], deterministic=True)
    found = actor(observations[0])
    assert found.shape == single.shape
    np.testing.assert_allclose(found, single, atol=1e-5)


@given(batch=st.integers(1, 5), seed=st.integers(0, 1000))
def test_the_argument_is_left_alone(make_policy, batch, seed):
    actor = NumpyActor(actor_spec(make_policy("box"), 5))
    observations = np.random.default_rng(seed).normal(size=(batch, 5)).astype(np.float32)
    before = observations.copy()
    first = actor(observations)
    again = actor(observations)
    np.testing.assert_array_equal(observations, before)
    np.testing.assert_array_equal(first, again)


def test_a_standardising_student_acts_on_raw_observations(make_policy):
    policy = make_policy("box", features_extractor_class=sb3_integral.policies.StandardizeExtractor)
    policy.features_extractor.fit(7.0 + 3.0 * torch.randn(100, 5))
    observations = np.random.default_rng(0).normal(7.0, 3.0, (20, 5)).astype(np.float32)
    expected, _ = policy.predict(observations, deterministic=True)
    found = quickest_actor(policy.discretize())(observations)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("algorithm", [sb3_contrib.CrossQ, sb3_contrib.QRDQN])
def test_what_the_next_layer_can_absorb_is_computed_too(algorithm, enlarge):
    actions = "box" if algorithm is sb3_contrib.CrossQ else "discrete"
    policy = algorithm("IntegralMlpPolicy", Spaces(actions), device="cpu", buffer_size=10).policy
    enlarge(policy)
    policy = policy.discretize(8)
    observations = np.random.default_rng(0).normal(size=(4, 3, 2))
    actor = quickest_actor(policy)
    assert isinstance(actor, NumpyActor)
    expected = policy.predict(observations, deterministic=True)[0]
    np.testing.assert_allclose(actor(observations), expected, atol=1e-5)


class Wave(nn.ReLU):
    """An activation that only its own class knows, though it is a kind of another one."""

    def forward(self, x):
        return torch.sin(x)


def test_an_unknown_activation_is_left_to_predict(make_policy):
    policy = make_policy(activation_fn=Wave).discretize()
    with pytest.raises(ValueError, match="known activations, got Wave"):
        NumpyActor(actor_spec(policy))
    actor = quickest_actor(policy)
    assert not isinstance(actor, NumpyActor)
    observation = np.linspace(-2.0, 2.0, 5, dtype=np.float32)
    np.testing.assert_array_equal(actor(observation), policy.predict(observation, deterministic=True)[0])


def test_images_are_left_to_predict():
    from stable_baselines3.common.envs import FakeImageEnv

    policy = PPO("MlpPolicy", FakeImageEnv()).policy
    with pytest.raises(ValueError, match="no images"):
        NumpyActor(actor_spec(policy))
    assert not isinstance(quickest_actor(policy), NumpyActor)


def test_a_recurrent_policy_is_refused():
    policy = sb3_contrib.RecurrentPPO("IntegralMlpPolicy", Spaces("discrete")).policy
    with pytest.raises(ValueError, match="is recurrent, expected a policy without memory"):
        quickest_actor(policy.discretize())
