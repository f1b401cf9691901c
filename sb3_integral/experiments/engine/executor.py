"""What the runner asks of a place where stages are executed."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar

from sb3_integral.experiments.engine.plan import Task
from sb3_integral.experiments.engine.stage import Report, Stage

Self = TypeVar("Self", bound="Executor")


@dataclass(frozen=True)
class Failure:
    """Why a stage is not there, as text: not every exception survives the way between processes.

    Attributes:
        cause: One line.
        traceback: The whole of it.
        lost: Whether the process died, which says nothing of the stage itself.
    """

    cause: str
    traceback: str
    lost: bool = False

    @classmethod
    def of(cls, error: BaseException, *, lost: bool = False) -> Failure:
        """Describe an exception."""
        text = "".join(traceback.format_exception(error))
        return cls(f"{type(error).__name__}: {error}", text, lost)


class Executor(Protocol):
    """Makes stages somewhere; used in a ``with`` statement, from one thread."""

    def __enter__(self: Self) -> Self:
        """Get ready."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, and leave nothing running."""

    @property
    def workers(self) -> int:
        """How many stages are made at once."""

    def submit(self, task: Task) -> None:
        """Begin a stage whose needs are in ``task.root``, where its folder will be too."""

    def wait(self, seconds: float) -> Sequence[tuple[Task, Failure | None]]:
        """Wait until something ends, or for so long; return what ended, with what went wrong."""

    def progress(self) -> Sequence[tuple[str, float]]:
        """Return the labels of tasks that came further, and how far."""

    def release(self, root: Path, stage: Stage) -> None:
        """Note that nothing that is still to be begun needs this stage's folder."""

    def cancel(self) -> None:
        """End what is running within seconds; nothing is submitted after it."""


class Throttle:
    """Passes progress on, but not oftener than a person could read it.

    Args:
        report: Takes the fraction of a stage that is done.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._told = -1.0

    def __call__(self, fraction: float) -> None:
        """Report a fraction that is at least a hundredth above the last one."""
        if fraction >= self._told + 0.01:
            self._told = fraction
            self._report(fraction)
