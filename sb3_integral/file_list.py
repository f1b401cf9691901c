"""The files that were written with a folder, as a list in one of them: what came later is not ours."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path

LISTED = "sha256"
"""Under this name a marker, which is a JSON file, lists the other files of its folder."""


def list_files(folder: Path, marker: str) -> None:
    """Write the list of a folder's files, each with its digest, into the marker.

    Args:
        folder: The folder, complete.
        marker: Name of a file in it: a JSON object, which keeps what it holds, or none yet.
    """
    path = folder / marker
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    files = {name: file_digest(folder / name) for name in _names(folder, marker)}
    path.write_text(json.dumps({**content, LISTED: files}, indent=2) + "\n", encoding="utf-8")


def unlisted_files(folder: Path, marker: str) -> list[str]:
    """Return what is in a folder and was not written with it, or was changed since.

    Raises:
        ValueError: If the marker has no list.
    """
    listed = listed_files(folder, marker)
    return [name for name in _names(folder, marker) if listed.get(name) != file_digest(folder / name)]


def listed_files(folder: Path, marker: str) -> dict[str, str]:
    """Return the files that were written with a folder, each with its digest, as its marker lists them.

    Args:
        folder: A folder of :func:`atomic_folder`.
        marker: Name of its marker.

    Returns:
        Digests by path, relative to the folder and with ``/`` on every system.

    Raises:
        ValueError: If the marker has no such list.
    """
    try:
        files = json.loads((folder / marker).read_text(encoding="utf-8"))[LISTED]
        return {str(name): str(value) for name, value in files.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{folder / marker} is damaged or of an older version, expected the digests of the files "
            f"beside it under {LISTED!r}"
        ) from error


def file_digest(path: Path) -> str | None:
    """Return a file's SHA-256, a description if it is no regular file, None if nothing is there."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(mode):
        return f"a link to {path.readlink()}"
    if not stat.S_ISREG(mode):
        return "no regular file"
    digest = hashlib.sha256()
    with path.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _names(folder: Path, marker: str) -> list[str]:
    """Return all files and links in a folder but the marker; a folder without any is nothing."""
    found = [
        Path(parent, name).relative_to(folder).as_posix()
        for parent, folders, names in os.walk(folder)
        for name in [*names, *(name for name in folders if Path(parent, name).is_symlink())]
    ]
    return sorted(name for name in found if name != marker)
