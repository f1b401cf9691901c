from __future__ import annotations

import itertools
import weakref
from typing import Any

import numpy as np
import pytest
from imitation.data import serialize
from imitation.data.types import TrajectoryWithRew
from stable_baselines3.common.env_util import make_vec_env

from sb3_integral.imitation import (
    SUCCESS_CRITERIA,
    MinReturn,
    collect_episodes,
    load_demonstrations,
    save_episodes,
    stream_episodes,
)
from sb3_integral.imitation.episode_files import SHARD_EPISODES

N_ENVS = 4
MANY = 2 * SHARD_EPISODES + 10


def push_left(observation: np.ndarray, state: Any, dones: Any) -> tuple[np.ndarray, None]:
    return np.zeros(len(observation), dtype=np.int64), None


def stream(n_episodes: int, seed: int = 0, **arguments: Any) -> Any:
    venv = make_vec_env("CartPole-v1", N_ENVS, seed=seed)
    return stream_episodes(push_left, venv, n_episodes, np.random.default_rng(seed), **arguments)


@pytest.mark.parametrize("n_episodes", [1, SHARD_EPISODES, MANY])
def test_as_many_episodes_come_as_are_wanted(n_episodes: int) -> None:
    told: list[int] = []
    episodes = list(stream(n_episodes, on_episode_end=told.append))
    assert len(episodes) == n_episodes
    assert all(episode.infos is None for episode in episodes)
    assert told == sorted(told)
    assert told[-1] == n_episodes
    # No episode comes twice.
    assert len({episode.obs[:2].tobytes() for episode in episodes}) == n_episodes


def test_no_more_than_some_episodes_are_ever_in_memory(tmp_path) -> None:
    # given a criterion that counts the episodes that it saw and that are still there
    seen: list[weakref.ref[TrajectoryWithRew]] = []
    most = 0

    def count(episode: TrajectoryWithRew) -> bool:
        nonlocal most
        seen[:] = [ref for ref in seen if ref() is not None and ref() is not episode]
        seen.append(weakref.ref(episode))
        most = max(most, len(seen))
        return len(episode) != 9

    # when
    save_episodes(stream(MANY, success=count), tmp_path / "episodes")

    # then
    assert SHARD_EPISODES <= most <= SHARD_EPISODES + N_ENVS
    assert len(serialize.load(tmp_path / "episodes")) == MANY


def test_infos_are_dropped_at_once_but_for_the_last_of_an_episode() -> None:
    # given
    seen: list[list[bool]] = []

    def look(episode: TrajectoryWithRew) -> bool:
        assert episode.infos is not None
        seen.append([bool(info) for info in episode.infos])
        return SUCCESS_CRITERIA["terminated"](episode)

    # when
    list(stream(3, success=look))
    # then
    assert all(not any(infos[:-1]) and infos[-1] for infos in seen)


def test_only_successes_are_kept_across_rollouts() -> None:
    # given a policy of which some episodes are successes
    success = MinReturn(10.0)
    # when
    episodes = list(stream(MANY, success=success))
    # then
    assert len(episodes) == MANY
    assert all(len(episode) >= 10 for episode in episodes)


def test_attempts_are_counted_across_rollouts() -> None:
    with pytest.raises(RuntimeError, match=r"only 0 of (\d+) episodes") as error:
        list(stream(MANY, success=MinReturn(400.0), max_attempts_per_success=1.0))
    tried = int(str(error.value).split()[3])
    assert MANY <= tried < MANY + N_ENVS


def test_a_stream_is_what_collecting_returns() -> None:
    venv = make_vec_env("CartPole-v1", N_ENVS, seed=0)
    collected = collect_episodes(push_left, venv, MANY, np.random.default_rng(0))
    for one, other in zip(collected, stream(MANY), strict=True):
        np.testing.assert_array_equal(one.obs, other.obs)
        np.testing.assert_array_equal(one.acts, other.acts)
        np.testing.assert_array_equal(one.rews, other.rews)


@pytest.mark.parametrize("n_episodes", [SHARD_EPISODES, SHARD_EPISODES + 1, MANY])
def test_imitation_reads_what_was_written_in_parts(tmp_path, n_episodes: int) -> None:
    # given
    episodes = list(itertools.islice(stream(MANY), n_episodes))
    # when
    save_episodes(iter(episodes), tmp_path / "episodes")
    # then
    read = serialize.load(tmp_path / "episodes")
    assert len(read) == n_episodes
    for number in (0, SHARD_EPISODES - 1, n_episodes - 1):
        np.testing.assert_array_equal(read[number].obs, episodes[number].obs)
        np.testing.assert_array_equal(read[number].acts, episodes[number].acts)
        np.testing.assert_array_equal(read[number].rews, episodes[number].rews)
        assert read[number].terminal == episodes[number].terminal
    loaded = load_demonstrations(tmp_path / "episodes")
    np.testing.assert_array_equal(loaded.actions, np.concatenate([e.acts for e in episodes]))
    np.testing.assert_array_equal(loaded.observations, np.concatenate([e.obs[:-1] for e in episodes]))
    np.testing.assert_allclose(loaded.returns, [e.rews.sum() for e in episodes])
    assert not any(path.is_dir() for path in (tmp_path / "episodes").iterdir())


def test_a_number_that_is_not_finite_in_a_later_part_says_where_and_leaves_nothing(tmp_path) -> None:
    # given
    episodes = list(stream(SHARD_EPISODES + 2))
    spoiled = np.array(episodes[-1].obs)
    spoiled[3, 1] = np.nan
    episodes[-1] = TrajectoryWithRew(spoiled, episodes[-1].acts, None, True, episodes[-1].rews)
    place = sum(map(len, episodes[:-1])) + 3
    # when
    with pytest.raises(ValueError, match=rf"^observations .* at transition {place}$"):
        save_episodes(episodes, tmp_path / "episodes")
    # then
    assert list(tmp_path.iterdir()) == []


def test_an_expert_that_fails_midway_leaves_nothing_written(tmp_path) -> None:
    with pytest.raises(RuntimeError, match="successful"):
        save_episodes(
            stream(MANY, success=MinReturn(10.0), max_attempts_per_success=1.0), tmp_path / "episodes"
        )
    assert list(tmp_path.iterdir()) == []
