"""Where a policy's file is in the folders that people have: those of SB3, rl-zoo3 and this library."""

from __future__ import annotations

import json
from pathlib import Path

from sb3_integral.atomic import LEFTOVER

STATISTICS = "vecnormalize.pkl"
"""The file in which rl-zoo3 keeps the statistics of a normalised environment."""

RECORD = "stage.json"
"""The file in which a run of this library keeps what made a model."""

PLACES = ("*.safetensors", "*.zip")
"""Files that may hold a policy."""

DEEPEST_FOLDER = 4
"""How many folders below the given one are searched."""

NAMED = 5
"""How many files are named where a folder has several."""


def model_file(path: Path) -> Path:
    """Return the file of the only policy in a folder, or the file itself.

    Args:
        path: A file, with or without ``.zip`` at its end, as SB3's ``load`` takes it. Or a folder with a
            ``model.zip``, a run of rl-zoo3 or of this library, or one of its stages.

    Raises:
        ValueError: If there is no policy, or more than one.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        zipped = path.with_name(f"{path.name}.zip") if path.name else path
        if zipped.is_file():
            return zipped
        raise ValueError(
            f"{path} does not exist, expected a zip of SB3, a safe file, or the folder of a run"
        )
    if (path / "model.zip").is_file():
        return path / "model.zip"
    found: list[Path] = []
    for depth in range(DEEPEST_FOLDER + 1):
        found = sorted(file for place in PLACES for file in path.glob(f"{'*/' * depth}{place}"))
        found = [file for file in found if _is_whole(file)]
        if found:
            break
    if len(found) != 1:
        names = "".join(f", {file.parent if depth else file}" for file in found[:NAMED])
        raise ValueError(
            f"{path} holds {len(found)} models, expected a model.zip, one .safetensors file, or one "
            f"<environment>.zip beside its folder <environment> as rl-zoo3 saves it"
            f"{'; name one of them' if names else ''}{names}{', ...' if len(found) > NAMED else ''}"
        )
    return found[0]


def _is_whole(file: Path) -> bool:
    """Return whether a file is complete and where rl-zoo3 or this library saves it."""
    is_named = file.suffix != ".zip" or file.with_suffix("").is_dir()
    return is_named and not any(map(LEFTOVER.fullmatch, file.parts))


def statistics_file(model: Path) -> Path | None:
    """Return where the statistics of a model's observations are; None if there are none."""
    places = [model.with_suffix(""), model.parent]
    if model.name == "best_model.zip":
        places += sorted(folder for folder in model.parent.iterdir() if folder.is_dir())
    return next((place / STATISTICS for place in places if (place / STATISTICS).is_file()), None)


def environment_of(model: Path) -> str | None:
    """Return the environment that a run's model was trained for; None where the folder doesn't say.

    An id that names a module to import is left out: a folder must not decide what is run.
    """
    if model.suffix == ".zip" and model.with_suffix("").is_dir():  # rl-zoo3 names it so
        return model.stem
    try:
        record = json.loads(model.with_name(RECORD).read_text(encoding="utf-8"))
        env_id = record["inputs"]["env_id"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return env_id if isinstance(env_id, str) and ":" not in env_id else None
