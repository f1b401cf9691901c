"""The file of a configuration, read and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sb3_integral.experiments.config.presets import apply_preset, preset_names
from sb3_integral.experiments.config.schema import ExperimentConfig


class ConfigError(ValueError):
    """A configuration file that cannot be used, and why."""


def load_config(path: Path, preset: str | None = None) -> ExperimentConfig:
    """Read and check a configuration; the expert's files are relative to it.

    Args:
        path: The file.
        preset: The scale; None takes the file's ``default_preset``, or ``standard``.

    Raises:
        ConfigError: If the file is not there, is not YAML, or holds a value that is not allowed, or
            if there is no such preset.
    """
    content = _read(path)
    try:
        content = apply_preset(content, preset)
    except ValueError as error:
        raise ConfigError(f"{path} is not a valid experiment:\n  {error}") from error
    try:
        config = ExperimentConfig.model_validate(content)
    except ValidationError as error:
        problems = "\n".join(
            f"  {'.'.join(map(str, problem['loc'])) or 'experiment'}: "
            f"{problem['msg']} (got {_short(problem['input'])})"
            for problem in error.errors()
        )
        raise ConfigError(f"{path} is not a valid experiment:\n{problems}") from error
    files = {}
    for name in ("hyperparams",) if config.expert.model is None else ("model", "vecnormalize"):
        given = getattr(config.expert, name)
        if given is not None:
            files[name] = (path.parent / given).resolve()
            if not files[name].is_file():
                raise ConfigError(
                    f"{path} is not a valid experiment:\n  expert.{name}: no file {files[name]}"
                )
    expert = config.expert.model_copy(update=files)
    return config.model_copy(update={"expert": expert})


def load_presets(path: Path) -> list[str]:
    """Return the names of a configuration's presets.

    Raises:
        ConfigError: If the file is not there, is not YAML, or if its presets are not mappings.
    """
    try:
        return preset_names(_read(path))
    except ValueError as error:
        raise ConfigError(f"{path} is not a valid experiment:\n  {error}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is not a valid experiment:\n  expected a mapping, got {content!r}")
    return content


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
