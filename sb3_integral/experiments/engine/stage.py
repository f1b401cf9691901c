"""A stage: a folder that is made once, and again only if what it depends on changed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sb3_integral._version import __version__
from sb3_integral.atomic import atomic_folder

RECORD = "stage.json"
"""Written last into a stage's folder: says what made it, and that it is whole."""

Report = Callable[[float], None]
"""Takes the fraction of a stage that is done."""


@dataclass(frozen=True)
class Stage:
    """One step of an experiment, whose result is a folder.

    Attributes:
        name: Its folder, relative to the experiment's.
        run: Fills an empty folder. Called as ``run(folder, report, *needed folders, **inputs)``;
            has to be importable by name, for it may run in another process.
        inputs: Everything else that the result depends on, seeds included; JSON values.
        needs: The stages whose folders it reads.
    """

    name: str
    run: Callable[..., None]
    inputs: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[Stage, ...] = ()

    @cached_property
    def key(self) -> str:
        """A digest of all that the result depends on."""
        content = {
            "stage": self.name,
            "function": f"{self.run.__module__}.{self.run.__qualname__}",
            "inputs": self.inputs,
            "needs": [need.key for need in self.needs],
            "version": __version__,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def folder(self, root: Path) -> Path:
        """Where the result is."""
        return root / self.name

    def is_done(self, root: Path) -> bool:
        """Whether the folder is there and was made from what the stage depends on now."""
        try:
            record = json.loads((self.folder(root) / RECORD).read_text(encoding="utf-8"))
            return bool(record["key"] == self.key)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def execute(self, root: Path, report: Report) -> None:
        """Make the folder; if that fails or is interrupted, none is left."""
        started = time.perf_counter()
        pace = _Pace(report)
        with atomic_folder(self.folder(root), RECORD) as partial:
            needed = [need.folder(root) for need in self.needs]
            self.run(partial, pace, *needed, **self.inputs)
            seconds = time.perf_counter() - started
            record = {
                "key": self.key,
                "inputs": self.inputs,
                "version": __version__,
                "seconds": round(seconds, 2),
                "paced_seconds": round(pace.seconds_of_whole(seconds), 2),
            }
            (partial / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


class _Pace:
    """Passes progress on, and notes how fast it came: all that took longer is setting up."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._told: list[tuple[float, float]] = []

    def __call__(self, fraction: float) -> None:
        # The first and the last are all that is needed, however often progress is told.
        self._told[1:] = [(time.perf_counter(), fraction)]
        self._report(fraction)

    def seconds_of_whole(self, seconds: float) -> float:
        """Return what the whole takes at the pace between the first report and the last."""
        if len(self._told) < 2:
            return seconds
        (first, begin), (last, end) = self._told
        return min(seconds, (last - first) / (end - begin)) if end > begin else seconds
