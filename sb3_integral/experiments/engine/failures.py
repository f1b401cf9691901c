"""Stages that could not be made: what people are told, and what is kept to find out why."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sb3_integral.atomic import atomic_file
from sb3_integral.experiments.engine.executor import Failure
from sb3_integral.experiments.engine.plan import Task

FAILURES = "failures"
"""The folder, in an experiment's, with a file for each stage that failed in the last run."""

NAMED = 5
"""How many of the stages that were not begun are named."""


@dataclass(frozen=True)
class FailedTask:
    """A stage that failed.

    Attributes:
        task: What was to be made.
        failure: Why it was not.
        report: The file with the traceback.
        not_begun: Labels of the tasks that need it.
    """

    task: Task
    failure: Failure
    report: Path
    not_begun: tuple[str, ...]

    def __str__(self) -> str:
        """Say which stage, its seed, the cause, and what it holds up."""
        seed = self.task.stage.inputs.get("seed")
        lines = [
            f"stage {self.task.label}{'' if seed is None else f' (seed {seed})'} failed: "
            f"{self.failure.cause}",
            f"  traceback: {self.report}",
        ]
        if self.not_begun:
            named = ", ".join(self.not_begun[:NAMED])
            more = len(self.not_begun) - NAMED
            lines.append(f"  not begun because of it: {named}{f' and {more} more' if more > 0 else ''}")
        return "\n".join(lines)


def keep_failure(task: Task, failure: Failure) -> Path:
    """Write what is known of a failure to a file, and return its path."""
    path = task.root / FAILURES / f"{task.stage.name}.txt"
    inputs = json.dumps(task.stage.inputs, indent=2)
    with atomic_file(path) as partial:
        partial.write_text(
            f"{task.stage.name}\n\n{failure.traceback.rstrip()}\n\ninputs: {inputs}\n", encoding="utf-8"
        )
    return path


def forget_failures(root: Path) -> None:
    """Remove the files that :func:`keep_failure` wrote in the run before, and nothing else."""
    folder = root / FAILURES
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        if path.is_dir():
            with suppress(OSError):  # it is not empty
                path.rmdir()
        elif _names_its_stage(path, path.relative_to(folder)):
            path.unlink()
    with suppress(OSError):
        folder.rmdir()


def _names_its_stage(path: Path, name: Path) -> bool:
    try:
        first = path.read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError):
        return False
    return f"{first}.txt" == name.as_posix()
