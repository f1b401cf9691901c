"""The command ``sb3-integral run``: read the configurations, predict how long they take, run them."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sb3_integral.cli.console import fail
from sb3_integral.cli.progress import ProgressDisplay
from sb3_integral.experiments.config.load import load_configs
from sb3_integral.experiments.engine.executor import Executor
from sb3_integral.experiments.engine.forecast import Forecast, forecast, past_stages, wall_seconds
from sb3_integral.experiments.engine.local import LocalExecutor
from sb3_integral.experiments.engine.plan import Plan
from sb3_integral.experiments.engine.runner import ExperimentError, run_stages, tasks_of
from sb3_integral.experiments.engine.versions import local_sources

UNITS = {"day": 86400.0, "hour": 3600.0, "minute": 60.0, "second": 1.0}


class Stopped(KeyboardInterrupt):
    """A signal, whose number is the argument, asked the run to stop."""


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
) -> None:
    """Run experiments side by side, and print the tables of those whose reports are there then.

    The arguments are those of the command, and the console for its remarks.

    Raises:
        typer.Exit: With status 1 if a configuration cannot be used or a stage failed; if a signal
            stopped the run, with the status that shells expect.
    """
    plans: list[Plan] = []
    problem = ""
    try:
        with _stopping_on_signals():
            for path in paths:  # a mistake in a file is told before torch is loaded
                load_configs(path, preset)
            from sb3_integral.experiments.load import load_experiments

            plans += load_experiments(paths, preset, runs, patterns, fresh=fresh)
            _run(plans, workers, ray, console, dry_run=dry_run, fresh=fresh)
    except Stopped as stopped:
        done = sum(stage.is_done(plan.root) for plan in plans for stage in plan.stages)
        total = sum(len(plan.stages) for plan in plans)
        number, kept = stopped.args[0], f"{done} of {total} stages are finished and kept in {runs}"
        said = f"stopped by {signal.Signals(number).name}: {kept if plans else 'nothing was begun'}"
        console.print(f"{said}; run the same command again to go on", markup=False, soft_wrap=True)
        gc.freeze()  # Python would search all that was loaded for garbage, which takes seconds
        raise typer.Exit(128 + number) from None
    except (ValueError, ImportError, OSError, ExperimentError) as error:
        problem = str(error)
    if plans and not dry_run:  # otherwise nothing has loaded torch and pandas yet
        _print_finished(plans)
    if problem:
        fail(console, problem)


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


def _run(
    plans: Sequence[Plan],
    workers: int,
    ray: str | None,
    console: Console,
    *,
    dry_run: bool,
    fresh: bool,
) -> None:
    past = past_stages(dict.fromkeys(root for plan in plans for root in (plan.root, *plan.neighbours)))
    if fresh and not dry_run:
        for plan in plans:
            plan.forget()
    forecasts = [forecast(plan, past) for plan in plans]
    answer = Console() if dry_run else console  # in a dry run it is what was asked for, and no remark
    for plan, expected in zip(plans, forecasts, strict=True):
        if dry_run:
            answer.print(_stages_table(plan, expected))
        for note in (*plan.notes, plan.changes()):
            if note and plan.pending():
                answer.print(note, style="dim", markup=False, highlight=False, soft_wrap=True)
    with ExitStack() as stack:
        executor = stack.enter_context(_executor(plans, workers, ray))
        for line in _expectations(plans, forecasts, executor.workers):
            answer.print(line, highlight=False, markup=False, soft_wrap=True)
        if not dry_run:
            by_root = {
                plan.root: of_plan.seconds for plan, of_plan in zip(plans, forecasts, strict=True)
            }
            tasks = tasks_of(plans)
            known = [task for task in tasks if task.stage.name in by_root[task.root]]
            seconds = {task.label: by_root[task.root][task.stage.name] for task in known}
            run_stages(plans, executor, stack.enter_context(ProgressDisplay(console, tasks, seconds)))


def _executor(plans: Sequence[Plan], workers: int, ray: str | None) -> Executor:
    if ray is None:
        return LocalExecutor(workers)
    from sb3_integral.experiments.engine.on_ray import RayExecutor

    stages = [stage for plan in plans for stage in plan.stages]
    sources = local_sources({module for stage in stages for module in stage.modules})
    for environment in {stage.environment for stage in stages if stage.environment is not None}:
        sources.update(environment.local_sources())
    return RayExecutor(ray, sources)


def _expectations(plans: Sequence[Plan], forecasts: Sequence[Forecast], workers: int) -> Iterator[str]:
    """Say of each experiment how many stages are to be made, and how long that will take."""
    for plan, expected in zip(plans, forecasts, strict=True):
        pending = len(expected.seconds) + len(expected.unknown)
        said = f"{plan.root.name}: {_count(pending, 'stage')} on {_count(workers, 'worker')}"
        if expected.seconds:
            said += f", about {about(wall_seconds([expected], workers))}"
        if expected.seconds and expected.unknown:
            said += f", not counting {_count(len(expected.unknown), 'stage')} of a new kind"
        if not expected.seconds:
            said += "; no such stage was made before, so how long it takes is not known"
        if pending:
            yield said
    if sum(bool(expected.seconds) for expected in forecasts) > 1:
        yield f"all together: about {about(wall_seconds(forecasts, workers))}"


def _stages_table(plan: Plan, expected: Forecast) -> Table:
    table = Table("stage", "", title=escape(plan.root.name), box=SIMPLE)
    table.add_column("seconds", justify="right")
    for stage in plan.stages:
        seconds = "?" if stage.name in expected.unknown else ""
        if stage.name in expected.seconds:
            seconds = f"{expected.seconds[stage.name]:.0f}"
        done = "done" if stage.is_done(plan.root) else "done in another folder"
        table.add_row(escape(stage.name), "to do" if seconds else done, seconds)
    return table


def _print_finished(plans: Sequence[Plan]) -> None:
    from sb3_integral.cli.results import print_results
    from sb3_integral.experiments.report.load import load_results
    from sb3_integral.experiments.report.write import REPORT

    for plan in plans:
        if any(stage.name == REPORT and stage.is_done(plan.root) for stage in plan.stages):
            print_results([load_results(plan.root)])


def about(seconds: float) -> str:
    """Return a duration in its largest fitting unit: ``3 days``, ``1.5 hours``, ``40 seconds``."""
    name = next((name for name, length in UNITS.items() if seconds >= length), "second")
    number = seconds / UNITS[name]
    text = f"{number:.0f}" if number >= 10 or name == "second" else f"{number:.2g}"
    return f"{text} {name}{'' if text == '1' else 's'}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
