"""Experiments as their files describe them at one scale, ready to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sb3_integral.experiments.config.load import ConfigError, load_config
from sb3_integral.experiments.config.schema import ExperimentConfig
from sb3_integral.experiments.engine.environment import DEFAULT_MAX_EPISODE_STEPS
from sb3_integral.experiments.engine.plan import Plan
from sb3_integral.experiments.stages.experiment import build_stages
from sb3_integral.experiments.stages.spaces import spaces_of
from sb3_integral.imitation import check_student_spaces


@dataclass(frozen=True)
class Experiment:
    """One environment at one scale.

    Attributes:
        config: What is to be done.
        plan: Its stages.
    """

    config: ExperimentConfig
    plan: Plan

    def notes(self) -> list[str]:
        """Return what a user should know before it runs."""
        if self.config.environment.has_time_limit():
            return []
        return [
            f"{self.config.env} has no time limit: episodes are cut after {DEFAULT_MAX_EPISODE_STEPS} "
            f"steps; `max_episode_steps` in the configuration sets another limit"
        ]


def load_experiments(paths: Sequence[Path], preset: str | None, runs: Path) -> list[Experiment]:
    """Read configurations, and check that their environments can be cloned.

    Args:
        paths: The files.
        preset: The scale; None takes each file's own default.
        runs: Where results go: one folder for each experiment.

    Raises:
        ConfigError: If a file cannot be used, if students cannot be trained for its environment, or if
            two would write to the same folder.
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
    try:
        with config.environment.registered() as spec:
            check_student_spaces(*spaces_of(spec.id))
    except Exception as error:  # it is the environment's own code
        raise ConfigError.of(path, f"env: {config.env} cannot be used: {error}") from error
    try:
        stages = build_stages(config)
    except ValueError as error:
        raise ConfigError.of(path, error) from error
    return Experiment(config, Plan(runs / config.folder, tuple(stages)))
