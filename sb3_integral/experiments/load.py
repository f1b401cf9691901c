"""Experiments at one scale, read from their files and ready to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sb3_integral.experiments.config.load import ConfigError, load_configs
from sb3_integral.experiments.config.schema import ExperimentConfig
from sb3_integral.experiments.engine.environment import DEFAULT_MAX_EPISODE_STEPS
from sb3_integral.experiments.engine.plan import Plan
from sb3_integral.experiments.stages.experiment import build_stages
from sb3_integral.experiments.stages.spaces import Spaces, spaces_of
from sb3_integral.imitation import check_student_spaces


def load_experiments(
    paths: Sequence[Path],
    preset: str | None,
    runs: Path,
    patterns: Sequence[str] = (),
    *,
    fresh: bool = False,
) -> list[Plan]:
    """Read configurations, and check that their environments can be cloned.

    Args:
        paths: The files.
        preset: The scale; None takes each file's own defaults, each of which is an experiment.
        runs: Where results go: one folder for each experiment.
        patterns: Which stages are to be made, with what they need; none for all.
        fresh: Whether no stage is taken from other experiments in that folder.

    Raises:
        ConfigError: If a file cannot be used, if students cannot be trained for its environment, or if
            two would write to the same folder.
        ValueError: If a pattern matches no stage.
    """
    configs = [(path, config) for path in paths for config in load_configs(path, preset)]
    plans = [_plan(path, config, runs) for path, config in configs]
    roots = [plan.root for plan in plans]
    for (path, _), root in zip(configs, roots, strict=True):
        if roots.count(root) > 1:
            raise ConfigError(
                f"{path} is not the only one that writes to {root}; give it another `name`"
            )
    others = sorted(folder for folder in runs.glob("*/") if folder.is_dir() and not fresh)
    neighbours = tuple(dict.fromkeys([*others, *roots]))
    plans = [replace(plan, neighbours=neighbours) for plan in plans]
    return [plan.selected(patterns) for plan in plans] if patterns else plans


def _plan(path: Path, config: ExperimentConfig, runs: Path) -> Plan:
    first = _checked_spaces(path, "env", config)
    for task in config.tasks()[1:]:
        spaces = _checked_spaces(path, "then", task)
        if spaces != first:
            raise ConfigError.from_problem(
                path,
                f"then: {task.env} has {_words(spaces)}, expected those of {config.env}, "
                f"{_words(first)}",
            )
    try:
        stages = build_stages(config)
    except ValueError as error:
        raise ConfigError.from_problem(path, error) from error
    notes = tuple(
        f"{task.env} has no time limit: episodes are cut after {DEFAULT_MAX_EPISODE_STEPS} "
        f"steps; `max_episode_steps` in the configuration sets another limit"
        for task in config.tasks()
        if not task.environment.has_time_limit()
    )
    return Plan(runs / config.folder, tuple(stages), notes=notes)


def _checked_spaces(path: Path, key: str, config: ExperimentConfig) -> Spaces:
    """Return the spaces of observations and actions of an environment that can be cloned."""
    try:
        with config.environment.registered() as spec:
            spaces = spaces_of(spec.id)
            check_student_spaces(*spaces)
            return spaces
    except Exception as error:  # it is the environment's own code
        raise ConfigError.from_problem(path, f"{key}: {config.env} cannot be used: {error}") from error


def _words(spaces: Spaces) -> str:
    return "observations {} and actions {}".format(*spaces)
