"""Stages that another experiment has made already."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from sb3_integral.atomic import atomic_folder
from sb3_integral.experiments.engine.stage import RECORD, Stage


def reuse(stage: Stage, root: Path, neighbours: Iterable[Path]) -> bool:
    """Take a stage's folder from another experiment where the very same stage is done.

    Stages are the same if their keys are: presets of one file share their expert, say. Files are
    linked where the file system can, and copied elsewhere. A stage's folder is never changed but
    replaced, so links are as good as copies.

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
                    shutil.copytree(
                        stage.folder(neighbour), partial, copy_function=_link, dirs_exist_ok=True
                    )
            except (OSError, shutil.Error):
                continue  # it is being replaced at this moment
            if stage.is_done(root):
                return True
    return False


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
