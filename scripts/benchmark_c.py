"""The C header against the one that an older revision writes of the same network, by turns.

Prints the median of the ratios, and each header's fastest round: what the machine does when nobody else
has it. ``git`` and ``cc`` are needed.
"""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from benchmark_deploy import MAIN, processor
from gymnasium import spaces
from rich.console import Console
from rich.table import Table

from sb3_integral.deploy import export_c, save_policy
from sb3_integral.imitation.students import StudentArchitecture

OBSERVED, ACTED = 17, 6
CALLS = 20_000
EXPORT = """
import sys
from sb3_integral.deploy import export_c, load_policy
export_c(load_policy(sys.argv[1]), sys.argv[2])
"""


def older(revision: str, policy: Path, folder: Path) -> Path:
    """Write the header of a policy as a revision of this repository does."""
    archive = subprocess.run(
        ["git", "archive", revision, "sb3_integral"],
        cwd=Path(__file__).parents[1],
        check=True,
        capture_output=True,
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as content:
        content.extractall(folder, filter="data")
    header = folder / "policy.h"
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", EXPORT, str(policy), str(header)]
    subprocess.run(command, check=True, env=environment, cwd=folder)
    return header


def compiled(folder: Path, level: str) -> tuple[Path, int]:
    """Compile a folder's header; return a program that prints its µs, and the header's bytes."""
    (folder / "main.c").write_text(MAIN, encoding="ascii")
    called = (
        "void f(const float *o, float *a);\nvoid f(const float *o, float *a) { policy_act(o, a); }\n"
    )
    (folder / "f.c").write_text(f'#include "policy.h"\n{called}', encoding="ascii")
    flags = ["cc", "-std=c99", level, "-D_POSIX_C_SOURCE=199309L", f"-DCALLS={CALLS}"]
    subprocess.run([*flags, "main.c", "-o", "main", "-lm"], cwd=folder, check=True)
    subprocess.run([*flags, "-c", "f.c", "-o", "f.o"], cwd=folder, check=True)
    said = subprocess.run(
        ["size", "f.o"], cwd=folder, check=True, capture_output=True, text=True, encoding="utf-8"
    )
    return folder / "main", int(said.stdout.splitlines()[1].split()[0])


def times(program: Path) -> float:
    said = subprocess.run([program], check=True, capture_output=True, text=True, encoding="utf-8")
    return float(said.stdout.split()[0])


def main(
    against: Annotated[str, typer.Option(help="A revision of this repository.")] = "a4a7108",
    sizes: Annotated[list[int] | None, typer.Option("--size", help="Neurons of a layer.")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 15,
) -> None:
    """Print µs for one observation of networks 17-N-N-6, and bytes of code and constants."""
    torch.set_num_threads(1)
    table = Table(
        "N", "activation", "level", "old µs", "new µs", "new / old", "fastest", "bytes, old", "new"
    )
    for size in sizes or (30, 64, 256):
        for activation in ("relu", "tanh"):
            box = spaces.Box(-np.inf, np.inf, (OBSERVED,)), spaces.Box(-1.0, 1.0, (ACTED,))
            student = StudentArchitecture("plain", (size, size), activation=activation).build(
                *box, seed=0
            )
            with tempfile.TemporaryDirectory() as folder:
                new, old = Path(folder) / "new", Path(folder) / "old"
                for own in (new, old):
                    own.mkdir()
                save_policy(student, new / "policy.safetensors")
                export_c(student, new / "policy.h")
                older(against, new / "policy.safetensors", old)
                for level in ("-O3", "-O2", "-Os"):
                    programs = [compiled(own, level) for own in (old, new)]
                    measured = [[times(program) for program, _ in programs] for _ in range(rounds)]
                    first, second = zip(*measured, strict=True)
                    ratio = statistics.median(b / a for a, b in measured)
                    shown = (statistics.median(first), statistics.median(second), ratio)
                    best = f"{min(second):.3f} / {min(first):.3f}"
                    flash = [str(text) for _, text in programs]
                    numbers = (f"{value:.3f}" for value in shown)
                    table.add_row(str(size), activation, level, *numbers, best, *flash)
    console = Console(width=110)
    console.print(f"{processor()}, {rounds} rounds, against {against}")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
