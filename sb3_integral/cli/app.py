"""The verbs of ``sb3-integral``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sb3_integral._version import __version__
from sb3_integral.cli.figures import figure

WIDE_TERMINAL = 190
"""Columns from which on the table is printed with scores and p-values."""

app = typer.Typer(
    help="Policies for Stable-Baselines3 whose size is chosen after training.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sb3-integral {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="A configuration, such as zoo_configs/acrobot.yml.")],
    runs: Annotated[Path, typer.Option(help="Where results go: one folder for each experiment.")] = Path(
        "runs"
    ),
    workers: Annotated[
        int,
        typer.Option(min=1, help="Stages made at once, with a thread each.", show_default="all cores"),
    ] = os.cpu_count() or 1,
) -> None:
    """Run an experiment: train an expert, clone it, resize the clones, print the table.

    Whatever is finished is kept. Run it again after an interruption, or with a changed
    configuration, and only what is missing or depends on the change is made.

    Example: [bold]sb3-integral run zoo_configs/acrobot.yml[/]
    """
    errors = Console(stderr=True)
    with errors.status("reading the configuration") if errors.is_terminal else _Nothing():
        from sb3_integral.experiments import (
            REPORT,
            ConfigError,
            ExperimentError,
            build_stages,
            load_config,
            run_stages,
        )
        from sb3_integral.experiments.display import ProgressDisplay

        try:
            experiment = load_config(config)
            stages = build_stages(experiment)
        except (ConfigError, ValueError) as error:
            _fail(errors, str(error))

    root = runs / experiment.name
    try:
        with ProgressDisplay(errors, len(stages)) as display:
            run_stages(stages, root, workers, display)
    except ExperimentError as error:
        _fail(errors, str(error))
    _show(root / REPORT)


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="An experiment's folder, such as runs/acrobot.")],
) -> None:
    """Print the table of a finished experiment."""
    report = folder / "report"
    if not (report / "table.md").is_file():
        _fail(
            Console(stderr=True),
            f"{folder} holds no finished experiment, expected {report / 'table.md'}; "
            f"`sb3-integral run` makes one",
        )
    _show(report)


app.command()(figure)


@app.command(context_settings={"allow_interspersed_args": False})
def imitation(
    script: Annotated[
        str,
        typer.Argument(help="train_imitation, train_adversarial or eval_policy.", show_default=False),
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            help="A command, then what to configure; passed on unchanged.", show_default=False
        ),
    ] = None,
) -> None:
    """Run a script of imitation with integral students and TRPO experts.

    The scripts are imitation's own, with sacred's command line:
    [bold]train_imitation[/] bc or dagger, [bold]train_adversarial[/] gail or airl, [bold]eval_policy[/].

    Two named configurations are added to each of them:
    [bold]integral_student[/]  a student, or a generator, of 100 x 100; bc and
        dagger train it at random sizes (unless bc.random_sizes=False).
        eval_policy evaluates the one at expert.loader_kwargs.path,
        at expert.loader_kwargs.size.
    [bold]trpo_expert[/]  an expert that sb3-contrib's TRPO saved: the file, or
        rl-zoo3's folder, at expert.loader_kwargs.path.

    Results go to output/, or where logging.log_dir says: final.th (bc),
    scratch/policy-latest.pt (dagger), checkpoints/final/gen_policy (gail
    and airl). They are pickles, as SB3's are: read none of a stranger's.

    Example: [bold]sb3-integral imitation train_imitation bc with
    integral_student trpo_expert cartpole
    expert.loader_kwargs.path=expert.zip demonstrations.n_expert_demos=20[/]

    All settings: [bold]sb3-integral imitation train_imitation print_config[/]
    """
    from sb3_integral.imitation.scripts import main

    main([script, *(arguments or [])])


class _Nothing:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def _fail(console: Console, message: str) -> None:
    console.print(f"[red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def _show(report: Path) -> None:
    import json

    import pandas as pd

    from sb3_integral.experiments.report import Column, readable_table

    inputs = json.loads((report / "stage.json").read_text())["inputs"]
    columns = [Column(**column) for column in inputs["columns"]]
    table = pd.read_csv(report / "table.csv")
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE_TERMINAL)
    wide = console.width >= WIDE_TERMINAL
    headings, rows = readable_table(table, columns, details=wide)
    printed = Table(
        title=escape(f"{inputs['config']['env']}: average return, mean ± std over seeds"),
        box=SIMPLE,
    )
    for heading in headings:
        printed.add_column(escape(heading), justify="right")
    for row in rows:
        printed.add_row(*row)
    console.print(printed)
    if not wide:
        typer.echo("with scores and p-values:")
    for name in ("table.md", "table.csv", "reward_vs_size.png"):
        typer.echo(f"  {report / name}")
    page = report.parent / "page" / "index.html"
    if page.is_file():
        typer.echo(f"  {page}")
