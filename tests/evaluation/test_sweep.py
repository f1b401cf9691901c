from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import ks_2samp
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_integral import IntegralActorCriticPolicy, ResizablePolicy, evaluate_resize_sweep
from sb3_integral.evaluation import SweepEpisode
from sb3_integral.evaluation.episodes import episode_seeds

COLUMNS = ["size", "compression", "episode", "episode_return", "length"]


class Recorder(gym.Wrapper[Any, Any, Any, Any]):
    """Keeps the observation that each episode begins with, and counts steps."""

    def __init__(self, env_id: str = "CartPole-v1") -> None:
        super().__init__(gym.make(env_id))
        self.beginnings: list[np.ndarray[Any, Any]] = []
        self.steps = 0

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(**kwargs)
        self.beginnings.append(observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self.env.step(action)


@pytest.fixture(scope="module")
def cartpole_policy() -> Callable[..., Any]:
    """Make a policy for CartPole whose episodes are short, and differ in length from size to size."""

    def make(policy_class: type[ActorCriticPolicy] = IntegralActorCriticPolicy) -> Any:
        env = gym.make("CartPole-v1")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            policy = policy_class(
                env.observation_space,
                env.action_space,
                lambda _: 1e-3,
                net_arch={"pi": [16, 12], "vf": [8]},
            )
            with torch.no_grad():
                for parameter in policy.parameters():
                    parameter.add_(0.3 * torch.randn_like(parameter))
        policy.set_training_mode(False)
        return policy

    return make


@pytest.fixture(params=["integral", "bicubic"])
def policy(request: pytest.FixtureRequest, cartpole_policy: Callable[..., Any]) -> Any:
    if request.param == "integral":
        return cartpole_policy()
    return ResizablePolicy(cartpole_policy(ActorCriticPolicy), request.param)


# ---------------------------------------------------------------- the table


def test_there_is_a_tidy_row_per_size_and_episode(policy: Any) -> None:
    # when
    rows = evaluate_resize_sweep(policy, gym.make("CartPole-v1"), [16, [8, 5], 4], 3, seed=0)
    # then
    table = pd.DataFrame(rows)
    assert list(table.columns) == COLUMNS
    assert list(table["size"]) == [16] * 3 + ["8x5"] * 3 + [4] * 3
    assert list(table["episode"]) == [0, 1, 2] * 3
    assert list(table["compression"]) == [policy.compression(s) for s in (16, [8, 5], 4) for _ in "123"]
    assert all(isinstance(row, SweepEpisode) for row in rows)
    # CartPole gives 1 for each step
    assert list(table["episode_return"]) == list(table["length"].astype(float))
    assert table["length"].min() > 0


def test_rows_hold_plain_numbers(policy: Any) -> None:
    rows = evaluate_resize_sweep(policy, gym.make("CartPole-v1"), [np.int64(8)], 1, seed=0)
    assert [type(value) for value in rows[0]] == [int, float, int, float, int]


def test_equal_sizes_have_a_number_for_a_label(policy: Any) -> None:
    rows = evaluate_resize_sweep(policy, gym.make("CartPole-v1"), [[8, 8], [8, 7]], 1, seed=0)
    assert [row.size for row in rows] == [8, "8x7"]


def test_no_sizes_give_no_rows(policy: Any) -> None:
    assert evaluate_resize_sweep(policy, gym.make("CartPole-v1"), [], 3) == []


@pytest.mark.parametrize("deterministic", [True, False])
def test_each_size_is_what_sb3_evaluates(policy: Any, deterministic: bool) -> None:
    # given
    env = make_vec_env("CartPole-v1", n_envs=2)
    torch.manual_seed(0)
    # when
    rows = evaluate_resize_sweep(policy, env, [5, 12], 4, deterministic=deterministic, seed=3)
    # then
    torch.manual_seed(0)
    expected: list[tuple[float, int]] = []
    for size in (5, 12):
        env.seed(3)
        returns, lengths = evaluate_policy(
            policy.discretize(size), env, 4, deterministic=deterministic, return_episode_rewards=True
        )
        expected += zip(returns, lengths, strict=True)
    assert [(row.episode_return, row.length) for row in rows] == expected


def test_drawn_actions_are_not_the_likeliest_ones(policy: Any) -> None:
    # given
    env = gym.make("CartPole-v1")
    torch.manual_seed(0)
    # then
    drawn = evaluate_resize_sweep(policy, env, [8], 4, deterministic=False, seed=0)
    assert drawn != evaluate_resize_sweep(policy, env, [8], 4, seed=0)


# ---------------------------------------------------------------- the episodes


def test_all_sizes_meet_the_same_episodes(policy: Any) -> None:
    # given
    env = Recorder()
    # when
    rows = evaluate_resize_sweep(policy, env, [16, 8, 3], 3, seed=7)
    # then: a reset at the start of each size and one after each of its episodes
    beginnings = np.array(env.beginnings).reshape(3, 4, 4)
    np.testing.assert_array_equal(beginnings[0], beginnings[1])
    np.testing.assert_array_equal(beginnings[0], beginnings[2])
    # and the episodes of a size differ, as do the sizes
    assert len({tuple(start) for start in beginnings[0]}) == 4
    assert len({tuple(row.length for row in rows if row.size == size) for size in (16, 8, 3)}) > 1


def test_all_sizes_meet_the_same_episodes_in_each_of_several_environments(policy: Any) -> None:
    # given
    recorders = [Recorder(), Recorder()]
    venv = DummyVecEnv([lambda env=env: Monitor(env) for env in recorders])
    # when
    evaluate_resize_sweep(policy, venv, [16, 3], 4, seed=7)
    evaluate_resize_sweep(policy, venv, [16], 4, seed=7)
    # then: the first two episodes of each environment, at the first size and when it came again
    starts = [np.array(env.beginnings) for env in recorders]
    for start in starts:
        again = [i for i in range(len(start)) if np.array_equal(start[i], start[0])]
        assert len(again) == 3
        for i in again:
            np.testing.assert_array_equal(start[i : i + 2], start[:2])
    assert not np.array_equal(starts[0][0], starts[1][0])


@pytest.mark.parametrize("n_envs", [None, 3])
def test_the_same_seed_gives_the_same_rows_again_and_another_one_does_not(
    policy: Any, n_envs: int | None
) -> None:
    # given
    env = gym.make("CartPole-v1") if n_envs is None else make_vec_env("CartPole-v1", n_envs=n_envs)
    # when
    first = evaluate_resize_sweep(policy, env, [16, 4], 5, seed=1)
    other = evaluate_resize_sweep(policy, env, [16, 4], 5, seed=2)
    again = evaluate_resize_sweep(policy, env, [16, 4], 5, seed=1)
    # then
    assert first == again
    assert first != other
    assert len(first) == 10


def test_a_size_has_the_same_rows_whatever_comes_before_it(policy: Any) -> None:
    # given
    env = gym.make("CartPole-v1")
    # when
    alone = evaluate_resize_sweep(policy, env, [4], 3, seed=1)
    after_others = evaluate_resize_sweep(policy, env, [16, 9, 4], 3, seed=1)
    # then
    assert after_others[-3:] == alone


def test_box_actions_are_swept_too() -> None:
    # given
    model = PPO("IntegralMlpPolicy", "Pendulum-v1", seed=0, device="cpu")
    # when
    rows = evaluate_resize_sweep(model.policy, gym.make("Pendulum-v1"), [64, 8], 2, seed=0)
    # then
    assert [(row.size, row.length) for row in rows] == [(64, 200), (64, 200), (8, 200), (8, 200)]
    assert all(row.episode_return < 0 for row in rows)


# ---------------------------------------------------------------- what is left as it was


def test_the_policy_keeps_its_size_and_the_environment_stays_open(policy: Any) -> None:
    # given
    env = gym.make("CartPole-v1")
    policy.resize([5, 6])
    # when
    evaluate_resize_sweep(policy, env, [16, 4], 1, seed=0)
    # then
    assert policy.sizes == (5, 6)
    env.reset(seed=0)
    env.step(0)


def test_an_axis_keeps_the_points_it_was_given(cartpole_policy: Callable[..., Any]) -> None:
    # given
    policy = cartpole_policy()
    points = policy.actor_axes[0].place([0.0, 0.1, 0.3, 1.0]).points
    # when
    evaluate_resize_sweep(policy, gym.make("CartPole-v1"), [8], 1, seed=0)
    # then
    assert policy.sizes == (4, 12)
    assert torch.equal(policy.actor_axes[0].points, points)


def test_the_policy_keeps_its_size_where_the_sweep_breaks_off(policy: Any) -> None:
    # given
    policy.resize([5, 6])

    def break_off() -> None:
        assert policy.sizes == (16, 16)
        raise RuntimeError("break off")

    # when / then
    with pytest.raises(RuntimeError, match="break off"):
        evaluate_resize_sweep(policy, gym.make("CartPole-v1"), [16, 4], 1, on_size_end=break_off)
    assert policy.sizes == (5, 6)


def test_each_end_of_a_size_is_reported(policy: Any) -> None:
    # given
    seen: list[tuple[int, ...]] = []
    # when
    evaluate_resize_sweep(
        policy,
        gym.make("CartPole-v1"),
        [16, [4, 3]],
        1,
        on_size_end=lambda: seen.append(policy.sizes),
    )
    # then
    assert seen == [(16, 16), (4, 3)]


# ---------------------------------------------------------------- Monitor


def test_a_vectorised_environment_without_monitor_is_warned_of_unless_told_not_to(policy: Any) -> None:
    # given
    venv = DummyVecEnv([lambda: gym.make("CartPole-v1")])
    # when
    with pytest.warns(UserWarning, match="Monitor"):
        warned = evaluate_resize_sweep(policy, venv, [8], 2, seed=0)
    quiet = evaluate_resize_sweep(policy, venv, [8], 2, seed=0, warn=False)
    # then
    assert quiet == warned


@pytest.mark.parametrize(
    "vectorised",
    [
        False,
        True,
    ],
)
def test_returns_are_those_of_the_monitor_that_is_there_already(policy: Any, vectorised: bool) -> None:
    # given: rewards that are rescaled after they were monitored
    def make() -> gym.Env[Any, Any]:
        return gym.wrappers.TransformReward(Monitor(gym.make("CartPole-v1")), lambda r: 100.0 * r)

    env = DummyVecEnv([make]) if vectorised else make()
    # when
    rows = evaluate_resize_sweep(policy, env, [8], 2, seed=0)
    # then
    assert [row.episode_return for row in rows] == [float(row.length) for row in rows]


# ---------------------------------------------------------------- what is refused, before anything runs


def refused(policy: Any, sizes: Any = (8,), env_id: str = "CartPole-v1", **kwargs: Any) -> str:
    env = Recorder(env_id)
    before = getattr(policy, "sizes", None)
    with pytest.raises(ValueError, match=r".") as caught:
        evaluate_resize_sweep(policy, env, sizes, **kwargs)
    assert env.beginnings == []
    assert env.steps == 0
    assert getattr(policy, "sizes", None) == before
    return str(caught.value)


def test_a_bad_size_is_refused_though_good_ones_come_first(
    policy: Any, bad_size: tuple[Any, str, str]
) -> None:
    size, value, expected = bad_size
    message = refused(policy.resize([5, 6]), [16, 4, size])
    assert value in message
    assert expected in message


@pytest.mark.parametrize("n_eval_episodes", [0, -3, 1.5, True, "5"])
def test_a_bad_number_of_episodes_is_refused(policy: Any, n_eval_episodes: Any) -> None:
    message = refused(policy, n_eval_episodes=n_eval_episodes)
    assert "n_eval_episodes must be an integer of at least 1" in message
    assert repr(n_eval_episodes) in message


def test_an_environment_of_other_observations_is_refused(policy: Any) -> None:
    message = refused(policy, env_id="Pendulum-v1")
    assert "observation_space" in message
    assert str(gym.make("Pendulum-v1").observation_space) in message
    assert str(policy.observation_space) in message


def test_an_environment_of_other_actions_is_refused(cartpole_policy: Callable[..., Any]) -> None:
    # given
    env = gym.make("CartPole-v1")
    policy = IntegralActorCriticPolicy(
        env.observation_space, gym.spaces.Discrete(3), lambda _: 1e-3, net_arch=[8, 8]
    )
    # when
    message = refused(policy)
    # then
    assert "action_space" in message
    assert "Discrete(2)" in message
    assert "Discrete(3)" in message


def test_a_plain_policy_is_refused(cartpole_policy: Callable[..., Any]) -> None:
    message = refused(cartpole_policy(ActorCriticPolicy))
    assert "ActorCriticPolicy cannot be resized" in message
    assert "ResizablePolicy(model.policy)" in message


def test_a_model_is_taken_for_its_policy() -> None:
    message = refused(PPO("MlpPolicy", "CartPole-v1", device="cpu"))
    assert "ActorCriticPolicy cannot be resized" in message
    # and
    model: Any = PPO("IntegralMlpPolicy", "CartPole-v1", device="cpu")
    rows = [
        evaluate_resize_sweep(source, "CartPole-v1", [8], 2, seed=0) for source in (model, model.policy)
    ]
    assert rows[0] == rows[1]


# ---------------------------------------------------------------- an id, or what makes an environment


def make_cartpole() -> gym.Env[Any, Any]:
    return gym.make("CartPole-v1")


@pytest.mark.parametrize("make", ["CartPole-v1", make_cartpole], ids=["id", "function"])
@pytest.mark.parametrize("deterministic", [True, False])
def test_the_number_of_workers_changes_nothing(policy: Any, make: Any, deterministic: bool) -> None:
    # given more episodes than a batch holds
    arguments: Any = (policy, make, [16, [8, 5], 4], 18, deterministic)
    # when
    alone = evaluate_resize_sweep(*arguments, seed=3)
    together = evaluate_resize_sweep(*arguments, seed=3, n_workers=2)
    other_seed = evaluate_resize_sweep(*arguments, seed=4)
    # then
    assert alone == together
    assert alone != other_seed
    assert [row.size for row in alone] == [16] * 18 + ["8x5"] * 18 + [4] * 18
    assert [row.episode for row in alone] == [*range(18)] * 3
    assert [type(value) for value in alone[0]] == [int, float, int, float, int]


def test_each_episode_is_what_the_policy_does_from_its_seed(policy: Any) -> None:
    # given
    env = make_cartpole()
    seeds = episode_seeds(5, 3)
    # when
    rows = evaluate_resize_sweep(policy, "CartPole-v1", [16, 5], 3, seed=5)
    # then it is what SB3's predict does in an environment that is stepped alone
    expected = []
    for size in (16, 5):
        ordinary = policy.discretize(size)
        for seed in seeds:
            observation, steps, over = env.reset(seed=seed)[0], 0, False
            while not over:
                action, _ = ordinary.predict(observation, deterministic=True)
                observation, _, terminated, truncated, _ = env.step(action)
                steps, over = steps + 1, terminated or truncated
            expected.append((float(steps), steps))
    assert [(row.episode_return, row.length) for row in rows] == expected


def test_fewer_episodes_are_the_first_of_more(policy: Any) -> None:
    few, many = (evaluate_resize_sweep(policy, "CartPole-v1", [8], n, seed=1) for n in (3, 20))
    assert many[:3] == few


def test_returns_are_distributed_as_those_of_sb3(policy: Any) -> None:
    fast = evaluate_resize_sweep(policy, "CartPole-v1", [16], 150, seed=0)
    by_sb3 = evaluate_resize_sweep(policy, make_vec_env("CartPole-v1", 8), [16], 150, seed=0)
    samples = [[row.episode_return for row in rows] for rows in (fast, by_sb3)]
    assert ks_2samp(*samples).pvalue > 0.001


def test_a_policy_that_only_predicts_is_swept_the_same_by_any_number_of_workers() -> None:
    # given a policy that is no actor-critic
    policy = DQN("IntegralMlpPolicy", "CartPole-v1", seed=0, device="cpu", buffer_size=10).policy
    arguments: Any = (policy, "CartPole-v1", [64, 8], 18)
    # when, then
    alone = evaluate_resize_sweep(*arguments, seed=1)
    assert evaluate_resize_sweep(*arguments, seed=1, n_workers=2) == alone
    assert len({row.length for row in alone}) > 1


def test_box_actions_are_swept_by_id() -> None:
    # given
    policy = PPO("IntegralMlpPolicy", "Pendulum-v1", seed=0, device="cpu").policy
    # when
    rows = evaluate_resize_sweep(policy, "Pendulum-v1", [64, 8], 2, seed=0)
    # then
    assert [(row.size, row.length) for row in rows] == [(64, 200), (64, 200), (8, 200), (8, 200)]
    assert all(row.episode_return < 0 for row in rows)


def test_the_ends_of_sizes_are_told_one_by_one_and_environments_closed(policy: Any) -> None:
    # given
    env = Recorder()
    closed: list[int] = []
    env.close = lambda: closed.append(env.steps)  # type: ignore[method-assign]
    steps: list[int] = []
    # when: the same environment, as one episode needs no second
    rows = evaluate_resize_sweep(
        policy.resize([5, 6]),
        lambda: env,
        [16, 4],
        1,
        seed=0,
        on_size_end=lambda: steps.append(env.steps),
    )
    # then
    assert steps == [rows[0].length, rows[0].length + rows[1].length]
    assert closed == [0, steps[-1]]  # the first was made for its spaces
    assert policy.sizes == (5, 6)
    np.testing.assert_array_equal(*env.beginnings)


@pytest.mark.parametrize("n_workers", [0, -1, 1.5, True])
def test_a_bad_number_of_workers_is_refused(policy: Any, n_workers: Any) -> None:
    assert "n_workers must be an integer of at least 1" in refused(policy, n_workers=n_workers)


def test_an_environment_is_not_shared_by_workers(policy: Any) -> None:
    assert "2 workers cannot share" in refused(policy, n_workers=2)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ("Nowhere-v0", "'Nowhere-v0'"),
        ("Pendulum-v1", "observation_space"),
        (lambda: gym.make("Pendulum-v1"), "observation_space"),
    ],
    ids=["unknown id", "other spaces", "other spaces from a function"],
)
def test_an_environment_that_does_not_fit_is_refused(policy: Any, env: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        evaluate_resize_sweep(policy, env, [8], 2)
