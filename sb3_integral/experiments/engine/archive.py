"""A stage's folder as a stream of pieces, for machines that share no file system."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from sb3_integral.atomic import atomic_folder
from sb3_integral.experiments.engine.stage import RECORD

PIECE_BYTES = 32 * 2**20  # size of a piece, which is held in memory, however large the folder is


def packed(folder: Path) -> Iterator[bytes]:
    """Give a folder as pieces of a tar archive, of :data:`PIECE_BYTES` but for the last."""
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.add(folder, arcname=".")
        file.seek(0)
        while piece := file.read(PIECE_BYTES):
            yield piece


def unpack(pieces: Iterable[bytes], folder: Path) -> None:
    """Make a stage's folder, or replace it, from all pieces; if that fails, no new one is there.

    Raises:
        OSError: If something else stands there.
        tarfile.TarError: If the pieces are no archive, or one that would write elsewhere.
    """
    with tempfile.TemporaryFile() as file:
        file.writelines(pieces)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive, atomic_folder(folder, RECORD) as partial:
            archive.extractall(partial, filter="data")
