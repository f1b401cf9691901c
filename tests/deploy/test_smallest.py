from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_integral.deploy.smallest import smallest_size
from sb3_integral.policies import IntegralActorCriticPolicy


class OneStep(gym.Env[Any, Any]):
    """Episodes of one step, whose return is what the policy says of its own size, with noise."""

    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = spaces.Box(-100.0, 100.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        value = float(np.clip(action[0] + 5.0 * self.np_random.normal(), -100.0, 100.0))
        return np.zeros(1, np.float32), value, True, False, {}


class Unrelated(OneStep):
    """Episodes whose noise has nothing to do with their seed."""

    noise = np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=int(self.noise.integers(2**31)))


class SaysItsSize(IntegralActorCriticPolicy):
    """A policy whose return is 50, but 2 less for each neuron that is missing below 12."""

    def predict(self, observation: Any, *_: Any, **__: Any) -> Any:
        missing = max(0, 12 - self.sizes[0])
        return np.full((len(observation), 1), 50.0 - 2.0 * missing, np.float32), None


@pytest.fixture(scope="module")
def policy() -> SaysItsSize:
    arch = {"pi": [32, 32], "vf": []}
    return SaysItsSize(OneStep.observation_space, OneStep.action_space, lambda _: 0.0, net_arch=arch)


@pytest.fixture(scope="module")
def venv() -> Any:
    return make_vec_env(OneStep, 8, seed=0)


@pytest.mark.parametrize("return_range", [None, (-100.0, 100.0)])
def test_it_finds_the_smallest_size(policy, venv, return_range):
    # Given that 7 neurons lose 10 and 4 lose 16
    sizes = [2, 4, 7, 10, 12, 16, 24]
    # When
    found = smallest_size(policy, venv, 13.0, return_range=return_range, sizes=sizes, max_episodes=2000)
    # Then
    assert found.sizes == (7, 7)
    tried = {trial.sizes[0]: trial.verdict for trial in found.trials}
    assert tried == {7: "within", 4: "degraded", 10: "within"} or set(tried) <= set(sizes)
    assert tried[7] == "within"
    assert tried[4] == "degraded"
    assert found.episodes == found.full.episodes + sum(one.episodes for one in found.trials)
    assert abs(found.full.mean_return - 50.0) < 3.0
    assert found.is_certain
    assert policy.sizes == (32, 32)


def test_episodes_are_spent_where_it_is_undecided(policy):
    env = make_vec_env(Unrelated, 8)
    found = smallest_size(policy, env, 13.0, sizes=[2, 7, 24], max_episodes=1000, seed=1)
    spent = {trial.sizes[0]: trial.episodes for trial in found.trials}
    assert spent[7] > spent[2]


@pytest.mark.parametrize("kind", ["vectorised", "environment", "few environments"])
def test_sizes_meet_the_same_episodes(policy, kind):
    # Given noise that is the episode's, not the policy's
    envs = {"vectorised": make_vec_env(OneStep, 8), "few environments": make_vec_env(OneStep, 3)}
    # When
    found = smallest_size(policy, envs.get(kind) or OneStep(), 13.0, sizes=[4, 7], seed=3)
    # Then it cancels, and the first episodes on which is bet decide
    assert found.sizes == (7, 7)
    assert all(trial.episodes <= 16 for trial in found.trials)
    losses = {trial.sizes: trial.loss for trial in found.trials}
    assert losses == {(4, 4): pytest.approx(16), (7, 7): pytest.approx(10)}
    assert found.is_certain


def test_by_default_every_size_is_a_candidate(policy, venv):
    trials = []
    found = smallest_size(policy, venv, 11.0, max_episodes=2000, on_trial_end=trials.append)
    assert found.sizes == (7, 7)
    assert tuple(trials) == found.trials
    assert len(trials) == 5


@pytest.mark.parametrize(
    ("tolerance", "verdict", "sizes"),
    [(11.0, "probably within", (7, 7)), (9.0, "probably degraded", (32, 32))],
)
def test_what_stays_undecided_is_settled_by_the_means(policy, venv, tolerance, verdict, sizes):
    # Given a size that loses 10, and a test that is never sure
    found = smallest_size(
        policy, venv, tolerance, sizes=[7], max_episodes=250, return_range=(-5000.0, 5000.0)
    )
    # Then
    assert found.trials[0].verdict == verdict
    assert found.trials[0].episodes == 250
    assert found.sizes == sizes
    assert not found.is_certain


def test_the_same_seed_gives_the_same_answer(policy, venv):
    first, again = (smallest_size(policy, venv, 13.0, sizes=[2, 7], seed=5) for _ in range(2))
    assert first == again


def test_a_real_environment_is_searched(make_policy):
    from stable_baselines3 import PPO

    model = PPO("IntegralMlpPolicy", "CartPole-v1", seed=0)
    found = smallest_size(
        model.policy, gym.make("CartPole-v1"), 400.0, return_range=(0, 500), sizes=[32], max_episodes=16
    )
    assert found.trials[0].episodes <= 16
    assert found.sizes in {(32, 32), (64, 64)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"tolerance": 0.0}, "tolerance must be a positive number, got 0.0"),
        ({"confidence": 1.0}, "confidence must be between 0 and 1, got 1.0"),
        ({"max_episodes": 0}, "max_episodes must be an integer of at least 1, got 0"),
        ({"sizes": [0]}, "sizes must be an integer of at least 1, got 0"),
        ({"sizes": [64]}, r"above the full size \(32, 32\), got \(64, 64\)"),
        ({"return_range": (1.0, 0.0)}, "must ascend"),
        ({"return_range": (0.0, 10.0)}, "expected returns from 0.0 to 10.0"),
    ],
)
def test_wrong_arguments_are_refused(policy, venv, arguments, said):
    with pytest.raises(ValueError, match=said):
        smallest_size(policy, venv, **{"tolerance": 5.0, **arguments})


def test_another_policy_or_environment_is_refused(policy, make_policy):
    with pytest.raises(ValueError, match="cannot be resized"):
        smallest_size(make_policy(policy_class=ActorCriticPolicy), OneStep(), 5.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="observation_space"):
        smallest_size(policy, gym.make("Pendulum-v1"), 5.0)
