"""The file of a configuration, read and checked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sb3_integral.experiments.config.presets import apply_preset, default_presets
from sb3_integral.experiments.config.schema import ExperimentConfig, ExpertConfig


class ConfigError(ValueError):
    """A configuration file that cannot be used, and why."""

    @classmethod
    def from_problem(cls, path: Path, problem: object) -> ConfigError:
        """Say what is wrong with a file."""
        return cls(f"{path} is not a valid experiment:\n  {problem}")


def load_config(path: Path, preset: str | None = None) -> ExperimentConfig:
    """Read and check a configuration at one scale; the first of the file's own if none is named.

    Raises:
        ConfigError: As :func:`load_configs`.
    """
    return load_configs(path, preset)[0]


def load_configs(path: Path, preset: str | None = None) -> list[ExperimentConfig]:
    """Read and check a file at one scale, or at each that it names as its ``default_preset``.

    The expert's files are relative to it. Modules that register environments are found beside the file,
    and in the current folder.

    Raises:
        ConfigError: If the file is not there, is not YAML, or holds a value that is not allowed, if
            there is no such preset, or if the environment is unknown.
    """
    content = _read(path)
    try:
        presets = default_presets(content) if preset is None else [preset]
        configs = [ExperimentConfig.model_validate(apply_preset(content, name)) for name in presets]
    except ValidationError as error:
        problems = (
            f"{'.'.join(map(str, problem['loc'])) or 'experiment'}: "
            f"{problem['msg']} (got {_short(problem['input'])})"
            for problem in error.errors()
        )
        raise ConfigError.from_problem(path, "\n  ".join(problems)) from error
    except ValueError as error:
        raise ConfigError.from_problem(path, error) from error
    configs = [
        config.model_copy(update={"expert": _with_files(config, path)}).read_from(path)
        for config in configs
    ]
    for config in configs:
        for key, task in zip(("env", *["then"] * len(config.then)), config.tasks(), strict=True):
            _check_environment(key, task, path)
    return configs


def _with_files(config: ExperimentConfig, path: Path) -> ExpertConfig:
    """Return the settings of the expert with the paths of its files."""
    files = {}
    for name in ("hyperparams",) if config.expert.model is None else ("model", "vecnormalize"):
        given = getattr(config.expert, name)
        if given is not None:
            files[name] = (path.parent / given).resolve()
            if not files[name].is_file():
                raise ConfigError.from_problem(path, f"expert.{name}: no file {files[name]}")
    return config.expert.model_copy(update=files)


def _check_environment(key: str, config: ExperimentConfig, path: Path) -> None:
    environment = config.environment
    for folder in (path.parent.resolve(), Path.cwd()):
        # A file that names no module of its own gives no reason to import from its folder.
        if environment.packages and str(folder) not in sys.path:
            sys.path.append(str(folder))
    try:
        with environment.registered():
            pass
    except ValueError as error:
        raise ConfigError.from_problem(path, f"{key}: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError.from_problem(path, f"expected a mapping, got {_short(content)}")
    return content


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
