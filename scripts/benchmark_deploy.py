"""Speed of what leaves the library against SB3's ``predict``: one run, one thread, ratios.

Absolute times drift on shared machines; quote the ratios, which are medians over rounds in which
everything is timed once. The fastest round is what the machine does when nobody else has it.
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from gymnasium import spaces
from rich.console import Console
from rich.table import Table

from sb3_integral.deploy import OnnxPolicy, export_c, export_onnx
from sb3_integral.imitation.students import StudentArchitecture

OBSERVATIONS = spaces.Box(-np.inf, np.inf, (17,), np.float64)
ACTIONS = spaces.Box(-1.0, 1.0, (6,), np.float32)
FULL, SMALL = 100, 30
C_CALLS = 50_000
MAIN = r"""
#include <stdio.h>
#include <time.h>
#include "policy.h"

int main(void)
{
    float observation[POLICY_OBSERVATIONS] = {0}, action[POLICY_ACTIONS] = {0};
    struct timespec before, after;
    double sum = 0.0;
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (int call = 0; call < CALLS; ++call) {
        /* Each call waits for the one before, and none can be left out. */
        observation[call % POLICY_OBSERVATIONS] = 0.5f - action[0];
        policy_act(observation, action);
        sum += action[1];
    }
    clock_gettime(CLOCK_MONOTONIC, &after);
    const double seconds = (after.tv_sec - before.tv_sec) + 1e-9 * (after.tv_nsec - before.tv_nsec);
    printf("%.6f %g\n", 1e6 * seconds / CALLS, sum);
    return 0;
}
"""


class Line(NamedTuple):
    """One thing that is measured.

    Attributes:
        name: What it is.
        microseconds: Measures it once.
        wanted: What it should reach, in words.
    """

    name: str
    microseconds: Callable[[], float]
    wanted: str


def per_call(call: Callable[[], object], repetitions: int) -> Callable[[], float]:
    def measure() -> float:
        started = time.perf_counter()
        for _ in range(repetitions):
            call()
        return (time.perf_counter() - started) / repetitions * 1e6

    return measure


def lines(folder: Path) -> list[Line]:
    """Return what is measured; the first is what the others are compared with."""
    architecture = StudentArchitecture("integral", (FULL, FULL), activation="relu")
    integral = architecture.build(OBSERVATIONS, ACTIONS, seed=0)
    integral.set_training_mode(False)
    observation = np.random.default_rng(0).normal(size=17)
    full = integral.discretize(FULL)
    actor = OnnxPolicy(export_onnx(integral, folder / "actor.onnx", size=SMALL))
    small = integral.discretize(SMALL)
    wanted = small.predict(observation, deterministic=True)[0]
    np.testing.assert_allclose(actor.act(observation), wanted, atol=1e-5)
    return [
        Line(
            f"SB3's policy.predict at N = {FULL}",
            per_call(lambda: full.predict(observation, deterministic=True), 50),
            "",
        ),
        Line(
            f"SB3's policy.predict at N = {SMALL}",
            per_call(lambda: small.predict(observation, deterministic=True), 50),
            "",
        ),
        Line(
            f"ONNX actor at N = {SMALL}, act",
            per_call(lambda: actor.act(observation), 500),
            "15 times faster",
        ),
        Line(
            f"ONNX actor at N = {SMALL}, predict",
            per_call(lambda: actor.predict(observation), 300),
            "",
        ),
        Line(
            f"C at N = {SMALL}, called from C",
            c_caller(export_c(integral, folder / "policy.h", size=SMALL).parent),
            "100 times faster",
        ),
        Line(
            f"policy.discretize({FULL})",
            per_call(lambda: integral.discretize(FULL), 4),
            "at most 2000 µs",
        ),
        Line(
            f"policy.discretize({SMALL})",
            per_call(lambda: integral.discretize(SMALL), 4),
            "",
        ),
    ]


def c_caller(folder: Path) -> Callable[[], float]:
    (folder / "main.c").write_text(MAIN, encoding="utf-8")
    program = folder / "main"
    flags = ("-std=c99", "-O3", "-D_POSIX_C_SOURCE=199309L", f"-DCALLS={C_CALLS}")
    subprocess.run(["cc", *flags, folder / "main.c", "-o", program, "-lm"], check=True)

    def measure() -> float:
        said = subprocess.run(
            [program], check=True, capture_output=True, text=True, encoding="utf-8"
        ).stdout
        return float(said.split()[0])

    return measure


def processor() -> str:
    """Return the name of this machine's processor, and its family and model."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.is_file() else []
    parts = (line.partition(":") for line in lines)
    found = {name.strip(): value.strip() for name, _, value in parts}
    names = ("model name", "cpu family", "model")
    return ", ".join(f"{name} {found[name]}" for name in names if name in found) or platform.processor()


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of measurements.")] = 31,
) -> None:
    """Print medians, and ratios to SB3's predict."""
    torch.set_num_threads(1)
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as folder:
        measured = lines(Path(folder))
        for line in measured:
            line.microseconds()
        times: dict[str, list[float]] = {line.name: [] for line in measured}
        for _ in range(rounds):
            for line in measured:
                times[line.name].append(line.microseconds())
    first = times[measured[0].name]
    table = Table("what", "median µs", "fastest µs", "times faster than predict", "wanted")
    for name, _, wanted in measured:
        ratio = statistics.median(a / b for a, b in zip(first, times[name], strict=True))
        own = times[name]
        table.add_row(name, f"{statistics.median(own):.2f}", f"{min(own):.2f}", f"{ratio:.2f}", wanted)
    console.print(processor())
    console.print(f"torch {torch.__version__}, 1 thread, {rounds} rounds, 17-N-N-6 with ReLU")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
