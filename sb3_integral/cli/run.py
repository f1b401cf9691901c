"""What ``sb3-integral run`` does: read, predict, run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sb3_integral.cli.durations import about
from sb3_integral.cli.progress import ProgressDisplay
from sb3_integral.experiments import (
    REPORT,
    ConfigError,
    Executor,
    Experiment,
    ExperimentError,
    Forecast,
    LocalExecutor,
    Plan,
    load_experiments,
    run_stages,
    tasks_of,
    wall_seconds,
)


class RunError(RuntimeError):
    """What went wrong, and what was finished nevertheless.

    Args:
        message: What went wrong.
        finished: Folders of the experiments whose reports are there.
    """

    def __init__(self, message: str, finished: Sequence[Path] = ()) -> None:
        super().__init__(message)
        self.finished = finished


def run_experiments(
    paths: Sequence[Path],
    preset: str | None,
    runs: Path,
    workers: int,
    patterns: Sequence[str],
    ray: str | None,
    console: Console,
    *,
    dry_run: bool,
) -> list[Path]:
    """Run experiments side by side.

    Args:
        paths: Their configurations.
        preset: The scale; None takes each file's own default.
        runs: Where results go.
        workers: How many stages are made at once on this machine.
        patterns: Which stages are to be made, with what they need; none for all.
        ray: Address of a Ray cluster; None for this machine.
        console: Where to tell how it goes.
        dry_run: Whether only to say what would be made, and how long it would take.

    Returns:
        The folders of those whose reports are there now; none in a dry run.

    Raises:
        RunError: If a configuration cannot be used, or a stage failed.
    """
    try:
        experiments = load_experiments(paths, preset, runs)
        if patterns:
            experiments = [
                replace(experiment, plan=experiment.plan.selected(patterns))
                for experiment in experiments
            ]
    except (ConfigError, ValueError) as error:
        raise RunError(str(error)) from error
    plans = [experiment.plan for experiment in experiments]
    try:
        with ExitStack() as stack:
            executor: Executor = stack.enter_context(_executor(workers, ray))
            _time_miniatures(experiments, executor, console)
            forecasts = [experiment.forecast() for experiment in experiments]
            if dry_run:
                answer = Console()  # it is what was asked for, and no remark
                for plan, expected in zip(plans, forecasts, strict=True):
                    _list_stages(plan, expected, answer)
                _tell(experiments, forecasts, executor.workers, answer)
                return []
            _tell(experiments, forecasts, executor.workers, console)
            with ProgressDisplay(console, tasks_of(plans), _by_label(plans, forecasts)) as display:
                run_stages(plans, executor, display)
    except (ExperimentError, ConnectionError, ImportError) as error:
        raise RunError(str(error), _finished(plans)) from error
    return _finished(plans)


def _executor(workers: int, ray: str | None) -> Executor:
    if ray is None:
        return LocalExecutor(workers)
    from sb3_integral.experiments.engine.on_ray import RayExecutor

    return RayExecutor(ray)


def _time_miniatures(experiments: Sequence[Experiment], executor: Executor, console: Console) -> None:
    plans = [plan for experiment in experiments if (plan := experiment.timing_plan()) is not None]
    if all(stage.is_done(plan.root) for plan in plans for stage in plan.stages):
        return
    if any(plan.pending() for plan in plans):
        console.print("timing a miniature, to predict how long it will take", style="dim")
    # Its stages are of no interest, and those of one that fails will fail where it matters.
    quiet = Console(stderr=True, quiet=True)
    with ProgressDisplay(quiet, tasks_of(plans)) as display:
        try:
            run_stages(plans, executor, display)
        except ExperimentError as error:
            console.print(f"no full prediction: {str(error).splitlines()[0]}", style="dim", markup=False)


def _tell(
    experiments: Sequence[Experiment], forecasts: Sequence[Forecast], workers: int, console: Console
) -> None:
    for experiment, expected in zip(experiments, forecasts, strict=True):
        pending = len(experiment.plan.pending())
        if not pending:
            continue
        parts = ", ".join(f"{group} {about(seconds)}" for group, seconds in expected.groups.items())
        console.print(
            f"{experiment.config.folder}: {'at most ' if expected.at_most else ''}"
            f"about {about(wall_seconds([expected], workers))} on {_count(workers, 'worker')}"
            f" for {_count(pending, 'stage')} (one worker's time: {parts})",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        if expected.unknown:
            console.print(f"  not counting {_count(len(expected.unknown), 'stage')}", style="dim")
    if sum(bool(expected.seconds) for expected in forecasts) > 1:
        console.print(f"all together: about {about(wall_seconds(forecasts, workers))}", highlight=False)


def _list_stages(plan: Plan, expected: Forecast, console: Console) -> None:
    table = Table(title=escape(plan.root.name), box=SIMPLE)
    table.add_column("stage")
    table.add_column("")
    table.add_column("seconds", justify="right")
    pending = {stage.name for stage in plan.pending()}
    for stage in plan.stages:
        if stage.name not in pending:
            done = "done" if stage.is_done(plan.root) else "done in another folder"
            table.add_row(escape(stage.name), done, "")
        else:
            seconds = expected.seconds.get(stage.name)
            table.add_row(escape(stage.name), "to do", "?" if seconds is None else f"{seconds:.0f}")
    console.print(table)


def _by_label(plans: Sequence[Plan], forecasts: Sequence[Forecast]) -> dict[str, float]:
    by_root = {plan.root: expected.seconds for plan, expected in zip(plans, forecasts, strict=True)}
    return {
        task.label: by_root[task.root][task.stage.name]
        for task in tasks_of(plans)
        if task.stage.name in by_root[task.root]
    }


def _finished(plans: Sequence[Plan]) -> list[Path]:
    return [
        plan.root
        for plan in plans
        if any(stage.name == REPORT and stage.is_done(plan.root) for stage in plan.stages)
    ]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
