"""The options that several commands have, and the short form in which all are declared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def option(help: str, *names: str, **settings: Any) -> Any:
    """Return an option of a command, for :class:`typing.Annotated`."""
    return typer.Option(*names, help=help, **settings)


def argument(help: str, **settings: Any) -> Any:
    """Return a positional argument of a command, for :class:`typing.Annotated`."""
    return typer.Argument(help=help, **settings)


PolicyPath = Annotated[
    Path, argument("A zip file of SB3, a safe file (.safetensors), or the folder of a run.")
]
EnvId = Annotated[str | None, option("The environment; a run's folder knows its own.", "--env")]
Method = Annotated[
    str | None, option("How a policy that is not integral is resized.", show_default="the best one")
]
Sizes = Annotated[str | None, option("Sizes, such as 64,32,16; 64x32 has a size for each layer.")]
Seed = Annotated[int, option("The seed of the environments.")]
Name = Annotated[str, option("How names in the C header begin.")]
WeightsOf = Annotated[
    Literal["float32", "int8", "int4", "q15"],
    option(
        "How weights are kept: int8 for ONNX and C, int4 or q15 (16-bit fixed point) for C.", "--weights"
    ),
]
