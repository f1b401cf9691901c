"""What is to be done: the stages of one experiment, and the folder that they go to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from sb3_integral.experiments.engine.stage import Stage


@dataclass(frozen=True)
class Plan:
    """An experiment's stages and where they go.

    Attributes:
        root: The experiment's folder.
        stages: With all that they need, those that others need first.
        neighbours: Folders of other experiments, from which a stage that is the same is taken.
    """

    root: Path
    stages: tuple[Stage, ...]
    neighbours: tuple[Path, ...] = ()

    def pending(self) -> list[Stage]:
        """Return the stages that are to be made: not there yet, nor at a neighbour's."""
        return [
            stage
            for stage in self.stages
            if not any(stage.is_done(root) for root in (self.root, *self.neighbours))
        ]

    def selected(self, patterns: Sequence[str]) -> Plan:
        """Return the plan of the stages whose names match a pattern, and of all that they need.

        Args:
            patterns: As a shell's: ``seed-0/*``, ``*/student``.

        Raises:
            ValueError: If a pattern matches no stage.
        """
        wanted: set[str] = set()
        for pattern in patterns:
            matching = [stage for stage in self.stages if fnmatchcase(stage.name, pattern)]
            if not matching:
                names = ", ".join(stage.name for stage in self.stages)
                raise ValueError(f"no stage matches {pattern!r}; there are {names}")
            wanted |= _with_needs(matching)
        return replace(self, stages=tuple(stage for stage in self.stages if stage.name in wanted))


@dataclass(frozen=True, eq=False)
class Task:
    """A stage that is to be made in a folder.

    Attributes:
        root: The experiment's folder.
        stage: The stage.
        label: What people read, unlike that of any other task of the same run.
    """

    root: Path
    stage: Stage
    label: str


def _with_needs(stages: Iterable[Stage]) -> set[str]:
    names: set[str] = set()
    remaining = list(stages)
    while remaining:
        stage = remaining.pop()
        if stage.name not in names:
            names.add(stage.name)
            remaining += stage.needs
    return names
