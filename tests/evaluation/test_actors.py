from __future__ import annotations

import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from sb3_contrib import RecurrentPPO
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    BasePolicy,
    MultiInputActorCriticPolicy,
)
from torch import nn

from sb3_integral import IntegralActorCriticPolicy
from sb3_integral.evaluation.actors import ROWS, Actor, MlpActor, PredictActor, make_actor
from sb3_integral.policies import StandardizeExtractor

VECTOR = spaces.Box(-10.0, 10.0, (5,), np.float64)
MATRIX = spaces.Box(-10.0, 10.0, (2, 3), np.float32)
DISCRETE = spaces.Discrete(4)
NARROW_BOX = spaces.Box(np.float32([-0.1, -0.2, -3.0]), np.float32([0.1, 0.3, 3.0]))
ACTIVATIONS = [nn.ReLU, nn.Tanh, nn.ELU, nn.SiLU]


def build(
    observation_space: spaces.Space[Any] = VECTOR,
    action_space: spaces.Space[Any] = DISCRETE,
    policy_class: type[ActorCriticPolicy] = ActorCriticPolicy,
    **arguments: Any,
) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        arguments.setdefault("net_arch", {"pi": [12, 9], "vf": [4]})
        policy = policy_class(observation_space, action_space, lambda _: 1e-3, **arguments)
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return policy


def observations(space: spaces.Space[Any], count: int = ROWS, seed: int = 0) -> list[Any]:
    space.seed(seed)
    return [space.sample() for _ in range(count)]


def act(actor: Actor, seen: list[Any], seeds: list[int] | None = None) -> np.ndarray[Any, Any]:
    with actor.playing(seeds or list(range(len(seen)))):
        for row, observation in enumerate(seen):
            actor.observe(row, observation)
        return np.array(actor.act()[: len(seen)])


# ---------------------------------------------------------------- a multilayer perceptron


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("action_space", [DISCRETE, NARROW_BOX], ids=["discrete", "box"])
@pytest.mark.parametrize("observation_space", [VECTOR, MATRIX], ids=["vector", "matrix"])
def test_it_acts_as_predict_does(
    observation_space: spaces.Box, action_space: spaces.Space[Any], activation: type[nn.Module]
) -> None:
    # given
    policy = build(observation_space, action_space, activation_fn=activation)
    seen = observations(observation_space)
    actor = make_actor(policy)
    assert isinstance(actor, MlpActor)
    # when
    actions = act(actor, seen)
    # then
    expected, _ = policy.predict(np.stack(seen), deterministic=True)
    assert actions.dtype == expected.dtype
    if isinstance(action_space, spaces.Discrete):
        np.testing.assert_array_equal(actions, expected)
    else:
        np.testing.assert_allclose(actions, expected, rtol=1e-5, atol=1e-6)
        assert ((actions == action_space.low) | (actions == action_space.high)).any()  # some are clipped
        assert ((actions > action_space.low) & (actions < action_space.high)).any()
    assert len(np.unique(actions, axis=0)) > 1


@given(scale=st.floats(1e-3, 1e4), seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=25)
def test_large_and_small_observations_are_acted_on_as_predict_does(scale: float, seed: int) -> None:
    for activation in ACTIVATIONS:
        policy = build(VECTOR, spaces.Box(-1e9, 1e9, (3,)), activation_fn=activation)
        seen = [scale * observation for observation in observations(VECTOR, seed=seed)]
        expected, _ = policy.predict(np.stack(seen), deterministic=True)
        size = float(np.abs(expected).max())
        np.testing.assert_allclose(act(make_actor(policy), seen), expected, rtol=1e-4, atol=1e-5 * size)


@pytest.mark.parametrize("action_space", [DISCRETE, NARROW_BOX], ids=["discrete", "box"])
@pytest.mark.parametrize("size", [12, 5, 3])
def test_a_resized_integral_policy_that_standardises_is_the_same_too(
    action_space: spaces.Space[Any], size: int
) -> None:
    # given
    policy = build(
        VECTOR,
        action_space,
        IntegralActorCriticPolicy,
        features_extractor_class=StandardizeExtractor,
        net_arch={"pi": [12, 12], "vf": []},
    )
    policy.features_extractor.fit(3.0 + 5.0 * torch.randn(100, 5, generator=torch.Generator()))
    seen = observations(VECTOR)
    # when
    actor = make_actor(policy.discretize(size))
    # then
    assert isinstance(actor, MlpActor)
    expected, _ = policy.resize(size).predict(np.stack(seen), deterministic=True)
    np.testing.assert_allclose(act(actor, seen), expected, rtol=1e-4, atol=1e-5)


def test_without_hidden_layers_it_is_one_product() -> None:
    policy = build(VECTOR, NARROW_BOX, net_arch=[])
    seen = observations(VECTOR)
    expected, _ = policy.predict(np.stack(seen), deterministic=True)
    np.testing.assert_allclose(act(make_actor(policy), seen), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("action_space", [DISCRETE, NARROW_BOX], ids=["discrete", "box"])
@pytest.mark.parametrize("deterministic", [True, False])
def test_an_episode_is_acted_in_the_same_to_the_bit_whatever_runs_beside_it(
    action_space: spaces.Space[Any], deterministic: bool
) -> None:
    # given
    seen = observations(VECTOR)
    others = [*observations(VECTOR, seed=1)[:5], *seen[5:9], *observations(VECTOR, seed=2)[9:]]
    policy = build(VECTOR, action_space)
    # when
    beside_some = act(make_actor(policy, deterministic), seen)
    beside_others = act(make_actor(policy, deterministic), others)
    # then
    np.testing.assert_array_equal(beside_some[5:9], beside_others[5:9])


def test_drawn_discrete_actions_are_as_frequent_as_the_policy_says() -> None:
    # given a batch of the same observation
    policy = build()
    (one,) = observations(VECTOR, 1)
    actor = make_actor(policy, deterministic=False)
    # when
    drawn: list[int] = []
    with actor.playing(range(ROWS)):
        for row in range(ROWS):
            actor.observe(row, 0.1 * one)
        for _ in range(400):
            drawn += list(actor.act())
    # then
    with torch.no_grad():
        expected = policy.get_distribution(torch.tensor(0.1 * one[None]).float()).distribution.probs[0]
    frequency = np.bincount(drawn, minlength=4) / len(drawn)
    assert float(expected.max()) < 0.95
    np.testing.assert_allclose(frequency, expected, atol=5 * 0.5 / np.sqrt(len(drawn)))


def test_drawn_continuous_actions_have_the_policys_mean_and_deviation() -> None:
    # given
    policy = build(VECTOR, spaces.Box(-1e6, 1e6, (3,)))
    (one,) = observations(VECTOR, 1)
    actor = make_actor(policy, deterministic=False)
    # when
    drawn: list[np.ndarray[Any, Any]] = []
    with actor.playing(range(ROWS)):
        for row in range(ROWS):
            actor.observe(row, one)
        for _ in range(400):
            drawn += list(actor.act())
    # then
    distribution = policy.get_distribution(torch.tensor(one[None]).float()).distribution
    mean, std = (part[0].detach().numpy() for part in (distribution.mean, distribution.stddev))
    assert len(set(std)) == 3
    error = 5 * std / np.sqrt(len(drawn))
    assert (np.abs(np.mean(drawn, axis=0) - mean) < error).all()
    assert (np.abs(np.std(drawn, axis=0) - std) < error).all()


def test_drawn_actions_are_clipped() -> None:
    actions = act(make_actor(build(VECTOR, NARROW_BOX), deterministic=False), observations(VECTOR))
    assert (actions >= NARROW_BOX.low).all()
    assert (actions <= NARROW_BOX.high).all()


def test_it_can_be_sent_to_another_process_without_the_policy() -> None:
    # given
    actor = make_actor(build())
    seen = observations(VECTOR)
    # when
    content = pickle.dumps(actor)
    # then
    assert b"torch" not in content
    np.testing.assert_array_equal(act(pickle.loads(content), seen), act(actor, seen))


# ---------------------------------------------------------------- every other policy


def box_policy(name: str) -> BasePolicy:
    if name == "sac":
        return SAC("MlpPolicy", "Pendulum-v1", device="cpu", seed=0, buffer_size=10).policy
    if name == "dqn":
        return DQN("MlpPolicy", "CartPole-v1", device="cpu", seed=0, buffer_size=10).policy
    if name == "gsde":
        return PPO("MlpPolicy", "Pendulum-v1", device="cpu", seed=0, use_sde=True).policy
    if name == "leaky":
        return build(activation_fn=nn.LeakyReLU)
    if name == "dict":
        space = spaces.Dict({"a": VECTOR, "b": spaces.Discrete(3)})
        return build(space, policy_class=MultiInputActorCriticPolicy)
    if name == "image":
        image = spaces.Box(0, 255, (3, 36, 36), np.uint8)
        return build(image, policy_class=ActorCriticCnnPolicy)
    if name == "discrete observations":
        return build(spaces.Discrete(6))
    assert name == "several actions"
    return build(VECTOR, spaces.MultiDiscrete([2, 3]))


DENSE = ["sac", "dqn", "gsde", "leaky", "several actions", "dict", "discrete observations"]


def stacked(seen: list[Any]) -> Any:
    """Return observations as one batch."""
    if isinstance(seen[0], dict):
        return {key: np.stack([each[key] for each in seen]) for key in seen[0]}
    return np.stack(seen)


@pytest.mark.parametrize("name", DENSE)
def test_every_dense_policy_is_computed_by_numpy(name: str) -> None:
    # given
    policy = box_policy(name)
    seen = observations(policy.observation_space)
    # when
    actor = make_actor(policy)
    actions = act(actor, seen)
    # then
    assert isinstance(actor, MlpActor)
    expected = policy.predict(stacked(seen), deterministic=True)[0]
    np.testing.assert_allclose(actions, expected, rtol=1e-5, atol=1e-5)
    assert actions.dtype == expected.dtype


def test_a_policy_of_images_is_asked_by_predict() -> None:
    # given
    policy = box_policy("image")
    seen = observations(policy.observation_space)
    # when
    actor = make_actor(policy)
    actions = act(actor, seen)
    # then
    assert isinstance(actor, PredictActor)
    np.testing.assert_array_equal(actions, policy.predict(stacked(seen), deterministic=True)[0])


def test_a_recurrent_policy_remembers_an_episode_and_forgets_it_at_the_next() -> None:
    # given
    policy = RecurrentPPO("MlpLstmPolicy", "Pendulum-v1", device="cpu", seed=0, n_steps=8).policy
    actor = make_actor(policy)
    seen = observations(policy.observation_space)
    # when
    played = []
    for _ in range(2):
        with actor.playing(range(ROWS)):
            for row, observation in enumerate(seen):
                actor.observe(row, observation)
            played.append([np.array(actor.act()) for _ in range(3)])
    # then
    state, starts, expected = None, np.ones(ROWS, dtype=bool), []
    for _ in range(3):
        actions, state = policy.predict(np.stack(seen), state, starts, deterministic=True)
        starts = np.zeros(ROWS, dtype=bool)
        expected.append(actions)
    for episode in played:
        np.testing.assert_array_equal(episode, expected)
    assert not np.array_equal(expected[0], expected[1])


def test_drawing_by_predict_is_decided_by_the_seeds_and_leaves_torchs_state_alone() -> None:
    # given
    policy = box_policy("sac")
    seen = observations(policy.observation_space)
    before = torch.random.get_rng_state()
    # when
    drawn = [act(make_actor(policy, False), seen, [seed] * ROWS) for seed in (1, 1, 2)]
    # then
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_predict_policies_are_played_in_their_environment() -> None:
    env = gym.make("CartPole-v1")
    policy = box_policy("dqn")
    action = act(make_actor(policy), [env.reset(seed=0)[0]])[0]
    assert env.action_space.contains(action)
