"""How long stages will take, from how long stages of their kind took before."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sb3_integral.experiments.engine.plan import Plan
from sb3_integral.experiments.engine.stage import RECORD, Stage

Kind = tuple[str, ...]
"""What stages have in common that take equally long for an equal amount of work."""


@dataclass(frozen=True)
class Forecast:
    """What is expected of the stages of a plan that are still to be made.

    Attributes:
        seconds: On one worker, by the name of the stage; stages of an unknown kind are left out.
        chain: Seconds of the longest chain of stages each of which needs the one before.
        unknown: Names of the stages of an unknown kind.
    """

    seconds: Mapping[str, float]
    chain: float
    unknown: tuple[str, ...]

    @property
    def total(self) -> float:
        """Seconds of one worker."""
        return sum(self.seconds.values())


class PastStages:
    """How long the stages in some experiments' folders took.

    Args:
        folders: The folders.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._made: dict[Kind, list[tuple[float, float]]] = defaultdict(list)
        for folder in folders:
            for path in folder.glob(f"**/{RECORD}"):
                try:
                    record = json.loads(path.read_text(encoding="utf-8"))
                    name = path.parent.relative_to(folder).as_posix()
                    kinds = _kinds(record["function"], record["environment"], name)
                    made = float(record["seconds"]), float(record["amount"])
                except (OSError, ValueError, KeyError, TypeError, RecursionError):
                    continue
                for kind in kinds:
                    self._made[kind].append(made)

    def forecast(self, plan: Plan) -> Forecast:
        """Predict how long the stages take that are still to be made."""
        pending = plan.pending()
        expected = {stage.name: self._seconds(stage) for stage in pending}
        known = {name: seconds for name, seconds in expected.items() if seconds is not None}
        unknown = tuple(name for name, seconds in expected.items() if seconds is None)
        return Forecast(known, _longest_chain(pending, known), unknown)

    def _seconds(self, stage: Stage) -> float | None:
        environment = None if stage.environment is None else {"id": stage.environment.id}
        for kind in _kinds(stage.function, environment, stage.name):
            if made := self._made.get(kind):
                seconds, amount = map(sum, zip(*made, strict=True))
                return stage.amount * seconds / amount if amount else None
        return None


def wall_seconds(forecasts: Sequence[Forecast], workers: int) -> float:
    """Return how long experiments take together: no less than the longest chain of stages."""
    chain = max((forecast.chain for forecast in forecasts), default=0.0)
    return max(chain, sum(forecast.total for forecast in forecasts) / workers)


def _kinds(function: str, environment: Mapping[str, Any] | None, name: str) -> tuple[Kind, Kind]:
    """Return the kinds of a stage, the closest first: the same of another seed, or its function."""
    place = "" if environment is None else str(environment["id"])
    return (function, place, re.sub(r"^seed-\d+/", "", name)), (function, place)


def _longest_chain(stages: Sequence[Stage], seconds: Mapping[str, float]) -> float:
    # Stages that others need stand first.
    ends: dict[str, float] = {}
    for stage in stages:
        begin = max((ends.get(need.name, 0.0) for need in stage.needed), default=0.0)
        ends[stage.name] = begin + seconds.get(stage.name, 0.0)
    return max(ends.values(), default=0.0)
