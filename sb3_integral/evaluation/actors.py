"""What acts while episodes are evaluated: SB3's ``predict``, without its cost where that is possible."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy

from sb3_integral.actor import NumpyActor, actor_spec
from sb3_integral.actor.heads import Noise

Array = np.ndarray[Any, Any]

ROWS = 16
"""Rows of a batch of observations, some of them unused where fewer episodes run.

It is always the same number, and an episode always has the same row: the last bits of a matrix product
depend on its shape, and an episode of MuJoCo depends on the last bits.
"""


class Actor(ABC):
    """Acts in up to :data:`ROWS` episodes that run side by side, each in a row of its own."""

    def __init__(self, observation_space: spaces.Space[Any], dtype: Any = None) -> None:
        self._observations: Any = _zeros(observation_space, dtype)

    def playing(self, seeds: Sequence[int]) -> AbstractContextManager[None]:
        """Return a context in which new episodes are played; the seeds are of their random choices."""
        return nullcontext()

    def observe(self, row: int, observation: Any) -> None:
        """Take the newest observation of an episode."""
        if isinstance(self._observations, dict):
            for name, values in self._observations.items():
                values[row] = observation[name]
        else:
            self._observations[row] = observation

    @abstractmethod
    def act(self, action_masks: Array | None = None) -> Array:
        """Return an action for each row. Shape of the masks: (ROWS, choices)."""


def make_actor(policy: BasePolicy, deterministic: bool = True) -> Actor:
    """Return what acts as ``policy.predict`` does.

    A multilayer perceptron is computed by NumPy, to float tolerance the same. Every other policy is
    asked by ``predict``.
    """
    try:
        spec = actor_spec(policy)
        noise = None if deterministic else spec.noise
        if deterministic or noise is not None:
            return MlpActor(NumpyActor(spec), policy.observation_space, noise)
    except ValueError:
        pass  # predict takes what NumPy does not
    return PredictActor(policy, deterministic)


class PredictActor(Actor):
    """Asks ``policy.predict``, keeping the state of a recurrent policy."""

    def __init__(self, policy: BasePolicy, deterministic: bool = True) -> None:
        super().__init__(policy.observation_space)
        self._policy = policy
        self._deterministic = deterministic

    @contextmanager
    def playing(self, seeds: Sequence[int]) -> Iterator[None]:
        """See :meth:`Actor.playing`."""
        self._state: tuple[Array, ...] | None = None
        self._starts = np.ones(ROWS, dtype=bool)
        with torch.random.fork_rng(devices=[], enabled=not self._deterministic):
            if not self._deterministic:
                torch.manual_seed(seeds[0])
            yield

    def act(self, action_masks: Array | None = None) -> Array:
        """See :meth:`Actor.act`."""
        masks: dict[str, Any] = {} if action_masks is None else {"action_masks": action_masks}
        actions, self._state = self._policy.predict(
            self._observations, self._state, self._starts, self._deterministic, **masks
        )
        self._starts = np.zeros(ROWS, dtype=bool)
        return actions


class MlpActor(Actor):
    """A multilayer perceptron in NumPy. Noise that is added to its output draws actions."""

    def __init__(
        self, actor: NumpyActor, observation_space: spaces.Space[Any], noise: Noise | None = None
    ) -> None:
        super().__init__(observation_space, np.float32)
        self._actor = actor
        self._noise = noise
        self._generators: list[np.random.Generator] = []

    def playing(self, seeds: Sequence[int]) -> AbstractContextManager[None]:
        """See :meth:`Actor.playing`."""
        # The environment draws from a generator of the seed alone.
        self._generators = [np.random.default_rng([seed, 1]) for seed in seeds]
        return nullcontext()

    def act(self, action_masks: Array | None = None) -> Array:
        """See :meth:`Actor.act`."""
        outputs = self._actor.outputs(self._observations)
        if self._noise is not None:
            for row, generator in enumerate(self._generators):
                outputs[row] += self._noise(generator)
        return self._actor.act(outputs, action_masks)


def _zeros(space: spaces.Space[Any], dtype: Any) -> Any:
    if isinstance(space, spaces.Dict):
        return {name: _zeros(part, dtype) for name, part in space.items()}
    return np.zeros((ROWS, *(space.shape or ())), dtype or space.dtype)
