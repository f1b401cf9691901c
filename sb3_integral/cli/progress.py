"""What a terminal shows while stages run; plain lines where there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import (
    Task as Bar,
)
from rich.text import Text

from sb3_integral.experiments.engine.executor import Failure
from sb3_integral.experiments.engine.plan import Task

UNKNOWN_SECONDS = 10.0
"""What a stage of unknown duration counts for in the bar of the whole."""


class ProgressDisplay:
    """A bar for the whole run and one for each stage at work; a :class:`Watcher`.

    Args:
        console: Where to draw.
        tasks: All stages of all experiments.
        seconds: How long each is expected to take, by its label, so far as that is known.
    """

    def __init__(
        self, console: Console, tasks: Sequence[Task], seconds: Mapping[str, float] | None = None
    ) -> None:
        self._console = console
        self._seconds = {task.label: (seconds or {}).get(task.label, UNKNOWN_SECONDS) for task in tasks}
        self._fractions: dict[str, float] = {}
        self._done = 0.0
        self._reused = 0
        self._bars: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            _RemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._whole = self._progress.add_task(
            "[bold]all stages", total=sum(self._seconds.values()), begun_at=0.0
        )

    def __enter__(self) -> ProgressDisplay:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop drawing, and say what was there already."""
        self._progress.stop()
        if self._reused:
            self._console.print(
                f"{self._reused} of {len(self._seconds)} stages were done before", style="dim"
            )

    def started(self, task: Task) -> None:
        """See :class:`~sb3_integral.experiments.engine.runner.Watcher`."""
        self._bars[task.label] = self._progress.add_task(escape(task.label), total=1.0)

    def advanced(self, label: str, fraction: float) -> None:
        """See :class:`~sb3_integral.experiments.engine.runner.Watcher`."""
        if label in self._bars:
            self._progress.update(self._bars[label], completed=fraction)
            self._fractions[label] = fraction
            self._draw_whole()

    def finished(self, task: Task, *, reused: bool) -> None:
        """See :class:`~sb3_integral.experiments.engine.runner.Watcher`."""
        self._done += self._seconds[task.label]
        if reused:
            self._reused += 1
            # What was there takes no time, so it says nothing of how long the rest will take.
            begun_at = self._progress.tasks[0].fields["begun_at"] + self._seconds[task.label]
            self._progress.update(self._whole, begun_at=begun_at)
        else:
            self._close(task, "[green]done[/]    ")
        self._draw_whole()

    def failed(self, task: Task, failure: Failure, *, again: bool) -> None:
        """See :class:`~sb3_integral.experiments.engine.runner.Watcher`."""
        self._close(task, "[yellow]lost[/]    " if again else "[red]failed[/]  ")
        if again:
            self._console.print(f"        {escape(failure.cause)}; once more", style="dim")
        self._draw_whole()

    def _draw_whole(self) -> None:
        under_way = sum(self._seconds[label] * part for label, part in self._fractions.items())
        self._progress.update(self._whole, completed=self._done + under_way)

    def _close(self, task: Task, outcome: str) -> None:
        bar = self._bars.pop(task.label)
        self._fractions.pop(task.label, None)
        elapsed = self._progress.tasks[self._progress.task_ids.index(bar)].elapsed or 0.0
        self._progress.remove_task(bar)
        self._console.print(f"{outcome}{escape(task.label)}  [dim]{elapsed:.0f} s[/]", highlight=False)


class _RemainingColumn(ProgressColumn):
    """The time that the whole will still take at its pace so far."""

    max_refresh = 1.0

    def render(self, task: Bar) -> Text:
        done = task.completed - task.fields.get("begun_at", task.completed)
        if done <= 0 or not task.elapsed or task.total is None:
            return Text("")
        remaining = task.elapsed / done * (task.total - task.completed)
        hours, seconds = divmod(int(remaining), 3600)
        return Text(f"{hours}:{seconds // 60:02}:{seconds % 60:02} left", style="cyan")
