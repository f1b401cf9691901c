"""Demonstrations rolled out by imitation, a few episodes at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from imitation.data import rollout
from imitation.data.types import TrajectoryWithRew
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from sb3_integral.imitation.episode_files import SHARD_EPISODES
from sb3_integral.imitation.original_env import OriginalEnv
from sb3_integral.imitation.policy_callables import expert_actions
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

    Every episode that was begun is played to its end, so that short ones are not favoured. No more
    than :data:`SHARD_EPISODES` and one for each copy of the environment are in memory. Where there is
    a ``VecNormalize``, the expert sees what it returns, the episodes hold the original observations and
    rewards, and its statistics are not updated. A policy that takes masks gets those of an environment
    with ``action_masks()``.

    Args:
        policy: An SB3 policy or algorithm, or a callable, as imitation's ``rollout`` takes it.
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
    env = OriginalEnv(venv, normalized)
    n_episodes = as_size(n_episodes, "n_episodes")
    count = _Count(n_episodes, success, max_attempts_per_success * n_episodes, on_episode_end)
    return _rolled_out(expert_actions(policy, env), env, count, rng)


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
    more = (success, max_attempts_per_success, on_episode_end)
    return list(stream_episodes(policy, venv, n_episodes, rng, *more, normalized=normalized))


@dataclass
class _Count:
    """Counts episodes of several rollouts; says when one of them is to end."""

    wanted: int
    success: SuccessCriterion
    max_attempts: float
    on_episode_end: Callable[[int], None] | None
    attempts: int = 0
    successes: int = 0
    in_rollout: int = 0

    def __call__(self, episodes: Sequence[TrajectoryWithRew]) -> bool:
        new = episodes[self.in_rollout :]
        self.successes += sum(map(self.success, new))
        self.attempts += len(new)
        self.in_rollout = len(episodes)
        if new and self.on_episode_end is not None:
            self.on_episode_end(min(self.successes, self.wanted))
        is_enough = self.successes >= self.wanted
        if self.attempts >= self.max_attempts and not is_enough:
            raise RuntimeError(
                f"only {self.successes} of {self.attempts} episodes of the expert were successful, "
                f"expected {self.wanted}; train the expert longer or relax the criterion"
            )
        return is_enough or self.in_rollout >= SHARD_EPISODES


def _rolled_out(
    act: rollout.PolicyCallable, env: OriginalEnv, count: _Count, rng: np.random.Generator
) -> Iterator[TrajectoryWithRew]:
    remaining = count.wanted
    while remaining:
        count.in_rollout = 0
        with env.frozen():
            episodes = rollout.generate_trajectories(act, _LastInfos(env), count, rng)
        kept = [episode for episode in episodes if count.success(episode)][:remaining]
        remaining -= len(kept)
        del episodes
        while kept:  # what was handed out is not held while more is rolled out
            yield replace(kept.pop(0), infos=None)


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
