"""The stages of one experiment, and the folder that they go to."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from sb3_integral._version import __version__
from sb3_integral.atomic import atomic_file
from sb3_integral.experiments.engine.stage import RECORD, Stage
from sb3_integral.experiments.engine.versions import differences

NAMED_REASONS = 3  # the most reasons for making stages again that are named


@dataclass(frozen=True)
class Plan:
    """An experiment's stages and where they go.

    Attributes:
        root: The experiment's folder.
        stages: With all that they need, those that others need first.
        neighbours: Folders of other experiments, from which a stage that is the same is taken.
        notes: Remarks for the user before it runs.
    """

    root: Path
    stages: tuple[Stage, ...]
    neighbours: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    def pending(self) -> list[Stage]:
        """Return the stages that are done neither here nor in a neighbour's folder."""
        places = (self.root, *self.neighbours)
        return [stage for stage in self.stages if not any(map(stage.is_done, places))]

    def selected(self, patterns: Sequence[str]) -> Plan:
        """Return the plan of the stages whose names match a shell's pattern, and of all that they need.

        Raises:
            ValueError: If a pattern matches no stage.
        """
        wanted: set[str] = set()
        for pattern in patterns:
            matching = [stage for stage in self.stages if fnmatchcase(stage.name, pattern)]
            if not matching:
                names = ", ".join(stage.name for stage in self.stages)
                raise ValueError(f"no stage matches {pattern!r}; there are {names}")
            wanted.update(stage.name for stage in matching)
        for stage in reversed(self.stages):  # those that others need come first
            if stage.name in wanted:
                wanted.update(need.name for need in stage.needed)
        return replace(self, stages=tuple(stage for stage in self.stages if stage.name in wanted))

    def changes(self) -> str | None:
        """Return which stages are made anew and why, in one line; None if no stage is."""
        reasons = [_reason(stage, stage.record(self.root)) for stage in self.pending()]
        counts = Counter(reason for reason in reasons if reason is not None)
        if not counts:
            return None
        total, dependent = counts.total(), counts.pop("", 0)
        named = [f"{reason} ({count})" for reason, count in counts.most_common(NAMED_REASONS)]
        if len(counts) > NAMED_REASONS:
            named.append(f"{len(counts) - NAMED_REASONS} more reasons")
        if dependent:
            named.append(f"what they need is made anew ({dependent})")
        stages = "stage is" if total == 1 else "stages are"
        return f"{total} finished {stages} made anew: {'; '.join(named)}"

    def forget(self) -> None:
        """Let every finished stage be made anew; the folders stay until then."""
        for stage in self.stages:
            if stage.is_done(self.root):
                record = {k: v for k, v in stage.record(self.root).items() if k != "key"}
                with atomic_file(stage.folder(self.root) / RECORD) as partial:
                    partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True, eq=False)
class Task:
    """A stage that is to be made in an experiment's folder; no two labels of a run are the same."""

    root: Path
    stage: Stage
    label: str


def _reason(stage: Stage, record: dict[str, object]) -> str | None:
    """Return why a stage is run again: "" if only a dependency changed, None without a record."""
    if "key" not in record:
        return None
    changes = []
    versions = record.get("versions")
    if not isinstance(versions, dict):
        return "the versions behind it were not recorded"
    if record.get("version") != __version__:
        changes.append(f"sb3-integral is {__version__}, was {record.get('version')}")
    changes += differences(versions, stage.versions)
    changed = _changed_inputs(record.get("inputs"), dict(stage.inputs))
    if changed:
        changes.append(f"the configuration changed: {', '.join(changed)}")
    return "; ".join(changes)


def _changed_inputs(before: object, now: object, name: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        names = {key: f"{name}.{key}".lstrip(".") for key in sorted({*before, *now})}
        return [
            change
            for key, inner in names.items()
            for change in _changed_inputs(before.get(key), now.get(key), inner)
        ]
    return [] if json.dumps(before) == json.dumps(now) else [name]
