"""One policy evaluated at many sizes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import gymnasium as gym
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_integral.evaluation.actors import make_actor
from sb3_integral.evaluation.episodes import (
    EnvFactory,
    Episode,
    env_factory,
    episode_seeds,
    open_environments,
)
from sb3_integral.evaluation.workers import play_all
from sb3_integral.nn import Size, as_size, as_sizes
from sb3_integral.policies import Resizable, as_resizable


class SweepEpisode(NamedTuple):
    """One episode of a sweep; a list of them is a table for ``pandas.DataFrame``.

    Attributes:
        size: The hidden size; the sizes joined by "x" where the hidden layers differ.
        compression: Percentage of the actor's parameters that is gone.
        episode: Number of the episode at this size, from 0.
        episode_return: Sum of rewards.
        length: Number of steps.
    """

    size: int | str
    compression: float
    episode: int
    episode_return: float
    length: int


def evaluate_resize_sweep(
    policy: Resizable,
    env: GymEnv | str | EnvFactory,
    sizes: Sequence[Size],
    n_eval_episodes: int = 15,
    deterministic: bool = True,
    seed: int | None = None,
    warn: bool = True,
    on_size_end: Callable[[], None] | None = None,
    n_workers: int = 1,
) -> list[SweepEpisode]:
    """Evaluate a policy at several sizes, with no retraining; it keeps the size it came with.

    Given the id of an environment, or what makes one, every episode starts from a seed of its own:
    episode i is the same at each size and for each policy, and the table of a seed is the same whatever
    the number of workers. Episodes are stepped as batches, the policy of each size as an ordinary one
    (``policy.discretize``), a multilayer perceptron without the cost of SB3's ``predict``. Every episode
    that was begun counts, so that short ones are not favoured.

    Given an environment that is there already, each size is evaluated by SB3's ``evaluate_policy``,
    which shares out the episodes of a vectorised environment evenly. Its environments are seeded once
    for each size, so an episode's start depends on the episodes before it. The distribution of returns
    is the same, but not the episodes.

    Args:
        policy: An integral policy, or a :class:`~sb3_integral.ResizablePolicy`.
        env: The id of an environment, or what makes one, which is the fast way; an environment, or a
            vectorised one, which is wrapped in ``Monitor`` for undistorted returns.
        sizes: The sizes, each an integer or one integer per hidden layer.
        n_eval_episodes: Episodes at each size.
        deterministic: Whether the most likely action is taken, or one drawn.
        seed: Seeds the environments anew for each size, so that all sizes meet the same episodes.
        warn: As in ``evaluate_policy``: whether to warn of a missing ``Monitor``.
        on_size_end: Called after each size.
        n_workers: Processes that play episodes, one thread each; one is this process. More need joblib,
            and an ``env`` that they can make themselves.

    Returns:
        A row per size and episode, in order; ``pandas.DataFrame(rows)`` is the table.

    Raises:
        ValueError: If a size, ``n_eval_episodes`` or ``n_workers`` is not a positive integer, if the
            policy cannot be resized, if the environment's id is unknown or its spaces are not the
            policy's, or if several workers are to share one environment. Nothing has run then.
    """
    policy = as_resizable(policy)
    n_eval_episodes = as_size(n_eval_episodes, "n_eval_episodes")
    n_workers = as_size(n_workers, "n_workers")
    all_sizes = [as_sizes(size, len(policy.max_sizes)) for size in sizes]
    if isinstance(env, VecEnv | gym.Env):
        if n_workers > 1:
            raise ValueError(
                f"{n_workers} workers cannot share {env}, expected the id of an environment or "
                f"what makes one"
            )
        _check_spaces(policy, env)
        episodes = _by_sb3(policy, env, all_sizes, n_eval_episodes, deterministic, seed, warn)
    else:
        factory = env_factory(env)
        with open_environments(factory, 1) as (made,):
            _check_spaces(policy, made)
        actors = [make_actor(policy.discretize(size), deterministic) for size in all_sizes]
        episodes = play_all(actors, factory, episode_seeds(seed, n_eval_episodes), n_workers)

    rows: list[SweepEpisode] = []
    with closing(episodes):
        for size, of_size in zip(all_sizes, episodes, strict=True):
            label = size[0] if len(set(size)) == 1 else "x".join(map(str, size))
            compression = policy.compression(size)
            rows += [
                SweepEpisode(label, compression, number, *episode)
                for number, episode in enumerate(of_size)
            ]
            if on_size_end is not None:
                on_size_end()
    return rows


def _by_sb3(
    policy: Resizable,
    env: GymEnv,
    sizes: Sequence[tuple[int, ...]],
    n_eval_episodes: int,
    deterministic: bool,
    seed: int | None,
    warn: bool,
) -> Generator[list[Episode], None, None]:
    venv = env if isinstance(env, VecEnv) else DummyVecEnv([lambda: _monitored(env)])
    with policy.resized(policy.sizes):
        for size in sizes:
            policy.resize(size)
            if seed is not None:  # SB3 would draw one from NumPy's generator, which training shares
                venv.seed(seed)
            returns, lengths = evaluate_policy(
                policy,
                venv,
                n_eval_episodes,
                deterministic=deterministic,
                return_episode_rewards=True,
                warn=warn,
            )
            assert isinstance(returns, list)
            assert isinstance(lengths, list)
            yield [Episode(float(r), int(length)) for r, length in zip(returns, lengths, strict=True)]


def _check_spaces(policy: Resizable, env: GymEnv) -> None:
    for name in ("observation_space", "action_space"):
        expected, got = getattr(policy, name), getattr(env, name)
        if expected != got:
            raise ValueError(f"the environment's {name} is {got}, expected the policy's {expected}")


def _monitored(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return env if is_wrapped(env, Monitor) else Monitor(env)
