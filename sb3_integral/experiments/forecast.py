"""How long an experiment will take, from how long parts of it took on this machine."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import gymnasium as gym
import pandas as pd

from sb3_integral.experiments.engine.plan import Plan
from sb3_integral.experiments.engine.stage import RECORD, Stage
from sb3_integral.experiments.report.page import write_page
from sb3_integral.experiments.report.video import record_agents
from sb3_integral.experiments.report.weights import draw_figures
from sb3_integral.experiments.report.write import write_report
from sb3_integral.experiments.stages.demonstrations import collect_demonstrations
from sb3_integral.experiments.stages.expert import take_expert, train_expert
from sb3_integral.experiments.stages.references import evaluate_references
from sb3_integral.experiments.stages.sweep import SWEEP, sweep_scratch, sweep_student
from sb3_integral.experiments.stages.train import train_student

UNLIMITED_EPISODE = 1000.0
"""Steps that an episode is taken to have where nothing is known of it and nothing limits it."""


SECONDS_OF: Mapping[Callable[..., None], float] = {
    write_report: 10.0,
    draw_figures: 5.0,
    record_agents: 60.0,
    write_page: 5.0,
}
"""What these are taken to need before they were made: to time them, all else would have to be there."""


class EpisodeLengths(NamedTuple):
    """Mean steps of episodes.

    Attributes:
        expert: Of the expert, and of students at full size.
        students: Of students at all sizes.
    """

    expert: float
    students: float


class Kind(NamedTuple):
    """What is known of the work of a stage's function.

    Attributes:
        group: What people call it.
        amount: How much work a stage is, from its inputs, what it needs, and episodes' lengths.
        irrelevant: Inputs that change the amount of work, or nothing, but not the pace.
    """

    group: str
    amount: Callable[[Stage, EpisodeLengths], float]
    irrelevant: tuple[str, ...]


def _training_steps(stage: Stage, lengths: EpisodeLengths) -> float:
    return float(stage.inputs["n_timesteps"] or stage.inputs["hyperparams"]["n_timesteps"])


def _reference_steps(stage: Stage, lengths: EpisodeLengths) -> float:
    return 2.0 * float(stage.inputs["episodes"]) * lengths.expert  # the expert's, and those at random


def _demonstration_steps(stage: Stage, lengths: EpisodeLengths) -> float:
    return float(stage.inputs["demonstrations"]["episodes"] * lengths.expert)


def _cloning_samples(stage: Stage, lengths: EpisodeLengths) -> float:
    episodes = [
        _demonstration_steps(need, lengths) for need in stage.needs if need.run is collect_demonstrations
    ]
    return float(stage.inputs["cloning"]["epochs"] * sum(episodes))


def _sweep_steps(stage: Stage, lengths: EpisodeLengths) -> float:
    episodes = len(stage.inputs["sizes"]) * stage.inputs["evaluation"]["episodes"]
    return float(episodes * lengths.students)


KINDS: Mapping[Callable[..., None], Kind] = {
    train_expert: Kind("expert", _training_steps, ("seed", "n_timesteps")),
    take_expert: Kind("expert", lambda *_: 1.0, ("model", "vecnormalize", "digests")),
    evaluate_references: Kind("references", _reference_steps, ("seed", "episodes", "n_envs")),
    collect_demonstrations: Kind("demonstrations", _demonstration_steps, ("seed", "demonstrations")),
    train_student: Kind(
        "students", _cloning_samples, ("seed", "cloning.epochs", "architecture.hidden_sizes")
    ),
    sweep_student: Kind("sweeps", _sweep_steps, ("seed", "method", "sizes", "evaluation")),
    sweep_scratch: Kind("sweeps", _sweep_steps, ("seed", "sizes", "evaluation")),
    write_report: Kind("report", lambda *_: 1.0, ("config", "hyperparams", "columns")),
    draw_figures: Kind("figures", lambda *_: 1.0, ("labels",)),
    record_agents: Kind("video", lambda *_: 1.0, ("agents", "seed")),
    write_page: Kind("page", lambda *_: 1.0, ("config",)),
}
"""By the function that makes a stage. Stages whose other inputs are the same have the same pace."""


@dataclass(frozen=True)
class Forecast:
    """What is expected of some stages.

    Attributes:
        seconds: By a stage's name, on one worker; stages of which nothing is known are left out.
        groups: By what people call the work: the sum of its stages' seconds.
        chain: Seconds that the longest chain takes, of stages each of which needs the one before.
        unknown: Names of the stages of which nothing is known.
        at_most: Whether episodes are taken to be as long as the environment allows.
    """

    seconds: Mapping[str, float]
    groups: Mapping[str, float]
    chain: float
    unknown: tuple[str, ...]
    at_most: bool

    @property
    def total(self) -> float:
        """Seconds of one worker."""
        return sum(self.seconds.values())


def wall_seconds(forecasts: Sequence[Forecast], workers: int) -> float:
    """Return how long experiments take together: no less than the longest chain of stages."""
    chain = max((forecast.chain for forecast in forecasts), default=0.0)
    return max(chain, sum(forecast.total for forecast in forecasts) / workers)


class Measurements:
    """How fast each kind of stage was made, and how long episodes were."""

    def __init__(self) -> None:
        self.lengths: EpisodeLengths | None = None
        self._paces: dict[str, list[tuple[float, float, float]]] = defaultdict(list)

    @classmethod
    def of(cls, plan: Plan) -> Measurements:
        """Read what the finished stages of an experiment recorded."""
        measured = cls()
        done = [stage for stage in plan.stages if stage.is_done(plan.root)]
        measured.lengths = _episode_lengths(plan.root, done)
        for stage in done:
            if measured.lengths is None and stage.run is not train_expert:
                continue
            kind = KINDS.get(stage.run)
            if kind is None:
                continue
            record = json.loads((stage.folder(plan.root) / RECORD).read_text(encoding="utf-8"))
            seconds = float(record["seconds"])
            paced = float(record.get("paced_seconds", seconds))
            amount = kind.amount(stage, measured.lengths or EpisodeLengths(1.0, 1.0))
            measured._paces[_pace_key(stage, kind)].append((seconds - paced, paced, amount))
        return measured

    def knows(self, stage: Stage) -> bool:
        """Whether a stage of this pace was made."""
        return pace_of(stage) in self._paces

    def seconds(self, stage: Stage, lengths: EpisodeLengths) -> float:
        """Return how long a stage of a known pace takes: setting up, and its amount of work."""
        kind = KINDS[stage.run]
        paces = self._paces[_pace_key(stage, kind)]
        set_up = fmean(pace[0] for pace in paces)
        per_amount = sum(pace[1] for pace in paces) / sum(pace[2] for pace in paces)
        return set_up + per_amount * kind.amount(stage, lengths)


def forecast(
    plan: Plan, env_id: str, sources: Sequence[Measurements], miniature: Measurements
) -> Forecast:
    """Predict how long the stages take that are still to be made.

    Args:
        plan: The experiment.
        env_id: Its environment.
        sources: What was measured at real scale, the most telling first.
        miniature: What was measured with next to no training; its episodes' lengths mean nothing.
    """
    known = [source.lengths for source in sources if source.lengths is not None]
    lengths = known[0] if known else _longest_episodes(env_id)
    seconds: dict[str, float] = {}
    groups: dict[str, float] = defaultdict(float)
    unknown: list[str] = []
    pending = plan.pending()
    for stage in pending:
        source = next((each for each in [*sources, miniature] if each.knows(stage)), None)
        if source is not None:
            seconds[stage.name] = source.seconds(stage, lengths)
        elif stage.run in SECONDS_OF:
            seconds[stage.name] = SECONDS_OF[stage.run]
        else:
            unknown.append(stage.name)
            continue
        groups[KINDS[stage.run].group] += seconds[stage.name]
    return Forecast(
        seconds, dict(groups), _longest_chain(pending, seconds), tuple(unknown), at_most=not known
    )


def pace_of(stage: Stage) -> str | None:
    """Return what stages of the same pace have in common; None if they are not measured."""
    kind = KINDS.get(stage.run)
    return None if kind is None else _pace_key(stage, kind)


def _pace_key(stage: Stage, kind: Kind) -> str:
    inputs: dict[str, Any] = {}
    for name, value in stage.inputs.items():
        dropped = [key.split(".")[1] for key in kind.irrelevant if key.startswith(f"{name}.")]
        if name not in kind.irrelevant:
            inputs[name] = (
                {key: inner for key, inner in value.items() if key not in dropped} if dropped else value
            )
    return json.dumps([kind.group, inputs], sort_keys=True)


def _episode_lengths(root: Path, done: Iterable[Stage]) -> EpisodeLengths | None:
    sweeps = [stage for stage in done if stage.run is sweep_student]
    if not sweeps:
        return None
    rows = [pd.read_csv(stage.folder(root) / SWEEP) for stage in sweeps]
    at_full_size = [table[table["size"] == table["size"].iloc[0]] for table in rows]
    return EpisodeLengths(
        *(float(pd.concat(tables)["length"].mean()) for tables in (at_full_size, rows))
    )


def _longest_episodes(env_id: str) -> EpisodeLengths:
    limit = float(gym.spec(env_id).max_episode_steps or UNLIMITED_EPISODE)
    return EpisodeLengths(limit, limit)


def _longest_chain(stages: Sequence[Stage], seconds: Mapping[str, float]) -> float:
    # Stages that others need stand first.
    ends: dict[str, float] = {}
    for stage in stages:
        begin = max((ends.get(need.name, 0.0) for need in stage.needs), default=0.0)
        ends[stage.name] = begin + seconds.get(stage.name, 0.0)
    return max(ends.values(), default=0.0)
