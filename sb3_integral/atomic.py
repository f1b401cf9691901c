"""Files and folders that are either complete or not there."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL_PREFIX = ".partial-"
"""How the name of what is being written begins, until it is whole."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a path to write to, and move what was written to ``path`` when the block succeeds.

    If the block raises, nothing is left behind. A folder that stands at ``path`` is replaced.

    Args:
        path: Where the file or folder will be; its parent is created.

    Yields:
        A path beside it that does not exist yet.

    Raises:
        FileNotFoundError: If the block wrote nothing; what was there stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: some writers choose the format by it.
    partial = path.with_name(f"{PARTIAL_PREFIX}{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield partial
        if not partial.exists():
            raise FileNotFoundError(f"nothing was written to {partial}, which was to become {path}")
        if path.is_dir():
            shutil.rmtree(path)
        partial.replace(path)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink(missing_ok=True)
