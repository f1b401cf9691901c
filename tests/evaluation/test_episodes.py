from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_integral.evaluation.actors import ROWS
from sb3_integral.evaluation.environments import env_factory, open_environments
from sb3_integral.evaluation.episodes import (
    blocks,
    episode_seeds,
    play,
)


class Pusher:
    """Pushes the cart to one side in some rows, to the other in the rest, and notes what it saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, np.ndarray[Any, Any]]] = []

    def playing(self, seeds: Sequence[int]) -> AbstractContextManager[None]:
        return nullcontext()

    def observe(self, row: int, observation: np.ndarray[Any, Any]) -> None:
        self.seen.append((row, observation))

    def act(self) -> np.ndarray[Any, Any]:
        return np.arange(ROWS) % 2


def test_episodes_are_those_of_an_environment_stepped_alone() -> None:
    # given
    seeds, actor = [11, 12, 13, 14], Pusher()
    # when
    with open_environments(env_factory("CartPole-v1"), 4) as envs:
        episodes = play(actor, envs, seeds)
    # then
    env = gym.make("CartPole-v1")
    for row, (seed, episode) in enumerate(zip(seeds, episodes, strict=True)):
        seen, rewards, over = [env.reset(seed=seed)[0]], [], False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(row % 2)
            seen.append(observation)
            rewards.append(reward)
            over = terminated or truncated
        assert episode == (sum(rewards), len(rewards))
        np.testing.assert_array_equal([o for r, o in actor.seen if r == row], seen)
    assert len({episode.length for episode in episodes}) > 1  # the others go on when one has ended


def test_the_time_limit_ends_an_episode() -> None:
    with open_environments(lambda: gym.make("MountainCar-v0", max_episode_steps=7), 2) as envs:
        assert play(Pusher(), envs, [0, 1]) == [(-7.0, 7), (-7.0, 7)]


@given(st.integers(0, 2**40), st.integers(1, 100), st.integers(1, 100))
def test_seeds_differ_and_those_of_fewer_episodes_come_first(seed: int, few: int, more: int) -> None:
    fewer, all_seeds = episode_seeds(seed, min(few, more)), episode_seeds(seed, max(few, more))
    assert all_seeds[: len(fewer)] == fewer
    assert len(set(all_seeds)) == len(all_seeds)
    assert all(0 <= each < 2**32 for each in all_seeds)


def test_no_seed_is_a_new_one_each_time() -> None:
    assert episode_seeds(None, 3) != episode_seeds(None, 3)
    assert episode_seeds(1, 3) != episode_seeds(2, 3)


@given(st.integers(1, 100))
def test_an_episode_always_has_the_same_row(count: int) -> None:
    shares = blocks(range(count))
    assert [seed for share in shares for seed in share] == list(range(count))
    assert all(seed % ROWS == row for share in shares for row, seed in enumerate(share))


def test_environments_are_closed_also_where_making_one_fails() -> None:
    # given
    closed: list[int] = []

    class Closable(gym.Wrapper[Any, Any, Any, Any]):
        def close(self) -> None:
            closed.append(1)
            super().close()

    made = 0

    def make() -> gym.Env[Any, Any]:
        nonlocal made
        made += 1
        if made == 3:
            raise RuntimeError("no more")
        return Closable(gym.make("CartPole-v1"))

    # when
    with pytest.raises(RuntimeError, match="no more"), open_environments(make, 4):
        pass
    # then
    assert len(closed) == 2


@pytest.mark.parametrize("env_id", ["Nowhere-v0", "CartPole-v77", "", "a b"])
def test_an_unknown_id_is_an_error_that_names_it(env_id: str) -> None:
    with pytest.raises(
        ValueError, match="env must be an environment, its id or what makes one"
    ) as error:
        env_factory(env_id)
    assert repr(env_id) in str(error.value)
