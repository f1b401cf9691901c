"""The command ``compress``: from a trained agent to the smallest file that does the same job."""

from __future__ import annotations

import importlib
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.bar import Bar
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from sb3_integral.cli.console import errors_as_messages, note, results_console
from sb3_integral.cli.notes import ActionNames, Meta, ObservationNames, notes_of
from sb3_integral.cli.options import EnvId, Name, PolicyPath, Seed, WeightsOf, option

if TYPE_CHECKING:
    from sb3_integral.deploy.compress import Compressed

BAR_WIDTH = 20
"""Of the bars that show how much return is kept."""

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
"""Seconds in each unit of time."""


Output = Annotated[
    Path, option("The file: .onnx, .h (C), .zip (plain SB3), .pt2 or .safetensors.", "--output", "-o")
]
GymPackages = Annotated[
    list[str] | None, option("A module that registers environments. Can be repeated.")
]
Keep = Annotated[
    float | None,
    option(
        "Share of the agent's return, counted from that of random actions, that must be kept.",
        show_default="0.98; with a limit alone, the best that fits",
    ),
]
Tolerance = Annotated[
    float | None, option("How much mean return may be lost. Takes the place of --keep.")
]
Confidence = Annotated[float, option("Probability that the chosen size is as good as asked.")]
MaxParameters = Annotated[int | None, option("Most weights and biases.")]
MaxBytes = Annotated[int | None, option("Most bytes that weights and biases take in float32.")]
MaxMacs = Annotated[int | None, option("Most multiply-accumulates for an observation.")]
Time = Annotated[str | None, option("Begin no round of teaching after this time, such as 5m or 2h.")]
Frames = Annotated[
    int, option("Observations that the student sees as one, for agents with a memory.", min=1)
]
Rounds = Annotated[int, option("Most rounds of teaching.", min=1)]
Episodes = Annotated[int, option("Most episodes to test one size with.", min=32)]
Folder = Annotated[
    Path | None,
    option("Where the student, the report and unfinished work go.", show_default="<output>-compression"),
]
Format = Annotated[str | None, option("onnx, c, sb3, torch or safe.", show_default="the file's ending")]


def compress(
    agent: PolicyPath,
    output: Output = Path("actor.onnx"),
    env: EnvId = None,
    gym_packages: GymPackages = None,
    keep: Keep = None,
    tolerance: Tolerance = None,
    confidence: Confidence = 0.95,
    max_parameters: MaxParameters = None,
    max_bytes: MaxBytes = None,
    max_macs: MaxMacs = None,
    time: Time = None,
    frames: Frames = 1,
    rounds: Rounds = 6,
    episodes: Episodes = 1000,
    folder: Folder = None,
    format: Format = None,
    name: Name = "policy",
    weights: WeightsOf = "float32",
    observation_names: ObservationNames = None,
    action_names: ActionNames = None,
    meta: Meta = None,
    seed: Seed = 0,
) -> None:
    """Write the smallest file found that does what a trained agent does, with a test of that.

    A resizable student learns from the agent until it is as good. Then the command searches,
    layer by layer, for the smallest size that is still as good. Student and agent play the same
    episodes, as many as each decision takes.

    Finished steps are kept in a folder beside the file, so the same command goes on after an
    interruption. The folder also has the report, the student and all numbers.

    SB3's zip files are pickles, which can run code: open only files that you trust.

    Example: `sb3-integral compress logs/ppo/LunarLander-v3_1 --keep 0.98 -o actor.h`
    """
    errors = Console(stderr=True)
    with errors_as_messages(errors):
        from sb3_integral.deploy.compress import compress as run

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
            weights=weights,
            notes=notes_of(env, observation_names, action_names, meta),
            folder=folder,
            frames=frames,
            max_rounds=rounds,
            max_episodes=episodes,
            max_seconds=math.inf if time is None else seconds(time),
            seed=seed,
            on_progress=lambda what: note(errors, what),
        )
    show(result)


def show(result: Compressed) -> None:
    """Print the table with the curve of kept return as bars, the choice and where the evidence is."""
    from sb3_integral.deploy.compress.report import COLUMNS, REPORT, table

    shown = Table(*COLUMNS, "", box=SIMPLE)
    for row, trial in zip(table(result), result.trials, strict=True):
        share = min(max(result.kept(trial.comparison)[0], 0.0), 1.0)
        style = "bold" if trial.sizes == result.sizes else None
        shown.add_row(*row, Bar(1.0, 0.0, share, width=BAR_WIDTH), style=style)
    results_console().print(shown)
    typer.echo(f"{result.file}: {result}")
    if (result.of_file or result.chosen.comparison).verdict != "as good":
        typer.echo("No size within the limit is as good as the agent; this is the best one.")
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
