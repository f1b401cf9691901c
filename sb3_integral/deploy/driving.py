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
"""The sizes prepared by default, as fractions of the full size."""

IDLE_CALLS = 200
"""How often each size is called to measure its idle latency."""


class DrivingStep(NamedTuple):
    """When an observation arrived (``time.perf_counter``), at which sizes it was acted on, how long."""

    seconds: float
    sizes: Sizes
    latency_us: float


class DrivingPredictor:
    """Acts deterministically, at the largest size that keeps a latency.

    Every size is prepared at the beginning, so that changing the size is as cheap as exchanging a
    reference. Actions are those of ``policy.resize(size).predict(observation, deterministic=True)``, up
    to rounding.

    The wall time from observation to action is measured and kept below the target. It includes pauses
    in which the operating system runs other processes, which interrupt a smaller size less often. The
    next size is chosen after the clock has stopped. One thread is best for a single observation.

    Args:
        policy: An integral policy or a :class:`~sb3_integral.ResizablePolicy`, not recurrent. It is not
            used after the construction.
        target_us: The latency to keep, in microseconds.
        sizes: The sizes to prepare, each one integer for all layers or one per layer; by default
            fractions of the full size.
        make_actor: Returns the actor of an ordinary policy.
        max_steps_kept: The number of last steps in the record.
        **controller: Arguments of :class:`~sb3_integral.deploy.SizeController`, such as ``headroom``.

    Attributes:
        ladder: The prepared sizes, ascending.
        idle_us: The latency of each in microseconds, measured at the beginning.
        record: The last steps, oldest first.

    Raises:
        ValueError: If a size or a number is out of range, or the policy is recurrent or can't be
            resized.
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
        """The current sizes, one per layer."""
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
        """Return the action, as the ``predict`` of SB3's policies, and choose the size of the next step.

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
    """Return a sort key: the number of weights between hidden layers, then the sizes."""
    return sum(one * other for one, other in pairwise((1, *sizes, 1))), sizes


def _sizes(policy: Resizable, sizes: Sequence[Size] | None) -> set[Sizes]:
    full = policy.max_sizes
    if sizes is None:
        return {tuple(max(1, round(part * one)) for one in full) for part in FRACTIONS}
    if not sizes:
        raise ValueError("got no sizes, expected at least one")
    return {as_sizes(size, len(full), "sizes") for size in sizes}
