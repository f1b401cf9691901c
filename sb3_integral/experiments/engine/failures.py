"""Stages that could not be made: the message, and the file with the traceback."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sb3_integral.atomic import atomic_file
from sb3_integral.experiments.engine.executor import Failure
from sb3_integral.experiments.engine.plan import Task

FAILURES = "failures"
"""The folder, in an experiment's, with a file for each stage that failed in the last run."""

NAMED = 5  # the most stages that are named of those that were not begun


class FailedTask(NamedTuple):
    """A task that failed, the reason, the file with the traceback, and the tasks that need it."""

    task: Task
    failure: Failure
    report: Path
    not_begun: Sequence[Task]

    def __str__(self) -> str:
        """Say which stage, its seed, the cause, and what it holds up."""
        seed = self.task.stage.inputs.get("seed")
        said = f"{self.task.label}{'' if seed is None else f' (seed {seed})'}"
        lines = [f"stage {said} failed: {self.failure.cause}", f"  traceback: {self.report}"]
        if self.not_begun:
            named = ", ".join(task.label for task in self.not_begun[:NAMED])
            more = len(self.not_begun) - NAMED
            lines.append(f"  not begun because of it: {named}{f' and {more} more' if more > 0 else ''}")
        return "\n".join(lines)


def write_failure(task: Task, failure: Failure) -> Path:
    """Write the traceback of a failure, and the inputs of the stage, to a file; return its path."""
    path = task.root / FAILURES / f"{task.stage.name}.txt"
    inputs = json.dumps(task.stage.inputs, indent=2)
    text = f"{task.stage.name}\n\n{failure.traceback.rstrip()}\n\ninputs: {inputs}\n"
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def forget_failures(root: Path) -> None:
    """Remove the files that :func:`write_failure` wrote in the run before, and nothing else."""
    folder = root / FAILURES
    for path in sorted(folder.rglob("*.txt")):
        with suppress(OSError, UnicodeDecodeError):
            stage = path.read_text(encoding="utf-8").partition("\n")[0]
            if folder / f"{stage}.txt" == path:
                path.unlink()
    for path in sorted((folder, *folder.rglob("*/")), reverse=True):  # what is in a folder before it
        with suppress(OSError):  # it is not empty
            path.rmdir()
