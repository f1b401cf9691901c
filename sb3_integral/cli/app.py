"""The commands of ``sb3-integral``."""

from __future__ import annotations

import os
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
from sb3_integral.cli.options import argument, option
from sb3_integral.cli.results import figure, show

app = typer.Typer(
    help="Policies for Stable-Baselines3 whose size is chosen after training.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sb3-integral {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, option("Print the version.", "--version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    try:
        Path.cwd()
    except OSError:  # torch ends the process then, without a word that helps
        fail(Console(stderr=True), "the current folder was removed, expected one that is there")


Configs = Annotated[
    list[Path], argument("Configurations, such as zoo_configs/acrobot.yml; several run side by side.")
]
Preset = Annotated[
    str | None,
    option(
        "The scale: quick, standard, resized, paper, or another of the file's own.",
        show_default="the file's default_preset, or standard",
    ),
]
Workers = Annotated[
    int,
    option("Stages made at once on this machine, with a thread each.", min=1, show_default="all cores"),
]
Stages = Annotated[
    list[str] | None,
    option("Make only stages of such names, and what they need: 'seed-0/*'. Can be repeated."),
]
RayAddress = Annotated[
    str | None,
    option(
        "Make the stages on a Ray cluster: auto, 10.0.0.1:6379 or ray://10.0.0.1:10001.",
        metavar="ADDRESS",
        show_default="on this machine",
    ),
]
DryRun = Annotated[bool, option("List the stages, and how long they would take.", "--dry-run")]
Fresh = Annotated[bool, option("Make finished stages again.", "--fresh")]


@app.command()
def run(
    configs: Configs,
    preset: Preset = None,
    runs: Annotated[Path, option("Folder of the results; each experiment gets a folder in it.")] = Path(
        "runs"
    ),
    workers: Workers = os.cpu_count() or 1,
    stages: Stages = None,
    ray: RayAddress = None,
    dry_run: DryRun = False,
    fresh: Fresh = False,
) -> None:
    """Run experiments: train an expert, clone it, resize the clones, print the table.

    Results go to a folder named after experiment and preset, such as runs/acrobot-quick.

    Run it again after an interruption, or with a changed configuration, and it makes only what
    is missing or depends on the change. Two presets share what they have in common, such as
    the expert.

    Before it begins, it says how long it will take, if similar stages were made before. A
    stage is made again when its settings, the versions of the packages behind it or the code
    of the environment changed; --fresh makes all stages again.

    Example: `sb3-integral run zoo_configs/acrobot.yml --preset quick`

    All at once: `sb3-integral run zoo_configs/*.yml --preset quick`
    """
    errors = Console(stderr=True)
    with errors.status("reading the configuration") if errors.is_terminal else nullcontext():
        from sb3_integral.cli.run import run_experiments

    run_experiments(
        configs, preset, runs, workers, stages or [], ray, errors, dry_run=dry_run, fresh=fresh
    )


# The arguments of this command are another program's, options included.
@app.command(context_settings={"allow_interspersed_args": False})
def imitation(
    script: Annotated[str, argument("train_imitation, train_adversarial or eval_policy.")],
    arguments: Annotated[
        list[str] | None, argument("A command, then what to configure; passed on unchanged.")
    ] = None,
) -> None:
    """Run a script of imitation with integral students and TRPO experts.

    The scripts are imitation's own, with sacred's command line:

        train_imitation bc or dagger, train_adversarial gail or airl, eval_policy

    Two named configurations are added to each of them:

    - **integral_student**: a student, or a generator, of 100 x 100. bc and dagger train it at random
      sizes (unless bc.random_sizes=False). eval_policy evaluates the one at expert.loader_kwargs.path,
      at expert.loader_kwargs.size.
    - **trpo_expert**: an expert that sb3-contrib's TRPO saved: the file, or rl-zoo3's folder, at
      expert.loader_kwargs.path.

    Results go to output/, or where logging.log_dir says: final.th (bc), scratch/policy-latest.pt
    (dagger), checkpoints/final/gen_policy (gail and airl). They are pickles, as SB3's are: read only
    those that you trust.

    Example:
        sb3-integral imitation train_imitation bc with integral_student trpo_expert cartpole
            expert.loader_kwargs.path=expert.zip demonstrations.n_expert_demos=20

    All settings: `sb3-integral imitation train_imitation print_config`
    """
    from sb3_integral.imitation.scripts import main

    main([script, *(arguments or [])])


for _verb in (compress, show, figure, export, rewards, fit, smallest, drive):
    app.command()(_verb)
