"""A predictor that changes its policy's size between steps, to keep a latency under changing load."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.policies import BasePolicy

from sb3_integral.actor import Actor, example_observation, quickest_actor
from sb3_integral.deploy.controller import SizeController
from sb3_integral.deploy.latency import latencies_us
from sb3_integral.deploy.search import Sizes
from sb3_integral.nn import Size, as_sizes
from sb3_integral.policies import Resizable, as_resizable

Array = np.ndarray[Any, Any]

FRACTIONS = (1.0, 0.75, 0.5, 0.35, 0.25, 0.125, 0.0625)
"""The sizes that are prepared where none are named, as parts of the full one."""

IDLE_CALLS = 200
"""Calls by which each size is measured in the beginning."""


class DrivingStep(NamedTuple):
    """What the predictor keeps of a step.

    Attributes:
        seconds: When the observation came, by ``time.perf_counter``.
        sizes: The sizes in force.
        latency_us: Wall time from observation to action, in microseconds.
    """

    seconds: float
    sizes: Sizes
    latency_us: float


class DrivingPredictor:
    """Acts deterministically, at the largest size that keeps a latency.

    Every size is prepared in the beginning: discretized, and its weights copied for
    :class:`~sb3_integral.deploy.NumpyActor`. Changing the size is exchanging a reference. Actions are
    those of ``policy.resize(size).predict(observation, deterministic=True)``, up to rounding.

    What is measured, and kept below the target, is the wall time from observation to action: pauses in
    which the operating system runs something else are in it. No size prevents these, but a smaller one
    is interrupted more rarely, for it needs the processor for a shorter time. The decision about the
    next step's size is made after the clock has stopped. How many threads are used is the user's choice,
    as ever; one is best for a single observation.

    Args:
        policy: An integral policy, or a :class:`~sb3_integral.ResizablePolicy`, without memory; not
            needed any more afterwards.
        target_us: The latency to keep, in microseconds.
        sizes: The sizes to prepare, each one integer for all layers or one per layer; parts of the full
            size by default.
        make_actor: Makes of an ordinary policy what is run.
        max_steps_kept: Of how many of the last steps a record is kept.
        **controller: Arguments of :class:`~sb3_integral.deploy.SizeController`, such as ``headroom``.

    Attributes:
        ladder: The sizes prepared, ascending.
        idle_us: Latency of each, measured in the beginning.
        record: The last steps, oldest first.

    Raises:
        ValueError: If a size or a number is out of range, or the policy cannot be resized or has a
            memory.
    """

    def __init__(
        self,
        policy: Resizable,
        target_us: float,
        sizes: Sequence[Size] | None = None,
        make_actor: Callable[[BasePolicy], Actor] = quickest_actor,
        max_steps_kept: int = 100_000,
        **controller: Any,
    ) -> None:
        policy = as_resizable(policy)
        self.observation_space = policy.observation_space
        self.action_space = policy.action_space
        self.ladder: tuple[Sizes, ...] = tuple(sorted(_sizes(policy, sizes), key=_weights))
        self._actors = [make_actor(policy.discretize(one)) for one in self.ladder]
        observation = example_observation(policy.observation_space)
        self.idle_us: tuple[float, ...] = tuple(
            median(latencies_us(actor, observation, IDLE_CALLS)) for actor in self._actors
        )
        self._controller = SizeController(self.idle_us, target_us, **controller)
        self._place = self._controller.place
        self.record: deque[DrivingStep] = deque(maxlen=max_steps_kept)

    @property
    def sizes(self) -> Sizes:
        """The sizes in force."""
        return self.ladder[self._place]

    @property
    def target_us(self) -> float:
        """The latency to keep, in microseconds."""
        return self._controller.target_us

    def predict(
        self,
        observation: Array,
        state: tuple[Array, ...] | None = None,
        episode_start: Array | None = None,
        deterministic: bool = True,
        action_masks: Array | None = None,
    ) -> tuple[Array, tuple[Array, ...] | None]:
        """Return the action, as SB3's ``predict`` does, and choose the size of the next step.

        Args:
            observation: One observation, or a batch of them.
            state: Handed back unchanged: there is no memory.
            episode_start: Not used.
            deterministic: Has to be True.
            action_masks: Which actions are allowed, for the policy of sb3-contrib's MaskablePPO.

        Raises:
            ValueError: If ``deterministic`` is False.
        """
        start = time.perf_counter_ns()
        if not deterministic:
            raise ValueError("a driving predictor is deterministic, got deterministic=False")
        place = self._place
        actor = self._actors[place]
        action = actor(observation) if action_masks is None else actor(observation, action_masks)
        latency_us = (time.perf_counter_ns() - start) / 1000.0
        self.record.append(DrivingStep(start / 1e9, self.ladder[place], latency_us))
        self._place = self._controller.record(latency_us)
        return action, state


def _weights(sizes: Sizes) -> tuple[int, Sizes]:
    """Return a key by which sizes ascend: by the weights between hidden layers."""
    return sum(one * other for one, other in pairwise((1, *sizes, 1))), sizes


def _sizes(policy: Resizable, sizes: Sequence[Size] | None) -> set[Sizes]:
    full = policy.max_sizes
    if sizes is None:
        return {tuple(max(1, round(part * one)) for one in full) for part in FRACTIONS}
    if not sizes:
        raise ValueError("got no sizes, expected at least one")
    return {as_sizes(size, len(full), "sizes") for size in sizes}
