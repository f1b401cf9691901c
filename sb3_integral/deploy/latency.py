"""The latency of an actor for one observation, measured on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from stable_baselines3.common.policies import BasePolicy

from sb3_integral.actor import example_observation, quickest_actor
from sb3_integral.nn import as_size
from sb3_integral.requirements import require

WARM_UP = 50
"""Calls before the measurement, for the caches and the clock rate of the processor."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch and NumPy use one thread inside a block, which needs threadpoolctl."""
    require("deploy", "threadpoolctl")
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def latencies_us(actor: Callable[[Any], object], observation: Any, calls: int = 500) -> list[float]:
    """Return the wall time of each of many calls of a function after a warm-up, in microseconds.

    Raises:
        ValueError: If ``calls`` is not a positive integer.
    """
    calls = as_size(calls, "calls")
    for _ in range(WARM_UP):
        actor(observation)
    clock = time.perf_counter_ns
    taken = []
    for _ in range(calls):
        start = clock()
        actor(observation)
        taken.append((clock() - start) / 1000.0)
    return taken


@dataclass(frozen=True)
class MeasuredLatency:
    """Measures the latency of a deployed policy: the median of many calls in one thread.

    It needs threadpoolctl.

    Args:
        make_actor: Returns a function of one observation for an ordinary policy: the form in which the
            policy will run, such as an ONNX session. By default the quickest actor of this library.
        calls: The number of measured calls.
    """

    make_actor: Callable[[BasePolicy], Callable[[Any], object]] = quickest_actor
    calls: int = 500

    def __call__(self, policy: BasePolicy) -> float:
        """Measure an ordinary policy, in microseconds."""
        actor = self.make_actor(policy)
        with one_thread():
            return median(latencies_us(actor, example_observation(policy.observation_space), self.calls))
