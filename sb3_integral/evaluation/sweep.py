"""One policy evaluated at many sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import gymnasium as gym
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_integral.nn import Size, as_size, as_sizes
from sb3_integral.policies import IntegralPolicy, Resizable


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
    env: GymEnv,
    sizes: Sequence[Size],
    n_eval_episodes: int = 15,
    deterministic: bool = True,
    seed: int | None = None,
    warn: bool = True,
    on_size_end: Callable[[], None] | None = None,
) -> list[SweepEpisode]:
    """Evaluate a policy at several sizes, with no retraining; it keeps the size it came with.

    Each size is evaluated by SB3's ``evaluate_policy``: a vectorised environment is stepped as one
    batch, and its episodes are shared out evenly, so that short episodes are not favoured.

    Args:
        policy: An integral policy, or a :class:`~sb3_integral.ResizablePolicy`.
        env: The environment, or a vectorised one; wrapped in ``Monitor`` for undistorted returns.
        sizes: The sizes, each an integer or one integer per hidden layer.
        n_eval_episodes: Episodes at each size.
        deterministic: Whether the most likely action is taken, or one drawn.
        seed: Seeds the environments anew for each size, so that all sizes meet the same episodes.
        warn: As in ``evaluate_policy``: whether to warn of a missing ``Monitor``.
        on_size_end: Called after each size.

    Returns:
        A row per size and episode, in order; ``pandas.DataFrame(rows)`` is the table.

    Raises:
        ValueError: If a size or ``n_eval_episodes`` is not a positive integer, if the policy cannot
            be resized, or if the environment's spaces are not the policy's. Nothing has run then.
    """
    if not isinstance(policy, Resizable):
        raise ValueError(
            f"{type(policy).__name__} cannot be resized, expected an integral policy or "
            f"ResizablePolicy(model.policy)"
        )
    n_eval_episodes = as_size(n_eval_episodes, "n_eval_episodes")
    all_sizes = [as_sizes(size, len(policy.max_sizes)) for size in sizes]
    for name in ("observation_space", "action_space"):
        expected, got = getattr(policy, name), getattr(env, name)
        if expected != got:
            raise ValueError(f"the environment's {name} is {got}, expected the policy's {expected}")

    venv = env if isinstance(env, VecEnv) else DummyVecEnv([lambda: _monitored(env)])
    rows: list[SweepEpisode] = []
    with size_kept(policy):
        for size in all_sizes:
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
            label = size[0] if len(set(size)) == 1 else "x".join(map(str, size))
            compression = policy.compression()
            rows += [
                SweepEpisode(label, compression, episode, float(episode_return), int(length))
                for episode, (episode_return, length) in enumerate(zip(returns, lengths, strict=True))
            ]
            if on_size_end is not None:
                on_size_end()
    return rows


@contextmanager
def size_kept(policy: Resizable) -> Iterator[None]:
    """Give a policy back the size that it had before a block."""
    if isinstance(policy, IntegralPolicy):
        # Its axes may be sampled at points of their own, which a size alone does not bring back.
        with policy.actor_axes.resized(policy.sizes):
            yield
        return
    before = policy.sizes
    try:
        yield
    finally:
        policy.resize(before)


def _monitored(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return env if is_wrapped(env, Monitor) else Monitor(env)
