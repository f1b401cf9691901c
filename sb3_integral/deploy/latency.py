"""How long an actor takes for one observation, on the machine that asks."""

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
"""Calls that are not counted: caches, and the processor's clock, have to come up first."""

NANOSECONDS = 1000.0
"""In a microsecond."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch and NumPy compute in one thread inside a block.

    Raises:
        ImportError: If threadpoolctl is not installed.
    """
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
    """Return the wall time of each of many warm calls, in microseconds.

    Args:
        actor: What is measured.
        observation: What it is called with.
        calls: How often it is measured, after a warm-up.

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
        taken.append((clock() - start) / NANOSECONDS)
    return taken


@dataclass(frozen=True)
class MeasuredLatency:
    """The latency of a policy as it would be shipped: median of many warm calls in one thread.

    Args:
        make_actor: Makes of an ordinary policy what would run on the machine: a function of one
            observation. By default the quickest that this library has; a function that exports the
            policy and returns an ONNX session's call is as good.
        calls: How many calls the median is taken of.
    """

    make_actor: Callable[[BasePolicy], Callable[[Any], object]] = quickest_actor
    calls: int = 500

    def __call__(self, policy: BasePolicy) -> float:
        """Measure an ordinary policy, in microseconds.

        Raises:
            ImportError: If threadpoolctl is not installed.
        """
        actor = self.make_actor(policy)
        with one_thread():
            return median(latencies_us(actor, example_observation(policy.observation_space), self.calls))
