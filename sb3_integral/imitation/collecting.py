"""Demonstrations rolled out by imitation, a few episodes at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from imitation.data import rollout
from imitation.data.types import TrajectoryWithRew
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from sb3_integral.imitation.acting import expert_actions
from sb3_integral.imitation.demonstrations import SHARD_EPISODES
from sb3_integral.imitation.original_env import OriginalEnv
from sb3_integral.imitation.success import SuccessCriterion, any_episode
from sb3_integral.nn import as_size


def stream_episodes(
    policy: rollout.AnyPolicy,
    venv: VecEnv,
    n_episodes: int,
    rng: np.random.Generator,
    success: SuccessCriterion = any_episode,
    max_attempts_per_success: float = 20.0,
    on_episode_end: Callable[[int], None] | None = None,
    *,
    normalized: bool = False,
) -> Iterator[TrajectoryWithRew]:
    """Roll out an expert until enough episodes were successful, holding only a few of them.

    imitation's ``rollout`` is called again and again; each time the environments are reset and every
    episode that was begun is played to its end, so that short ones are not favoured. No more episodes
    than :data:`~sb3_integral.imitation.demonstrations.SHARD_EPISODES` and one for each copy of the
    environment are in memory, and of their infos only each episode's last.

    Where the environment has a ``VecNormalize``, the expert sees what that returns, the episodes hold
    the original observations and rewards, and its statistics are not updated. Where the environment has
    ``action_masks()``, a policy that takes masks gets them.

    Args:
        policy: What imitation's ``rollout`` takes: an SB3 policy or algorithm, or a callable.
        venv: The environment that the expert was trained in; seed it before.
        n_episodes: Successful episodes wanted.
        rng: Shuffles the episodes that were held at once.
        success: Which episodes count.
        max_attempts_per_success: Give up when so many times ``n_episodes`` were tried.
        on_episode_end: Called with the number of successes so far, whenever episodes end.
        normalized: Whether episodes hold observations as the expert sees them all the same, for a
            student that will act in the normalised environment.

    Yields:
        ``n_episodes`` episodes without their infos.

    Raises:
        ValueError: If ``n_episodes`` is not positive, if the original observations are unknown, or if
            the expert was trained on normalised observations and the environment has none.
        RuntimeError: If the expert succeeds too rarely.
    """
    n_episodes = as_size(n_episodes, "n_episodes")
    env = OriginalEnv(venv, normalized)
    frugal, act = _LastInfos(env), expert_actions(policy, env)
    attempts = successes = counted = 0

    def enough(episodes: Sequence[TrajectoryWithRew]) -> bool:
        nonlocal attempts, successes, counted
        if len(episodes) > counted:
            successes += sum(map(success, episodes[counted:]))
            attempts += len(episodes) - counted
            counted = len(episodes)
            if on_episode_end is not None:
                on_episode_end(min(successes, n_episodes))
        if attempts >= max_attempts_per_success * n_episodes and successes < n_episodes:
            raise RuntimeError(
                f"only {successes} of {attempts} episodes of the expert were successful, "
                f"expected {n_episodes}; train the expert longer or relax the criterion"
            )
        return successes >= n_episodes or counted >= SHARD_EPISODES

    def roll_out() -> Iterator[TrajectoryWithRew]:
        nonlocal counted
        remaining = n_episodes
        while remaining:
            counted = 0
            with env.frozen():
                episodes = rollout.generate_trajectories(act, frugal, enough, rng)
            kept = [episode for episode in episodes if success(episode)][:remaining]
            remaining -= len(kept)
            del episodes
            while kept:  # what was handed out is not held while more is rolled out
                yield dataclasses.replace(kept.pop(0), infos=None)

    return roll_out()


def collect_episodes(
    policy: rollout.AnyPolicy,
    venv: VecEnv,
    n_episodes: int,
    rng: np.random.Generator,
    success: SuccessCriterion = any_episode,
    max_attempts_per_success: float = 20.0,
    on_episode_end: Callable[[int], None] | None = None,
    *,
    normalized: bool = False,
) -> list[TrajectoryWithRew]:
    """Return the episodes of :func:`stream_episodes`, all in memory; the arguments are the same."""
    return list(
        stream_episodes(
            policy,
            venv,
            n_episodes,
            rng,
            success,
            max_attempts_per_success,
            on_episode_end,
            normalized=normalized,
        )
    )


class _LastInfos(VecEnvWrapper):
    """Drops the infos of every step but an episode's last."""

    def reset(self) -> VecEnvObs:
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        observations, rewards, dones, infos = self.venv.step_wait()
        kept: list[dict[str, Any]] = [
            info if done else {} for info, done in zip(infos, dones, strict=True)
        ]
        return observations, rewards, dones, kept
