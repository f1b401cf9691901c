"""Episodes played to their end, in single environments as one batch or in a vectorised environment."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.env_util import unwrap_wrapper
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    VecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    is_vecenv_wrapped,
)

from sb3_integral.evaluation.actors import ROWS, Actor
from sb3_integral.evaluation.environments import Env, monitor_of
from sb3_integral.nn import as_size
from sb3_integral.policies import Resizable
from sb3_integral.policies.masking import action_masks
from sb3_integral.policies.vec_wrappers import vec_wrappers

MAX_EPISODE_STEPS = 100_000
"""Default of the steps after which an episode counts as one that never ends."""


@dataclass(frozen=True)
class EpisodeRules:
    """How episodes are played: what :func:`~sb3_integral.evaluate_resize_sweep` takes.

    Args:
        in_order_of_end: Whether the episodes in a vectorised environment are returned in the order in
            which they ended, as SB3 does, or environment by environment.

    Raises:
        ValueError: If ``max_episode_steps`` is not a positive integer.
    """

    deterministic: bool = True
    max_episode_steps: int = MAX_EPISODE_STEPS
    use_masking: bool = False
    in_order_of_end: bool = True

    def __post_init__(self) -> None:
        as_size(self.max_episode_steps, "max_episode_steps")

    def check(self, steps: int) -> None:
        """Raise an EndlessEpisodeError if an episode goes on after so many steps."""
        if steps >= self.max_episode_steps:
            raise EndlessEpisodeError(
                f"an episode did not end within max_episode_steps={self.max_episode_steps} steps, "
                f"expected a higher limit or an environment whose episodes end, for example by "
                f"gymnasium.wrappers.TimeLimit"
            )


KEPT: dict[type, tuple[str, ...]] = {
    VecNormalize: ("training", "norm_reward", "returns", "old_obs", "old_reward"),
    VecFrameStack: ("stacked_obs",),
    VecMonitor: ("episode_returns", "episode_lengths", "episode_count"),
    Monitor: (
        "allow_early_resets",
        "episode_returns",
        "episode_lengths",
        "episode_times",
        "total_steps",
    ),
}
"""Attributes of wrappers, by class, that evaluation changes and restores."""


class Episode(NamedTuple):
    """The sum of an episode's rewards, and its number of steps."""

    episode_return: float
    length: int


class EndlessEpisodeError(ValueError):
    """An episode did not end within the limit."""


def episode_seeds(seed: int | None, n_episodes: int) -> list[int]:
    """Return a seed for each episode; the seeds of fewer episodes are the first of those of more."""
    return [int(word) for word in np.random.SeedSequence(seed).generate_state(n_episodes)]


def blocks(seeds: Sequence[int]) -> list[Sequence[int]]:
    """Split the seeds of episodes into the batches in which they are stepped."""
    return [seeds[start : start + ROWS] for start in range(0, len(seeds), ROWS)]


def play(
    actor: Actor,
    envs: Sequence[Env],
    seeds: Sequence[int],
    rules: EpisodeRules = EpisodeRules(),
) -> list[Episode]:
    """Play one episode per seed, at most ``ROWS``, side by side in as many environments.

    Raises:
        EndlessEpisodeError: If an episode is too long.
    """
    observe, steps = actor.observe, [env.step for env in envs]
    returns, episodes = [0.0] * len(seeds), dict[int, Episode]()
    with actor.playing(seeds):
        for row, seed in enumerate(seeds):
            observe(row, envs[row].reset(seed=seed)[0])
        running, step = list(range(len(seeds))), 0
        while running:
            rules.check(step)
            actions = actor.act(_masks(envs, running)) if rules.use_masking else actor.act()
            step += 1
            for row in running:
                observation, reward, terminated, truncated, info = steps[row](actions[row])
                returns[row] += reward  # type: ignore[operator]
                if terminated or truncated:
                    monitor = monitor_of(envs[row])
                    episode = _ended(monitor is not None, info, returns[row], step)
                    if episode is None:
                        observation, _ = envs[row].reset()
                        if monitor is not None and not monitor.rewards:
                            episode = Episode(float(returns[row]), step)
                    if episode is not None:
                        episodes[row] = episode
                observe(row, observation)
            running = [row for row in running if row not in episodes]
    return [episodes[row] for row in range(len(seeds))]


def _masks(envs: Sequence[Env], running: Sequence[int]) -> np.ndarray[Any, Any]:
    """Return the masks of running episodes; other rows may do anything. Shape: (ROWS, choices)."""
    masks = {row: action_masks(envs[row]) for row in running}
    full = np.ones((ROWS, len(masks[running[0]])), dtype=bool)
    for row, mask in masks.items():
        full[row] = mask
    return full


def _ended(is_monitored: bool, info: dict[str, Any], total: float, steps: int) -> Episode | None:
    """Return the episode that ended, as SB3's evaluation counts it, by the monitor's numbers if any.

    It is None if a wrapper around the monitor ended the episode. If the monitor is reset next, as after
    the end of a TimeLimit, that was the end of the whole episode. If it is not, as in Atari games after
    the loss of a life, the episode continues.
    """
    if is_monitored and "episode" not in info:
        return None
    if is_monitored:
        total, steps = info["episode"]["r"], info["episode"]["l"]
    return Episode(float(total), int(steps))


def play_vectorized(
    policy: Resizable,
    venv: VecEnv,
    n_episodes: int,
    rules: EpisodeRules = EpisodeRules(),
) -> list[Episode]:
    """Play episodes in a vectorised environment, as ``evaluate_policy`` of SB3 and sb3-contrib do.

    Each of its environments gets an equal share of the episodes.

    Raises:
        EndlessEpisodeError: If an episode is too long.
    """
    n_envs = venv.num_envs
    missing = np.array([(n_episodes + index) // n_envs for index in range(n_envs)])
    is_monitored = monitored(venv)
    totals, steps = np.zeros(n_envs), np.zeros(n_envs, dtype=int)
    observations: Any = venv.reset()
    states, starts = None, np.ones(n_envs, dtype=bool)
    episodes: list[tuple[int, Episode]] = []
    while missing.any():
        rules.check(int(steps[missing > 0].max()))
        masks: dict[str, Any] = {"action_masks": action_masks(venv)} if rules.use_masking else {}
        actions, states = policy.predict(observations, states, starts, rules.deterministic, **masks)
        observations, rewards, starts, infos = venv.step(actions)
        totals += rewards
        steps += 1
        for index in map(int, np.flatnonzero(starts & (missing > 0))):
            episode = _ended(is_monitored[index], infos[index], totals[index], steps[index])
            if episode is None and not venv.get_attr("rewards", index)[0]:
                episode = Episode(float(totals[index]), int(steps[index]))
            if episode is not None:
                episodes.append((index, episode))
                missing[index] -= 1
                totals[index] = steps[index] = 0
    if not rules.in_order_of_end:
        episodes.sort(key=itemgetter(0))
    return [episode for _, episode in episodes]


def monitored(venv: VecEnv) -> list[bool]:
    """Return for each environment of a vectorised one whether a monitor counts its episodes."""
    if is_vecenv_wrapped(venv, VecMonitor):
        return [True] * venv.num_envs
    return list(venv.env_is_wrapped(Monitor))


@contextmanager
def evaluating(venv: VecEnv) -> Iterator[None]:
    """Evaluate in an environment inside a block, and restore its wrappers afterwards.

    Inside, VecNormalize updates no statistics and returns the original rewards; monitors write no logs
    and let episodes begin at any time. Episodes that ran before the block are lost.

    Raises:
        ValueError: If a monitor in another process does not let episodes begin at any time.
    """
    envs = getattr(venv.unwrapped, "envs", None)
    resettable = envs is not None or not all(venv.env_is_wrapped(Monitor))
    if not (resettable or all(venv.get_attr("allow_early_resets"))):
        raise ValueError(
            "a Monitor in another process has allow_early_resets=False, expected True: each size begins "
            "its episodes anew"
        )
    parts: list[Any] = [*vec_wrappers(venv)]
    parts += filter(None, (unwrap_wrapper(env, Monitor) for env in envs or ()))
    before = [(part, _state(part)) for part in parts]
    try:
        for part in parts:
            if isinstance(part, VecNormalize):
                part.training = part.norm_reward = False
            elif isinstance(part, Monitor):
                part.allow_early_resets = True
            if isinstance(part, Monitor | VecMonitor):
                part.results_writer = None
        yield
    finally:
        for part, state in before:
            vars(part).update(state)


def _state(part: Any) -> dict[str, Any]:
    names = {name for kind, kept in KEPT.items() if isinstance(part, kind) for name in kept}
    state = {name: copy.deepcopy(value) for name, value in vars(part).items() if name in names}
    if "results_writer" in vars(part):
        state["results_writer"] = part.results_writer
    return state
