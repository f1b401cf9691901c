"""Experts in normalised environments: demonstrations are original, and statistics stay as they are."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecEnvWrapper,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
)

from sb3_integral.imitation import StudentArchitecture, collect_episodes, dagger, stream_episodes
from sb3_integral.imitation.original_env import OriginalEnv

STEPS = 6


class Counting(gym.Env[Any, Any]):
    """Observes 100 and the number of steps so far, is rewarded by 7, and ends after so many steps."""

    def __init__(self) -> None:
        self.observation_space: Any = spaces.Box(0, 300, (2,), np.float32)
        self.action_space = spaces.Discrete(2)

    def observe(self) -> Any:
        return np.array([100, 100 + self.count], np.float32)

    def reset(self, **_: Any) -> Any:
        self.count = 0
        return self.observe(), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        return self.observe(), 7.0, self.count == STEPS, False, {}


EPISODE = np.array([[100, 100 + count] for count in range(STEPS + 1)], np.float32)


def make(n_envs: int = 2) -> DummyVecEnv:
    return DummyVecEnv([Counting] * n_envs)


def used(venv: VecNormalize) -> VecNormalize:
    """Give it statistics, as training does."""
    venv.reset()
    for _ in range(2 * STEPS + 1):
        venv.step(np.zeros(venv.num_envs, dtype=int))
    return venv


def state(venv: VecNormalize) -> dict[str, Any]:
    names = ("training", "returns", "old_obs", "old_reward", "obs_rms", "ret_rms", "venv")
    found = {name: copy.copy(vars(venv).get(name)) for name in names}
    rms = [
        None if r is None else (r.mean.copy(), r.var.copy(), r.count)
        for r in (found["obs_rms"], found["ret_rms"])
    ]
    return {**found, "obs_rms": rms[0], "ret_rms": rms[1], "venv": id(venv.venv)}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    for name, value in one.items():
        np.testing.assert_equal(other[name], value, err_msg=name)


class Seeing:
    """An expert that remembers what it is shown."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def __call__(self, observations: Any, state: Any, dones: Any) -> tuple[np.ndarray, None]:
        self.seen.append(np.array(observations))
        return np.zeros(len(observations), dtype=np.int64), None


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm_obs", [True, False])
def test_episodes_are_original_and_the_statistics_stay(training: bool, norm_obs: bool) -> None:
    # given
    venv = used(VecNormalize(make(), norm_obs=norm_obs))
    venv.training = training
    before, expert = state(venv), Seeing()

    # when
    episodes = collect_episodes(expert, venv, 5, np.random.default_rng(0))

    # then the last observation is original too, which VecNormalize overwrites
    for episode in episodes:
        np.testing.assert_array_equal(episode.obs, EPISODE)
        np.testing.assert_array_equal(episode.rews, [7.0] * STEPS)
    assert_same(before, state(venv))
    # and the expert was shown what it was trained on
    expected = venv.normalize_obs(EPISODE[:1])
    np.testing.assert_allclose(expert.seen[0][:1], expected, rtol=1e-6)


def test_a_fresh_normaliser_is_left_fresh() -> None:
    venv = VecNormalize(make())
    before = set(vars(venv))
    collect_episodes(Seeing(), venv, 1, np.random.default_rng(0))
    assert set(vars(venv)) == before
    assert venv.obs_rms.count < 1


def test_statistics_may_change_between_the_episodes_of_a_stream() -> None:
    # given a stream of which one episode was taken
    venv = used(VecNormalize(make()))
    episodes = stream_episodes(Seeing(), venv, 150, np.random.default_rng(0))
    next(episodes)
    # when its user goes on training
    assert venv.training
    used(venv)
    before = state(venv)
    rest = list(episodes)
    # then
    assert len(rest) == 149
    assert_same(before, state(venv))
    np.testing.assert_array_equal(rest[-1].obs, EPISODE)


def test_stacked_frames_above_a_normaliser_are_original() -> None:
    # given two frames of normalised observations, and the same of original ones
    venv = VecMonitor(VecFrameStack(used(VecNormalize(make())), 2))
    plain = VecFrameStack(make(), 2)
    # when
    ours, expected = (
        collect_episodes(Seeing(), each, 3, np.random.default_rng(0))[0] for each in (venv, plain)
    )
    # then
    np.testing.assert_array_equal(ours.obs, expected.obs)
    assert ours.obs.shape == (STEPS + 1, 4)


def test_two_normalisers_are_undone() -> None:
    venv = VecNormalize(VecFrameStack(used(VecNormalize(make())), 3))
    episode = collect_episodes(Seeing(), venv, 1, np.random.default_rng(0))[0]
    np.testing.assert_array_equal(episode.obs[:, -2:], EPISODE)
    np.testing.assert_array_equal(episode.rews, [7.0] * STEPS)


def test_dictionaries_are_original() -> None:
    # given
    venv = VecFrameStack(VecNormalize(DummyVecEnv([DictOfBoxes]), norm_obs_keys=["a"]), 2)
    # when
    episode = collect_episodes(_push_dict, venv, 1, np.random.default_rng(0))[0]
    # then
    np.testing.assert_array_equal(episode.obs.get("a")[:, 2:], EPISODE)
    np.testing.assert_array_equal(episode.obs.get("b")[:, 1:], EPISODE[:, :1])


class DictOfBoxes(Counting):
    def __init__(self) -> None:
        super().__init__()
        box = self.observation_space
        self.observation_space = spaces.Dict({"a": box, "b": spaces.Box(0, 300, (1,), np.float32)})

    def observe(self) -> Any:
        box = super().observe()
        return {"a": box, "b": box[:1]}


def _push_dict(observations: Any, state: Any, dones: Any) -> tuple[np.ndarray, None]:
    return np.zeros(len(observations["a"]), dtype=np.int64), None


def test_normalised_episodes_are_there_for_the_asking() -> None:
    venv = used(VecNormalize(make()))
    before = state(venv)
    rng = np.random.default_rng(0)
    episode = collect_episodes(Seeing(), venv, 1, rng, normalized=True)[0]
    np.testing.assert_allclose(episode.obs, venv.normalize_obs(EPISODE), rtol=1e-6)
    np.testing.assert_array_equal(episode.rews, [7.0] * STEPS)
    assert_same(before, state(venv))


def test_an_unknown_wrapper_around_a_normaliser_is_refused() -> None:
    class Doubling(VecEnvWrapper):
        def reset(self) -> Any:
            return 2 * self.venv.reset()

        def step_wait(self) -> Any:
            return self.venv.step_wait()

    with pytest.raises(ValueError, match="Doubling is wrapped around VecNormalize"):
        OriginalEnv(Doubling(VecNormalize(make())))
    # where observations are not normalised, it does no harm
    OriginalEnv(Doubling(VecNormalize(make(), norm_obs=False)))


@pytest.mark.parametrize("wrapper", [gym.wrappers.NormalizeObservation, gym.wrappers.NormalizeReward])
def test_normalisation_by_gymnasium_is_refused(wrapper: Any) -> None:
    venv = DummyVecEnv([lambda: wrapper(Counting())])
    with pytest.raises(ValueError, match=f"Gymnasium's {wrapper.__name__}"):
        stream_episodes(Seeing(), venv, 1, np.random.default_rng(0))


def test_an_expert_of_a_normalised_environment_is_refused_in_another() -> None:
    expert = PPO("MlpPolicy", VecNormalize(make()), n_steps=8, batch_size=8, seed=0)
    with pytest.raises(ValueError, match="observations that VecNormalize normalised"):
        collect_episodes(expert, make(), 1, np.random.default_rng(0))
    only_rewards = PPO("MlpPolicy", VecNormalize(make(), norm_obs=False), n_steps=8, batch_size=8)
    assert len(collect_episodes(only_rewards, make(), 1, np.random.default_rng(0))) == 1


def test_dagger_labels_original_observations() -> None:
    # given
    venv = used(VecNormalize(make(1)))
    before, expert = state(venv), Seeing()
    student = StudentArchitecture("plain", (8,)).build(venv.observation_space, venv.action_space, seed=0)
    # when
    result = dagger(student, expert, venv, 4 * STEPS, n_rounds=2, epochs_per_round=1, n_epochs=1)
    # then
    observations = result.demonstrations.observations.numpy()
    np.testing.assert_array_equal(observations, np.tile(EPISODE[:-1], (4, 1)))
    assert_same(before, state(venv))
    assert max(np.abs(seen).max() for seen in expert.seen) <= 10
