"""The verb that draws finished experiments in one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape


def figure(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Finished experiments, such as runs/acrobot, or folders of committed results.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG file.")] = Path("fig3.png"),
    score: Annotated[
        bool,
        typer.Option(
            "--score", help="Scores in place of returns: 0 is random actions, 1 the plain network."
        ),
    ] = False,
) -> None:
    """Draw reward against size of several experiments in one picture, as Fig. 3 of the paper.

    Example: [bold]sb3-integral figure results/* -o fig3.png[/]
    """
    from sb3_integral.atomic import atomic_file, check_file_target
    from sb3_integral.experiments.report.load import read_panel
    from sb3_integral.experiments.report.plot import plot_environments

    try:
        if output.suffix.lower() != ".png":
            raise ValueError(f"expected a file that ends in .png, got {output}")
        check_file_target(output)
        panels = [read_panel(folder) for folder in folders]
        with atomic_file(output) as partial:
            plot_environments(partial, panels, "score" if score else "return")
    except (ValueError, OSError) as error:
        Console(stderr=True).print(
            f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True
        )
        raise typer.Exit(1) from error
    typer.echo(f"  {output}")
