"""The commands that print and draw finished experiments: ``show`` and ``figure``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from sb3_integral.cli.console import errors_as_messages, note, results_console
from sb3_integral.cli.options import argument, option
from sb3_integral.escaping import one_line

if TYPE_CHECKING:
    from sb3_integral.experiments.report.load import Results

Folders = Annotated[
    list[Path],
    argument(
        "Folders of experiments, such as runs/acrobot-quick, or of kept reports, such as "
        "results/acrobot. Other files and folders are left out.",
        metavar="FOLDER",
    ),
]

FILES = ("table.md", "table.csv", "runs.csv", "reward_vs_size.png")
"""The files of a report that people look at."""


def show(folders: Folders) -> None:
    """Print the table of a finished experiment.

    With several, also scores over all their environments.

    Example: `sb3-integral show runs/acrobot-quick`

    Results that are kept: `sb3-integral show results/*`
    """
    with errors_as_messages(Console(stderr=True)):
        print_results(_load(folders))


def figure(
    folders: Folders,
    output: Annotated[Path, option("The PNG file.", "--output", "-o")] = Path("fig3.png"),
    score: Annotated[
        bool, option("Scores in place of returns: 0 is random actions, 1 the plain network.", "--score")
    ] = False,
) -> None:
    """Draw reward against size of several experiments in one picture, as Fig. 3 of the paper.

    Example: `sb3-integral figure results/* -o fig3.png`
    """
    from sb3_integral.atomic import atomic_file, check_file_target

    with errors_as_messages(Console(stderr=True)):
        if output.suffix.lower() != ".png":
            raise ValueError(f"expected a file that ends in .png, got {output}")
        check_file_target(output)
        results = _load(folders)
        from sb3_integral.experiments.report.plot import plot_results

        check_file_target(output, (file for each in results for file in each.folder.iterdir()))
        with atomic_file(output) as partial:
            plot_results(partial, results, "score" if score else "return")
    typer.echo(f"  {one_line(output)}")


def print_results(results: Sequence[Results]) -> None:
    """Print the table of each experiment and, of several, scores over all environments.

    Raises:
        ValueError: If the results of the runs of several cannot be read.
    """
    from sb3_integral.experiments.report.console import combined_console_table, console_table
    from sb3_integral.experiments.report.tables import columns_of, combined_scores

    console = results_console()
    for each in results:
        title = f"{each.env}: average return, mean ± std over seeds"
        console.print(console_table(each.table, title, console.width))
        typer.echo("every column, with scores and p-values:")
        files = [each.folder / name for name in FILES]
        for path in (*files, each.folder.parent / "page" / "index.html"):
            if path.is_file():
                typer.echo(f"  {one_line(path)}")
    if len(results) > 1:
        scores = combined_scores([each.runs() for each in results], columns_of(results[0].table))
        console.print(combined_console_table(scores, [each.env for each in results], console.width))


def _load(folders: Sequence[Path]) -> list[Results]:
    from sb3_integral.experiments.report.load import load_all_results

    results, left_out = load_all_results(folders)
    for path in left_out:
        note(Console(stderr=True), f"{path} holds no finished experiment, left out")
    return results
