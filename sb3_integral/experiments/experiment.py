"""An experiment as a file describes it at one scale, and what is known of its duration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sb3_integral.experiments.config.load import ConfigError, load_config, load_presets
from sb3_integral.experiments.config.schema import ExperimentConfig
from sb3_integral.experiments.engine.plan import Plan
from sb3_integral.experiments.forecast import SECONDS_OF, Forecast, Measurements, forecast, pace_of
from sb3_integral.experiments.miniature import miniature
from sb3_integral.experiments.stages.pipeline import build_stages

MINIATURES = ".miniatures"
"""The folder, beside those of experiments, in which miniatures are timed."""


@dataclass(frozen=True)
class Experiment:
    """One environment at one scale.

    Attributes:
        config: What is to be done.
        plan: Its stages.
        other_scales: The stages of the file's other presets.
    """

    config: ExperimentConfig
    plan: Plan
    other_scales: tuple[Plan, ...]

    def sources(self) -> list[Measurements]:
        """Return what its own finished stages tell of paces, then those of its other scales."""
        return [Measurements.of(plan) for plan in (self.plan, *self.other_scales)]

    def timing_plan(self) -> Plan | None:
        """Return the stages to make in miniature, to time what was never made; None if there is none."""
        sources = self.sources()
        missing = {
            pace_of(stage)
            for stage in self.plan.pending()
            if stage.run not in SECONDS_OF and not any(source.knows(stage) for source in sources)
        }
        small = self._miniature()
        names = {pace_of(stage): stage.name for stage in small.stages if pace_of(stage) in missing}
        return small.selected(list(names.values())) if names else None

    def forecast(self) -> Forecast:
        """Predict how long what is still to be made takes."""
        measured = Measurements.of(self._miniature())
        return forecast(self.plan, self.config.env, self.sources(), measured)

    def _miniature(self) -> Plan:
        folder = self.plan.root.parent / MINIATURES
        neighbours = tuple(folder / other.name for other in self.plan.neighbours)
        return Plan(
            folder / self.plan.root.name, tuple(build_stages(miniature(self.config))), neighbours
        )


def load_experiments(paths: Sequence[Path], preset: str | None, runs: Path) -> list[Experiment]:
    """Read configurations.

    Args:
        paths: The files.
        preset: The scale; None takes each file's own default.
        runs: Where results go: one folder for each experiment.

    Raises:
        ConfigError: If a file cannot be used, or if two would write to the same folder.
    """
    experiments = [_load(path, preset, runs) for path in paths]
    roots = [experiment.plan.root for experiment in experiments]
    for path, root in zip(paths, roots, strict=True):
        if roots.count(root) > 1:
            raise ConfigError(
                f"{path} is not the only one that writes to {root}; give it another `name`"
            )
    there = sorted(folder for folder in runs.iterdir() if folder.is_dir()) if runs.is_dir() else []
    neighbours = tuple(dict.fromkeys([*there, *roots]))
    return [
        replace(experiment, plan=replace(experiment.plan, neighbours=neighbours))
        for experiment in experiments
    ]


def _load(path: Path, preset: str | None, runs: Path) -> Experiment:
    config = load_config(path, preset)
    plan = _plan(config, runs)
    others = [load_config(path, name) for name in load_presets(path) if name != config.preset]
    return Experiment(config, plan, tuple(_plan(other, runs) for other in others))


def _plan(config: ExperimentConfig, runs: Path) -> Plan:
    return Plan(runs / config.folder, tuple(build_stages(config)))
