"""The verb ``compress``: from a trained agent to the smallest file that does the same job."""

from __future__ import annotations

import importlib
import math
import re
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from sb3_integral.cli.console import errors_as_messages, note, results_console

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
"""Seconds in each unit of time."""


def compress(
    agent: Annotated[
        Path,
        typer.Argument(
            help="A zip of SB3, a safe file, or the folder of a run of rl-zoo3.", show_default=False
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The file: .onnx, .h (C), .zip (plain SB3), .pt2 or .safetensors."
        ),
    ] = Path("actor.onnx"),
    env: Annotated[
        str | None,
        typer.Option(
            help="The environment, such as module:MyEnv-v0; a run's folder knows its own.",
            show_default=False,
        ),
    ] = None,
    gym_packages: Annotated[
        list[str] | None,
        typer.Option(help="A module that registers environments. Can be repeated.", show_default=False),
    ] = None,
    keep: Annotated[
        float, typer.Option(help="The share of the return above random actions' that must be kept.")
    ] = 0.98,
    tolerance: Annotated[
        float | None,
        typer.Option(help="How much mean return may be lost, in place of --keep.", show_default=False),
    ] = None,
    confidence: Annotated[float, typer.Option(help="How often the choice has to be right.")] = 0.95,
    max_parameters: Annotated[
        int | None, typer.Option(help="Most weights and biases.", show_default=False)
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option(help="Most bytes of these in float32.", show_default=False)
    ] = None,
    max_macs: Annotated[
        int | None,
        typer.Option(help="Most multiply-accumulates for an observation.", show_default=False),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(
            help="No more teaching begins after this time, such as 5m or 2h.", show_default=False
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Most rounds of teaching.")] = 6,
    episodes: Annotated[int, typer.Option(min=16, help="Most episodes that test one size.")] = 1000,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="For the student, the report and what is not finished.",
            show_default="<output>-compression",
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(help="onnx, c, sb3, torch or safe.", show_default="the file's ending"),
    ] = None,
    name: Annotated[str, typer.Option(help="How names in the C header begin.")] = "policy",
    seed: Annotated[int, typer.Option(help="Draws everything.")] = 0,
) -> None:
    """Write the smallest file that does what a trained agent does, and prove it.

    A resizable student learns from the agent until it is as good. Then the smallest size is
    looked for that still is, layer by layer. Student and agent play the same episodes, as many
    as a decision takes.

    What is finished is kept in a folder beside the file: the same command goes on after an
    interruption. The folder also has the report, the student and all numbers.

    SB3's zip files are pickles, which can run code: open only files that you trust.

    Example: [bold]sb3-integral compress logs/ppo/LunarLander-v3_1 --keep 0.98 -o actor.h[/]
    """
    errors = Console(stderr=True)
    with errors_as_messages(errors):
        from sb3_integral.deploy.compress import compress as run
        from sb3_integral.deploy.compress.report import COLUMNS, REPORT, table

        for module in gym_packages or ():
            importlib.import_module(module)
        result = run(
            agent,
            env,
            output,
            keep=keep,
            tolerance=tolerance,
            confidence=confidence,
            max_parameters=max_parameters,
            max_bytes=max_bytes,
            max_macs=max_macs,
            format=format,
            name=name,
            folder=folder,
            max_rounds=rounds,
            max_episodes=episodes,
            max_seconds=math.inf if time is None else seconds(time),
            seed=seed,
            on_progress=lambda what: note(errors, what),
        )
    shown = Table(*COLUMNS, box=SIMPLE)
    for row, trial in zip(table(result), result.trials, strict=True):
        shown.add_row(*row, style="bold" if trial.sizes == result.sizes else None)
    results_console().print(shown)
    typer.echo(f"{result.file}: {result}")
    typer.echo(f"the evidence: {result.folder / REPORT}")


def seconds(text: str) -> float:
    """Return a time such as 90, 90s, 5m or 1.5h in seconds.

    Raises:
        ValueError: If it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not found or float(found[1]) == 0.0:
        raise ValueError(f"expected a time such as 90s, 5m or 2h, got {text!r}")
    return float(found[1]) * UNITS[found[2]]
