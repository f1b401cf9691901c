"""The progress of a run in a terminal; plain lines where there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as Bar

from sb3_integral.experiments.engine.executor import Failure
from sb3_integral.experiments.engine.plan import Task

UNKNOWN_SECONDS = 10.0  # the weight of a stage of unknown duration in the bar of the whole


class ProgressDisplay:
    """A bar for the whole run and one for each stage at work, in expected seconds; a :class:`Watcher`.

    The seconds that a stage is expected to take are given by its label, so far as they are known.
    """

    def __init__(
        self, console: Console, tasks: Sequence[Task], seconds: Mapping[str, float] | None = None
    ) -> None:
        self._console = console
        self._seconds = {task.label: (seconds or {}).get(task.label, UNKNOWN_SECONDS) for task in tasks}
        self._reused = 0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            speed_estimate_period=math.inf,
        )
        self._bars: dict[str, Bar] = {}
        self._whole = self._add("[bold]all stages", sum(self._seconds.values()))

    def __enter__(self) -> ProgressDisplay:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop drawing, and say how many stages were there already."""
        self._progress.stop()
        if self._reused:
            said = f"{self._reused} of {len(self._seconds)} stages were done before"
            self._console.print(said, style="dim")

    def started(self, task: Task) -> None:
        """See :class:`~sb3_integral.experiments.engine.runner.Watcher`."""
        self._bars[task.label] = self._add(escape(task.label), self._seconds[task.label])

    def advanced(self, label: str, fraction: float) -> None:
        """See :class:`~sb3_integral.experiments.engine.runner.Watcher`."""
        if bar := self._bars.get(label):
            advance = fraction * self._seconds[label] - bar.completed
            self._progress.advance(self._whole.id, advance)
            self._progress.advance(bar.id, advance)

    def finished(self, task: Task, *, reused: bool) -> None:
        """See :class:`~sb3_integral.experiments.engine.runner.Watcher`."""
        if reused:
            self._reused += 1
            # A stage that was there takes no time, so it says nothing of how long the rest will take.
            rest = (self._whole.total or 0.0) - self._seconds[task.label]
            self._progress.update(self._whole.id, total=rest)
        else:
            self._close(task, "[green]done[/]    ", 1.0)

    def failed(self, task: Task, failure: Failure, *, again: bool) -> None:
        """See :class:`~sb3_integral.experiments.engine.runner.Watcher`."""
        self._close(task, "[yellow]lost[/]    " if again else "[red]failed[/]  ", 0.0)
        if again:
            self._console.print(f"        {escape(failure.cause)}; once more", style="dim")

    def _add(self, description: str, seconds: float) -> Bar:
        identity = self._progress.add_task(description, total=seconds)
        return next(bar for bar in self._progress.tasks if bar.id == identity)

    def _close(self, task: Task, outcome: str, fraction: float) -> None:
        self.advanced(task.label, fraction)
        bar = self._bars.pop(task.label)
        self._progress.remove_task(bar.id)
        elapsed = f"[dim]{bar.elapsed or 0.0:.0f} s[/]"
        self._console.print(f"{outcome}{escape(task.label)}  {elapsed}", highlight=False)
