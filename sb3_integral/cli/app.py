"""The verbs of ``sb3-integral``."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sb3_integral._version import __version__
from sb3_integral.cli.budget import drive, fit, smallest
from sb3_integral.cli.compress import compress
from sb3_integral.cli.console import fail
from sb3_integral.cli.export import export, rewards
from sb3_integral.cli.results import figure, print_results, show

app = typer.Typer(
    help="Policies for Stable-Baselines3 whose size is chosen after training.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

PASSED_ON = {"allow_interspersed_args": False}
"""For a verb whose arguments are another program's, options included."""


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


def _command(verb: Callable[..., None]) -> Callable[..., None]:
    """Add a verb; each paragraph of its help is one line, which any terminal breaks between words."""
    paragraphs = (inspect.getdoc(verb) or "").split("\n\n")
    is_list = [re.search(r"^( |\[bold\])", text, re.MULTILINE) is not None for text in paragraphs]
    text = "\n\n".join(
        paragraph if listed else paragraph.replace("\n", " ")
        for paragraph, listed in zip(paragraphs, is_list, strict=True)
    )
    app.command(help=text, context_settings=PASSED_ON if verb.__name__ == "imitation" else None)(verb)
    return verb


@_command
def run(
    configs: Annotated[
        list[Path],
        typer.Argument(
            help="Configurations, such as zoo_configs/acrobot.yml; several run side by side.",
            show_default=False,
        ),
    ],
    preset: Annotated[
        str | None,
        typer.Option(
            help="The scale: quick, standard, students, paper, or another of the file's own.",
            show_default="the file's default_preset, or standard",
        ),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Where results go: one folder for each experiment.")] = Path(
        "runs"
    ),
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            help="Stages made at once on this machine, with a thread each.",
            show_default="all cores",
        ),
    ] = os.cpu_count() or 1,
    stages: Annotated[
        list[str] | None,
        typer.Option(
            help="Make only stages of such names, and what they need: 'seed-0/*'. Can be repeated.",
            show_default="all",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Make the stages on a Ray cluster: auto, 10.0.0.1:6379 or ray://10.0.0.1:10001.",
            show_default="on this machine",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the stages, and how long they would take.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Make the stages again that are finished already.")
    ] = False,
) -> None:
    """Run experiments: train an expert, clone it, resize the clones, print the table.

    Results go to a folder of the experiment's name and preset, such as runs/acrobot-quick.
    Whatever is finished is kept. Run it again after an interruption, or with a changed
    configuration, and only what is missing or depends on the change is made. What two
    presets have in common, such as the expert, is made once.

    How long it will take is said before it begins, as far as stages like its own were
    made before. A stage is made again when its settings changed, or the versions of the
    packages behind it, or the code of the environment; --fresh makes all of them again.

    Example: [bold]sb3-integral run zoo_configs/acrobot.yml --preset quick[/]

    All at once: [bold]sb3-integral run zoo_configs/*.yml --preset quick[/]
    """
    errors = Console(stderr=True)
    with errors.status("reading the configuration") if errors.is_terminal else nullcontext():
        from sb3_integral.cli.run import RunError, run_experiments

    try:
        finished = run_experiments(
            configs, preset, runs, workers, stages or [], ray, errors, dry_run=dry_run, fresh=fresh
        )
    except RunError as error:
        _print_each(error.finished)
        fail(errors, str(error))
    _print_each(finished)


@_command
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
    and airl). They are pickles, as SB3's are: read only those that you trust.

    Example: [bold]sb3-integral imitation train_imitation bc with
    integral_student trpo_expert cartpole
    expert.loader_kwargs.path=expert.zip demonstrations.n_expert_demos=20[/]

    All settings: [bold]sb3-integral imitation train_imitation print_config[/]
    """
    from sb3_integral.imitation.scripts import main

    main([script, *(arguments or [])])


for _verb in (compress, show, figure, export, rewards, fit, smallest, drive):
    _command(_verb)


def _print_each(folders: Sequence[Path]) -> None:
    if not folders:  # a mistake in a configuration is told without pandas
        return
    from sb3_integral.experiments.report.load import load_results

    for folder in folders:
        print_results([load_results(folder)])
