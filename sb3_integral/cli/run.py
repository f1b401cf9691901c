"""The verb ``sb3-integral run``: read the configurations, predict how long they take, run them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sb3_integral.cli.durations import about
from sb3_integral.experiments.config.load import ConfigError, load_config

if TYPE_CHECKING:
    from sb3_integral.experiments.engine.executor import Executor
    from sb3_integral.experiments.engine.forecast import Forecast
    from sb3_integral.experiments.engine.plan import Plan
    from sb3_integral.experiments.load import Experiment


class RunError(RuntimeError):
    """What went wrong, and what was finished nevertheless.

    Args:
        message: What went wrong.
        finished: Folders of the experiments whose reports are there.
    """

    def __init__(self, message: str, finished: Sequence[Path] = ()) -> None:
        super().__init__(message)
        self.finished = finished


class Stopped(KeyboardInterrupt):
    """A signal asked the run to stop.

    Args:
        number: The signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


def run_experiments(
    paths: Sequence[Path],
    preset: str | None,
    runs: Path,
    workers: int,
    patterns: Sequence[str],
    ray: str | None,
    console: Console,
    *,
    dry_run: bool = False,
    fresh: bool = False,
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
        fresh: Whether to make again what is finished.

    Returns:
        The folders of those whose reports are there now; none in a dry run.

    Raises:
        RunError: If a configuration cannot be used, or a stage failed.
        typer.Exit: If a signal stopped the run, with the status that shells expect.
    """
    plans: list[Plan] = []
    try:
        with _stopping_on_signals():
            experiments = _load(paths, preset, runs, patterns, fresh)
            plans += [experiment.plan for experiment in experiments]
            _run(experiments, workers, ray, console, dry_run=dry_run, fresh=fresh)
    except Stopped as stopped:
        done = sum(stage.is_done(plan.root) for plan in plans for stage in plan.stages)
        total = sum(len(plan.stages) for plan in plans)
        kept = (
            f"{done} of {total} stages are finished and kept in {runs}" if plans else "nothing was begun"
        )
        console.print(
            f"{stopped}: {kept if plans else 'nothing was begun'}; run the same command again to go on",
            markup=False,
            soft_wrap=True,
        )
        raise typer.Exit(128 + stopped.number) from None
    except (ImportError, OSError) as error:
        raise RunError(str(error), _finished(plans)) from error
    return [] if dry_run else _finished(plans)


@contextmanager
def _stopping_on_signals() -> Iterator[None]:
    """Raise :class:`Stopped` on SIGINT and SIGTERM, also where a shell ignores them for its jobs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        for each in numbers:  # the end itself takes a few seconds at most
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _load(
    paths: Sequence[Path], preset: str | None, runs: Path, patterns: Sequence[str], fresh: bool
) -> list[Experiment]:
    try:
        for path in paths:  # a mistake in a file is told before torch is loaded
            load_config(path, preset)
        from sb3_integral.experiments.load import load_experiments

        experiments = load_experiments(paths, preset, runs)
        if patterns:
            experiments = [
                replace(experiment, plan=experiment.plan.selected(patterns))
                for experiment in experiments
            ]
    except (ConfigError, ValueError) as error:
        raise RunError(str(error)) from error
    if fresh:
        roots = tuple(experiment.plan.root for experiment in experiments)
        experiments = [
            replace(experiment, plan=replace(experiment.plan, neighbours=roots))
            for experiment in experiments
        ]
    return experiments


def _run(
    experiments: Sequence[Experiment],
    workers: int,
    ray: str | None,
    console: Console,
    *,
    dry_run: bool,
    fresh: bool,
) -> None:
    from sb3_integral.cli.progress import ProgressDisplay
    from sb3_integral.experiments.engine.forecast import PastStages
    from sb3_integral.experiments.engine.runner import ExperimentError, run_stages, tasks_of

    plans = [experiment.plan for experiment in experiments]
    past = PastStages(dict.fromkeys(root for plan in plans for root in (plan.root, *plan.neighbours)))
    if fresh and not dry_run:
        for plan in plans:
            plan.forget()
    forecasts = [past.forecast(plan) for plan in plans]
    answer = Console() if dry_run else console  # in a dry run it is what was asked for, and no remark
    for experiment, forecast in zip(experiments, forecasts, strict=True):
        if dry_run:
            _list_stages(experiment.plan, forecast, answer)
        for note in (*experiment.notes(), experiment.plan.changes()):
            if note and experiment.plan.pending():
                answer.print(note, style="dim", markup=False, highlight=False, soft_wrap=True)
    with ExitStack() as stack:
        executor: Executor = stack.enter_context(_executor(experiments, workers, ray))
        _tell(experiments, forecasts, executor.workers, answer)
        if not dry_run:
            seconds = _by_label(plans, forecasts)
            display = stack.enter_context(ProgressDisplay(console, tasks_of(plans), seconds))
            try:
                run_stages(plans, executor, display)
            except ExperimentError as error:
                raise RunError(str(error), _finished(plans)) from error


def _executor(experiments: Sequence[Experiment], workers: int, ray: str | None) -> Executor:
    if ray is None:
        from sb3_integral.experiments.engine.local import LocalExecutor

        return LocalExecutor(workers)
    from sb3_integral.experiments.engine.on_ray import RayExecutor
    from sb3_integral.experiments.engine.versions import local_sources

    stages = [stage for experiment in experiments for stage in experiment.plan.stages]
    sources = local_sources({module for stage in stages for module in stage.modules})
    for environment in {stage.environment for stage in stages if stage.environment is not None}:
        sources.update(environment.local_sources())
    return RayExecutor(ray, sources)


def _tell(
    experiments: Sequence[Experiment], forecasts: Sequence[Forecast], workers: int, console: Console
) -> None:
    from sb3_integral.experiments.engine.forecast import wall_seconds

    for experiment, expected in zip(experiments, forecasts, strict=True):
        pending = len(expected.seconds) + len(expected.unknown)
        if not pending:
            continue
        said = f"{experiment.config.folder}: {_count(pending, 'stage')} on {_count(workers, 'worker')}"
        if expected.seconds:
            said += f", about {about(wall_seconds([expected], workers))}"
        if expected.seconds and expected.unknown:
            said += f", not counting {_count(len(expected.unknown), 'stage')} of a new kind"
        if not expected.seconds:
            said += "; no such stage was made before, so how long it takes is not known"
        console.print(said, highlight=False, markup=False, soft_wrap=True)
    if sum(bool(expected.seconds) for expected in forecasts) > 1:
        together = about(wall_seconds(forecasts, workers))
        console.print(f"all together: about {together}", highlight=False, soft_wrap=True)


def _list_stages(plan: Plan, expected: Forecast, console: Console) -> None:
    table = Table(title=escape(plan.root.name), box=SIMPLE)
    table.add_column("stage")
    table.add_column("")
    table.add_column("seconds", justify="right")
    for stage in plan.stages:
        if stage.name in expected.seconds:
            table.add_row(escape(stage.name), "to do", f"{expected.seconds[stage.name]:.0f}")
        elif stage.name in expected.unknown:
            table.add_row(escape(stage.name), "to do", "?")
        else:
            done = "done" if stage.is_done(plan.root) else "done in another folder"
            table.add_row(escape(stage.name), done, "")
    console.print(table)


def _by_label(plans: Sequence[Plan], forecasts: Sequence[Forecast]) -> Mapping[str, float]:
    from sb3_integral.experiments.engine.runner import tasks_of

    by_root = {plan.root: expected.seconds for plan, expected in zip(plans, forecasts, strict=True)}
    return {
        task.label: by_root[task.root][task.stage.name]
        for task in tasks_of(plans)
        if task.stage.name in by_root[task.root]
    }


def _finished(plans: Sequence[Plan]) -> list[Path]:
    if not plans:  # then nothing has loaded torch yet
        return []
    from sb3_integral.experiments.report.write import REPORT

    return [
        plan.root
        for plan in plans
        if any(stage.name == REPORT and stage.is_done(plan.root) for stage in plan.stages)
    ]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
