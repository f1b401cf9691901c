from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imitation.data import rollout
from stable_baselines3.common.env_util import make_vec_env

from sb3_integral.imitation import SUCCESS_CRITERIA, MinReturn, collect_episodes


@pytest.fixture(scope="module")
def balance_or_fall(experts):
    """A policy that balances in every second environment and pushes one way in the others."""

    def act(observation, state, dones):
        actions, _ = experts["CartPole-v1"](observation, state, dones)
        actions[1::2] = 0
        return actions, None

    return act


@pytest.fixture(scope="module")
def mixed_episodes(balance_or_fall):
    venv = make_vec_env("CartPole-v1", 4, seed=0)
    return rollout.generate_trajectories(
        balance_or_fall, venv, rollout.make_min_timesteps(3000), np.random.default_rng(0)
    )


def test_truncated_means_the_cart_pole_stood_until_its_time_limit(mixed_episodes):
    # given episodes that fell early and episodes that reached the 500th step
    stood = [len(episode) == 500 for episode in mixed_episodes]
    assert 0 < sum(stood) < len(stood)

    # when, then
    assert [SUCCESS_CRITERIA["truncated"](episode) for episode in mixed_episodes] == stood


def test_terminated_is_what_is_not_truncated_and_any_is_all(mixed_episodes):
    for episode in mixed_episodes:
        assert SUCCESS_CRITERIA["terminated"](episode) != SUCCESS_CRITERIA["truncated"](episode)
        assert SUCCESS_CRITERIA["any"](episode)


@given(threshold=st.one_of(st.integers(0, 501), st.floats(-1.0, 600.0)))
@settings(deadline=None, max_examples=25)
def test_min_return_compares_the_sum_of_rewards(mixed_episodes, threshold):
    accepted = [MinReturn(threshold)(episode) for episode in mixed_episodes]
    assert accepted == [len(episode) >= threshold for episode in mixed_episodes]


def test_min_return_accepts_the_threshold_itself(mixed_episodes):
    for episode in mixed_episodes:
        assert MinReturn(len(episode))(episode)
        assert not MinReturn(math.nextafter(len(episode), math.inf))(episode)


@pytest.mark.parametrize("n_episodes", [1, 3])
@pytest.mark.parametrize(
    ("success", "holds"),
    [
        (SUCCESS_CRITERIA["truncated"], lambda length: length == 500),
        (SUCCESS_CRITERIA["terminated"], lambda length: length < 500),
        (MinReturn(400.0), lambda length: length >= 400),
    ],
    ids=["truncated", "terminated", "min_return"],
)
def test_only_successful_episodes_are_collected(balance_or_fall, success, holds, n_episodes):
    # given an expert that succeeds in half of its environments
    venv = make_vec_env("CartPole-v1", 4, seed=1)

    # when
    episodes = collect_episodes(
        balance_or_fall, venv, n_episodes, np.random.default_rng(0), success, 1000.0
    )

    # then as many as asked for, each a success, without infos
    assert len(episodes) == n_episodes
    assert all(holds(len(episode)) for episode in episodes)
    assert all(episode.infos is None for episode in episodes)


def test_terminated_acrobot_episodes_end_at_the_goal(experts):
    venv = make_vec_env("Acrobot-v1", 2, seed=0)
    success = SUCCESS_CRITERIA["terminated"]
    episodes = collect_episodes(experts["Acrobot-v1"], venv, 4, np.random.default_rng(0), success)
    for episode in episodes:
        # Gymnasium: the goal is -cos(θ1) - cos(θ1 + θ2) > 1, and its step is the one not punished.
        cos1, sin1, cos2, sin2 = episode.obs[-1][:4]
        assert -cos1 - (cos1 * cos2 - sin1 * sin2) > 1
        assert episode.rews[-1] == 0
        assert (episode.rews[:-1] == -1).all()


def test_an_expert_that_succeeds_too_rarely_is_an_error():
    # given a policy that never balances
    venv = make_vec_env("CartPole-v1", 2, seed=0)

    def fall(observation, state, dones):
        return np.zeros(len(observation), dtype=np.int64), None

    # when, then
    expected = r"only 0 of (6|7) episodes of the expert were successful, expected 3; train the expert"
    with pytest.raises(RuntimeError, match=expected):
        collect_episodes(fall, venv, 3, np.random.default_rng(0), SUCCESS_CRITERIA["truncated"], 2.0)


def test_progress_counts_successes_up_to_what_is_wanted(balance_or_fall):
    venv = make_vec_env("CartPole-v1", 4, seed=1)
    told: list[int] = []
    collect_episodes(
        balance_or_fall,
        venv,
        3,
        np.random.default_rng(0),
        SUCCESS_CRITERIA["truncated"],
        100.0,
        told.append,
    )
    assert told[0] == 0  # the first to end is one that fell
    assert told[-1] == 3
    assert told == sorted(told)


def test_the_same_seeds_give_the_same_episodes(balance_or_fall):
    def collect(seed):
        venv = make_vec_env("CartPole-v1", 4, seed=seed)
        return collect_episodes(balance_or_fall, venv, 4, np.random.default_rng(seed))

    first, second, other = collect(0), collect(0), collect(1)
    for one, same in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.obs, same.obs)
        np.testing.assert_array_equal(one.acts, same.acts)
    assert not np.array_equal(first[0].obs[0], other[0].obs[0])
