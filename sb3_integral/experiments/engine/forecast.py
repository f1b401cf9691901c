"""How long stages will take, from how long stages of their kind took before."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sb3_integral.experiments.engine.plan import Plan
from sb3_integral.experiments.engine.stage import RECORD

Kind = tuple[str, ...]
"""A key of similar stages, which take about the same time per unit of work."""

Past = dict[Kind, tuple[float, float]]
"""Total seconds and total work of all recorded stages, by kind."""


@dataclass(frozen=True)
class Forecast:
    """The expected duration of a plan's pending stages.

    Attributes:
        seconds: On one worker, by the name of the stage; stages of an unknown kind are left out.
        chain: Seconds of the critical path: the longest chain of stages of which each needs the one
            before.
        unknown: Names of the stages of an unknown kind.
    """

    seconds: Mapping[str, float]
    chain: float
    unknown: tuple[str, ...]

    @property
    def total(self) -> float:
        """Seconds of one worker."""
        return sum(self.seconds.values())


def past_stages(folders: Iterable[Path]) -> Past:
    """Return the total seconds and work of all stages recorded in some folders, by kind."""
    past: Past = {}
    for folder in folders:
        for path in folder.rglob(RECORD):
            try:
                record = json.loads(path.read_text(encoding="utf-8"))
                name = path.parent.relative_to(folder).as_posix()
                kinds = _kinds(record["function"], record["environment"], name)
                made = float(record["seconds"]), float(record["amount"])
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                continue
            for kind in kinds:
                seconds, amount = past.get(kind, (0.0, 0.0))
                past[kind] = seconds + made[0], amount + made[1]
    return past


def forecast(plan: Plan, past: Past) -> Forecast:
    """Predict how long the stages take that are still to be made."""
    seconds: dict[str, float] = {}
    ends: dict[str, float] = {}
    pending = plan.pending()
    for stage in pending:  # those that others need come first
        environment = None if stage.environment is None else {"id": stage.environment.id}
        kinds = _kinds(stage.function, environment, stage.name)
        for took, amount in (past[kind] for kind in kinds if kind in past):
            if amount:
                seconds[stage.name] = stage.amount * took / amount
        begin = max((ends.get(need.name, 0.0) for need in stage.needed), default=0.0)
        ends[stage.name] = begin + seconds.get(stage.name, 0.0)
    unknown = tuple(stage.name for stage in pending if stage.name not in seconds)
    return Forecast(seconds, max(ends.values(), default=0.0), unknown)


def wall_seconds(forecasts: Sequence[Forecast], workers: int) -> float:
    """Return a lower bound on the wall time of experiments that run together."""
    chain = max((forecast.chain for forecast in forecasts), default=0.0)
    return max(chain, sum(forecast.total for forecast in forecasts) / workers)


def _kinds(function: str, environment: Mapping[str, str] | None, name: str) -> tuple[Kind, Kind]:
    """Return a stage's kinds: by function, then the more specific one: the same stage of any seed."""
    place = "" if environment is None else environment["id"]
    return (function, place), (function, place, re.sub(r"(^|/)seed-\d+/", r"\1", name))
