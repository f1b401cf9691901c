"""The interface of the places where stages are executed: this machine, or a cluster."""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sb3_integral.experiments.engine.plan import Task
from sb3_integral.experiments.engine.stage import Report, Stage

Self = TypeVar("Self", bound="Executor")


@dataclass(frozen=True)
class Failure:
    """The reason why a stage is not there, as text: not every exception can be pickled.

    Where the process died, the stage is ``lost``, which says nothing about the stage itself.
    """

    cause: str
    traceback: str
    lost: bool = False

    @classmethod
    def from_error(cls, error: BaseException, *, lost: bool = False) -> Failure:
        """Describe an exception."""
        text = "".join(traceback.format_exception(error))
        return cls(f"{type(error).__name__}: {error}", text, lost)


class Executor(ABC):
    """Makes stages somewhere; used in a ``with`` statement, from one thread."""

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    @property
    @abstractmethod
    def workers(self) -> int:
        """The number of stages that are made at once."""

    @abstractmethod
    def submit(self, task: Task) -> None:
        """Begin a stage. The stages that it needs are in ``task.root``, where its folder will be too."""

    @abstractmethod
    def wait(self, seconds: float) -> Iterable[tuple[Task, float | Failure | None]]:
        """Wait for news of the stages that are being made, or for some seconds.

        Returns:
            The fraction of a stage that is done, or its end: None, or what went wrong.
        """

    def release(self, root: Path, stage: Stage) -> None:  # noqa: B027
        """Note that no stage that is still to be begun needs this stage's folder."""

    @abstractmethod
    def cancel(self) -> None:
        """End what is running within seconds; nothing is submitted after it."""


def throttled(report: Report) -> Report:
    """Pass on only fractions that are at least a hundredth above the last one."""
    told = -1.0

    def tell(fraction: float) -> None:
        nonlocal told
        if fraction >= told + 0.01:
            told = float(fraction)
            report(told)

    return tell
