"""What a size change of the driving predictor costs, and what each size takes, on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer
from gymnasium import spaces
from rich.console import Console
from rich.table import Table

from sb3_integral.deploy import DrivingPredictor, SizeController
from sb3_integral.deploy.latency import latencies_us, one_thread
from sb3_integral.imitation import StudentArchitecture

OBSERVATIONS = spaces.Box(-np.inf, np.inf, (17,), np.float64)
ACTIONS = spaces.Box(-1.0, 1.0, (6,), np.float32)
FOREVER = 1e9


def timed_us(call: Callable[[], Any]) -> float:
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1000.0


def main(
    width: Annotated[int, typer.Option(help="Neurons in each of two hidden layers.")] = 1024,
    rounds: Annotated[int, typer.Option(help="Size changes measured.")] = 1000,
) -> None:
    """Print medians and 99th percentiles in microseconds, for an actor of HalfCheetah's shape."""
    console = Console(width=110)
    policy = StudentArchitecture("integral", hidden_sizes=(width, width)).build(OBSERVATIONS, ACTIONS, 0)
    observation = np.random.default_rng(0).normal(size=17)
    with one_thread():
        driver = DrivingPredictor(policy, FOREVER)
        table = Table("N", "predict", "idle_us", "SB3's predict", "ratio", title="latencies, µs, median")
        for sizes, idle in zip(reversed(driver.ladder), reversed(driver.idle_us), strict=True):
            own = DrivingPredictor(policy, FOREVER, sizes=[sizes])
            plain = policy.discretize(sizes)
            ours = median(latencies_us(own.predict, observation))
            theirs = median(
                latencies_us(
                    lambda one, plain=plain: plain.predict(one, deterministic=True), observation
                )
            )
            table.add_row(
                str(sizes[0]), f"{ours:.1f}", f"{idle:.1f}", f"{theirs:.1f}", f"{theirs / ours:.1f}"
            )
        console.print(table)

        # One step in time, or one too late, after a full window.
        decisions: dict[str, list[float]] = {"stay": [], "change": []}
        for _ in range(rounds):
            for kind, latency in (("stay", driver.idle_us[-1]), ("change", 2 * FOREVER)):
                controller = SizeController(driver.idle_us, FOREVER, max_miss_share=0.0)
                for _ in range(controller.window):
                    controller.record(driver.idle_us[-1])
                before = controller.place
                decisions[kind].append(timed_us(partial(controller.record, latency)))
                assert (controller.place != before) == (kind == "change")
        # The weights of a size that was not used are in no cache.
        ends = [DrivingPredictor(policy, FOREVER, sizes=[driver.ladder[place]]) for place in (-2, -1)]
        for one in ends:
            latencies_us(one.predict, observation)
        first: dict[str, list[float]] = {"first step at it": [], "second step at it": []}
        for _ in range(rounds):
            for one in ends:
                for kind in first:
                    taken = timed_us(partial(one.predict, observation))
                    if one is ends[0]:
                        first[kind].append(taken)
    for kind, values in (decisions | first).items():
        p99 = np.percentile(values, 99)
        console.print(f"{kind:>20}: median {median(values):6.1f} µs, 99th percentile {p99:6.1f} µs")
    extra = median(decisions["change"]) - median(decisions["stay"])
    console.print(
        f"a size change costs {extra:.1f} µs more than none, the decision included "
        f"({median(decisions['change']):.1f} µs in all)"
    )


if __name__ == "__main__":
    typer.run(main)
