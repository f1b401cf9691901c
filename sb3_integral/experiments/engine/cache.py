"""Stages that another experiment has made already."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from sb3_integral.atomic import atomic_folder
from sb3_integral.experiments.engine.stage import RECORD, Stage
from sb3_integral.file_list import file_digest, listed_files


def reuse(stage: Stage, root: Path, neighbours: Iterable[Path]) -> bool:
    """Copy a stage's folder from another experiment where the very same stage is done.

    Stages are the same if their keys are: presets of one file share their expert, say. Only what the
    stage wrote is copied, and only if nobody has changed it since.

    Args:
        stage: The stage, which is not done in ``root``.
        root: The experiment's folder.
        neighbours: Folders of other experiments.

    Returns:
        Whether the stage is done in ``root`` now.

    Raises:
        OSError: If something stands in its place that is no stage's folder.
    """
    stage.check_target(root)
    for neighbour in neighbours:
        if neighbour != root and stage.is_done(neighbour):
            try:
                with atomic_folder(stage.folder(root), RECORD) as partial:
                    _copy(stage.folder(neighbour), partial)
            except (OSError, ValueError):
                continue  # it is not as it was made, or is being replaced at this moment
            if stage.is_done(root):
                return True
    return False


def _copy(made: Path, target: Path) -> None:
    for name, digest in listed_files(made, RECORD).items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(made / name, target / name)
        if file_digest(target / name) != digest:
            raise ValueError(f"{made / name} was changed since it was written")
    shutil.copy2(made / RECORD, target / RECORD)
