"""Files of hyperparameters for experts, in rl-zoo3's format."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import yaml


def shipped_hyperparams(algo: str) -> Path:
    """Return the default file of an algorithm: this library's for TRPO, rl-zoo3's own for others."""
    package = Path(__file__).parents[2]
    if algo == "trpo":
        # In a checkout it is beside the package, in a wheel inside.
        folders = [package.parent / "hyperparams", package / "hyperparams"]
        return next((f / "trpo.yml" for f in folders if (f / "trpo.yml").is_file()), folders[0])
    zoo = importlib.util.find_spec("rl_zoo3")  # to import it would bring torch
    assert zoo is not None
    assert zoo.origin is not None
    return Path(zoo.origin).parent / "hyperparams" / f"{algo}.yml"


def expert_hyperparams(path: Path, env_id: str) -> dict[str, Any]:
    """Return an environment's entry in a file of rl-zoo3's format.

    Raises:
        ValueError: If there is none, nor a ``default``, or if the file is of another form.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must map environments to hyperparameters, got {content!r}")
    name = env_id if env_id in content else "default"
    if name not in content:
        known = ", ".join(sorted(map(str, content)))
        raise ValueError(f"{path} has no entry for {env_id!r}; it has {known}")
    if not isinstance(content[name], dict):
        raise ValueError(f"{path}: {name} must map names to values, got {content[name]!r}")
    return dict(content[name])
