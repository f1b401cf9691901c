"""Episodes played to their end, in single environments as one batch or in a vectorised environment."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from sb3_integral.evaluation.environments import Env, monitor_of, vec_wrappers
from sb3_integral.policies import Resizable
from sb3_integral.policies.masking import action_masks

MAX_EPISODE_STEPS = 100_000
"""Steps after which an episode is taken for one that never ends, where nobody gives a number."""

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
"""Attributes of wrappers, by class, that evaluation changes and gives back."""


class Episode(NamedTuple):
    """What came of an episode.

    Attributes:
        episode_return: Sum of rewards.
        length: Number of steps.
    """

    episode_return: float
    length: int


class EndlessEpisodeError(ValueError):
    """An episode did not end within the limit."""


def _endless(max_episode_steps: int) -> EndlessEpisodeError:
    return EndlessEpisodeError(
        f"an episode did not end within max_episode_steps={max_episode_steps} steps, expected an "
        f"environment whose episodes end (gymnasium.wrappers.TimeLimit ends them) or a higher limit"
    )


def episode_seeds(seed: int | None, n_episodes: int) -> list[int]:
    """Return a seed for each episode; those of fewer episodes are the first of those of more.

    Args:
        seed: What they are derived from; None draws it.
        n_episodes: How many.
    """
    return [int(word) for word in np.random.SeedSequence(seed).generate_state(n_episodes)]


def blocks(seeds: Sequence[int]) -> list[Sequence[int]]:
    """Share out episodes to the batches in which they are stepped."""
    return [seeds[start : start + ROWS] for start in range(0, len(seeds), ROWS)]


def play(
    actor: Actor,
    envs: Sequence[Env],
    seeds: Sequence[int],
    max_episode_steps: int = MAX_EPISODE_STEPS,
    use_masking: bool = False,
) -> list[Episode]:
    """Play one episode per seed, side by side, each until its end.

    Args:
        actor: What acts.
        envs: As many environments, or more.
        seeds: At most :data:`~sb3_integral.evaluation.actors.ROWS`.
        max_episode_steps: Most steps of an episode.
        use_masking: Whether the actor is told which actions the environments allow.

    Raises:
        EndlessEpisodeError: If an episode has more steps.
    """
    observe, steps = actor.observe, [env.step for env in envs]
    returns, episodes = [0.0] * len(seeds), dict[int, Episode]()
    with actor.playing(seeds):
        for row, seed in enumerate(seeds):
            observe(row, envs[row].reset(seed=seed)[0])
        running, step = list(range(len(seeds))), 0
        while running:
            if step == max_episode_steps:
                raise _endless(max_episode_steps)
            actions = actor.act(_masks(envs, running)) if use_masking else actor.act()
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
    """Return the masks of running episodes; rows without one may do anything. Shape: (ROWS, choices)."""
    masks = {row: action_masks(envs[row]) for row in running}
    full = np.ones((ROWS, len(masks[running[0]])), dtype=bool)
    for row, own in masks.items():
        full[row] = own
    return full


def _ended(is_monitored: bool, info: dict[str, Any], total: float, steps: int) -> Episode | None:
    """Return the episode that ended, as SB3's evaluation counts it.

    The monitor knows best, if there is one. A wrapper around it can say "done" before it: where the
    monitor is reset then, as after a TimeLimit, that was the end. Where it is not, as in Atari games
    after a lost life, the episode goes on.

    Returns:
        None if the monitor says nothing.
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
    deterministic: bool = True,
    max_episode_steps: int = MAX_EPISODE_STEPS,
    use_masking: bool = False,
) -> list[Episode]:
    """Play episodes in a vectorised environment, as ``evaluate_policy`` of SB3 and sb3-contrib do.

    Args:
        policy: What acts, at its current size.
        venv: Where; each of its environments gets an equal share of the episodes.
        n_episodes: How many.
        deterministic: Whether the most likely action is taken, or one drawn.
        max_episode_steps: Most steps of an episode.
        use_masking: Whether the policy is told which actions the environments allow.

    Returns:
        The episodes in the order in which they ended.

    Raises:
        EndlessEpisodeError: If an episode has more steps.
    """
    n_envs = venv.num_envs
    missing = np.array([(n_episodes + index) // n_envs for index in range(n_envs)])
    is_monitored = monitored(venv)
    totals, steps = np.zeros(n_envs), np.zeros(n_envs, dtype=int)
    observations: Any = venv.reset()
    states, starts = None, np.ones(n_envs, dtype=bool)
    episodes = []
    while missing.any():
        if (steps[missing > 0] >= max_episode_steps).any():
            raise _endless(max_episode_steps)
        masks: dict[str, Any] = {"action_masks": action_masks(venv)} if use_masking else {}
        actions, states = policy.predict(observations, states, starts, deterministic, **masks)
        observations, rewards, starts, infos = venv.step(actions)
        totals += rewards
        steps += 1
        for index in np.flatnonzero(starts & (missing > 0)):
            episode = _ended(is_monitored[index], infos[index], totals[index], steps[index])
            if episode is None and not venv.get_attr("rewards", int(index))[0]:
                episode = Episode(float(totals[index]), int(steps[index]))
            if episode is not None:
                episodes.append(episode)
                missing[index] -= 1
                totals[index] = steps[index] = 0
    return episodes


def monitored(venv: VecEnv) -> list[bool]:
    """Return for each environment of a vectorised one whether a monitor counts its episodes."""
    if is_vecenv_wrapped(venv, VecMonitor):
        return [True] * venv.num_envs
    return list(venv.env_is_wrapped(Monitor))


@contextmanager
def evaluating(venv: VecEnv) -> Iterator[None]:
    """Evaluate in a live environment inside a block: its wrappers are left as they were.

    Inside, VecNormalize updates no statistics and gives the original rewards, monitors write no logs and
    let episodes begin at any time. Episodes that ran before the block are lost.

    Raises:
        ValueError: If a monitor in another process does not let episodes begin at any time.
    """
    envs = getattr(venv.unwrapped, "envs", None)
    if envs is None and all(venv.env_is_wrapped(Monitor)) and not all(_early_resets(venv)):
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


def _early_resets(venv: VecEnv) -> list[bool]:
    return venv.get_attr("allow_early_resets")


def _state(part: Any) -> dict[str, Any]:
    names = {name for kind, own in KEPT.items() if isinstance(part, kind) for name in own}
    state = {name: copy.deepcopy(value) for name, value in vars(part).items() if name in names}
    if "results_writer" in vars(part):
        state["results_writer"] = part.results_writer
    return state
