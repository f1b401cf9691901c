"""What a terminal shows while stages run; plain lines where there is none."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from sb3_integral.experiments.stage import Stage


class ProgressDisplay:
    """A bar for the whole experiment and one for each stage at work; a :class:`Watcher`.

    Args:
        console: Where to draw.
        total: Number of stages.
    """

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._done = 0
        self._reused = 0
        self._bars: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._whole = self._progress.add_task("[bold]all stages", total=total)

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
            self._console.print(f"{self._reused} of {self._total} stages were done before", style="dim")

    def started(self, stage: Stage) -> None:
        """See :class:`~sb3_integral.experiments.runner.Watcher`."""
        self._bars[stage.name] = self._progress.add_task(stage.name, total=1.0)

    def advanced(self, name: str, fraction: float) -> None:
        """See :class:`~sb3_integral.experiments.runner.Watcher`."""
        if name in self._bars:
            self._progress.update(self._bars[name], completed=fraction)

    def finished(self, stage: Stage, *, reused: bool) -> None:
        """See :class:`~sb3_integral.experiments.runner.Watcher`."""
        self._done += 1
        self._progress.update(self._whole, completed=self._done)
        if reused:
            self._reused += 1
        else:
            self._close(stage, f"[green]done[/]    {stage.name}")

    def failed(self, stage: Stage, error: BaseException) -> None:
        """See :class:`~sb3_integral.experiments.runner.Watcher`."""
        self._close(stage, f"[red]failed[/]  {stage.name}")

    def _close(self, stage: Stage, message: str) -> None:
        bar = self._bars.pop(stage.name)
        elapsed = self._progress.tasks[self._progress.task_ids.index(bar)].elapsed or 0.0
        self._progress.remove_task(bar)
        self._console.print(f"{message}  [dim]{elapsed:.0f} s[/]", highlight=False)
