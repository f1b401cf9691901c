"""Episodes of one environment, each from a seed of its own, several of them stepped as one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from sb3_integral.evaluation.actors import ROWS, Actor

Env = gym.Env[Any, Any]
EnvFactory = Callable[[], Env]


class Episode(NamedTuple):
    """What came of an episode.

    Attributes:
        episode_return: Sum of rewards.
        length: Number of steps.
    """

    episode_return: float
    length: int


def env_factory(env: str | EnvFactory) -> EnvFactory:
    """Return what makes an environment, in any process.

    Args:
        env: The id of an environment, or what makes one.

    Raises:
        ValueError: If the id is unknown, or what was given makes no environment.
    """
    if not isinstance(env, str):
        return env
    try:
        spec = gym.spec(env)
    except gym.error.Error as error:
        raise ValueError(f"env must be an environment, its id or what makes one, got {env!r}") from error
    return FromSpec(spec)


@dataclass(frozen=True)
class FromSpec:
    """Makes a registered environment, in processes that have not registered it too.

    Args:
        spec: How it is registered.
    """

    spec: EnvSpec

    def __call__(self) -> Env:
        """Make one."""
        return gym.make(self.spec, disable_env_checker=True)


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


def play(actor: Actor, envs: Sequence[Env], seeds: Sequence[int]) -> list[Episode]:
    """Play one episode per seed, side by side, each until its end.

    Args:
        actor: What acts.
        envs: As many environments, or more.
        seeds: At most :data:`~sb3_integral.evaluation.actors.ROWS`.
    """
    observe, steps = actor.observe, [env.step for env in envs]
    returns, lengths = [0.0] * len(seeds), [0] * len(seeds)
    with actor.playing(seeds):
        for row, seed in enumerate(seeds):
            observe(row, envs[row].reset(seed=seed)[0])
        running, step = list(range(len(seeds))), 0
        while running:
            actions = actor.act()
            step += 1
            for row in running:
                observation, reward, terminated, truncated, _ = steps[row](actions[row])
                observe(row, observation)
                returns[row] += reward  # type: ignore[operator]
                if terminated or truncated:
                    lengths[row] = step
            running = [row for row in running if not lengths[row]]
    return [Episode(float(r), length) for r, length in zip(returns, lengths, strict=True)]


@contextmanager
def open_environments(factory: EnvFactory, count: int) -> Iterator[list[Env]]:
    """Make environments, and close them at the end of the block."""
    envs: list[Env] = []
    try:
        for _ in range(count):
            envs.append(factory())
        yield envs
    finally:
        for env in envs:
            env.close()
