"""Files and folders that are either complete or not there; no write deletes what it did not write.

Only two functions of the package put something in the place of something else: :func:`atomic_file`
replaces regular files, :func:`atomic_folder` replaces folders that carry a marker of their own kind. A
marker is a JSON file that lists the folder's other files with their digests, so a folder to which
somebody added a file, or in which somebody changed one, is never replaced.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sb3_integral.file_list import list_files, unlisted_files

PARTIAL_PREFIX = ".partial-"
"""Start of the name of a file or folder that is being written."""

REPLACED_PREFIX = ".replaced-"
"""Start of the name that an old folder has for a moment, until the new one has taken its place."""

LEFTOVER = re.compile(
    rf"(?P<prefix>{re.escape(PARTIAL_PREFIX)}|{re.escape(REPLACED_PREFIX)})[0-9a-f]{{8}}-(?P<name>.+)",
    re.DOTALL,
)
"""The names that this module gives, and nothing shorter: a user's ``.partial-notes`` is not ours."""

NAMED = 5
"""How many of the files that stand in the way are named."""

KEPT_CHARACTERS = 50
"""A partial name ends with at most so many characters of the target's, to stay a valid name."""


def check_file_target(path: Path | str, inputs: Iterable[Path | str] = ()) -> Path:
    """Check that a file can be written to a path, and return the file that will be written.

    Call it before long work. Nothing is created or changed.

    Args:
        path: Where the file will be. A symbolic link stands for its target.
        inputs: Files that are read for it, which it must not replace, under whatever name.

    Raises:
        ValueError: If the path does not end with a name, or names an input.
        OSError: If a folder, a device, a pipe or a socket stands there, if a part of the path is a file,
            or if writing is not permitted.
    """
    target = _resolved(path)
    mode = _mode(path)
    if mode is not None:
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(f"{path} is a folder, expected a file to write")
        if not stat.S_ISREG(mode) or not target.is_file():
            raise OSError(f"{path} is not a regular file, expected a file to write")
        if not os.access(target, os.W_OK):
            raise PermissionError(f"{path} is write-protected, expected a file to write")
        for source in inputs:
            if Path(source).exists() and target.samefile(source):
                raise ValueError(
                    f"{path} is {source} itself, which is read, expected another file to write"
                )
    _check_parents(path, target)
    return target


@contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """Give a path to write a file to, and move the file to ``path`` when the block succeeds.

    A symbolic link is written through to its target. An existing file keeps its permissions; a new one
    gets those of the user's umask. If the block raises, nothing is left behind and the old file stays.
    What killed processes had begun for it is removed, unless somebody is writing in its folder.

    Args:
        path: Where the file will be; its folder is created.

    Yields:
        A path in the same folder that does not exist yet; it ends as ``path`` does, because some writers
        choose the format by the ending.

    Raises:
        ValueError: As for :func:`check_file_target`.
        OSError: Likewise.
        FileNotFoundError: If the block wrote nothing.
    """
    target = check_file_target(path)
    created = _make_parents(path, target)
    try:
        with _partial(target) as partial:
            mode = _mode(target)
            new_mode = _try_to_write(path, partial)
            yield partial
            if not partial.is_file():
                raise FileNotFoundError(f"no file was written to {partial}, which was to become {path}")
            partial.chmod(stat.S_IMODE(new_mode if mode is None else mode))
            check_file_target(path)
            partial.replace(target)
    finally:
        for parent in created:
            with suppress(OSError):  # it holds the file, or somebody else's
                parent.rmdir()


def check_folder_target(path: Path | str, marker: str | None) -> Path:
    """Check that a folder can be written to a path, and return the folder that will be written.

    Call it before long work. Nothing is created or changed.

    Args:
        path: Where the folder will be. A symbolic link stands for its target.
        marker: Name of the file that shows that an existing folder may be replaced.

    Raises:
        ValueError: If the path does not end with a name.
        OSError: If something stands there that is not a folder, or a folder that is not empty and lacks
            the marker or holds anything that was not written with it; if a part of the path is a file,
            or if writing is not permitted.
    """
    target = _resolved(path)
    mode = _mode(path)
    if mode is not None:
        if not stat.S_ISDIR(mode):
            raise NotADirectoryError(f"{path} is not a folder, expected a folder to write")
        if any(target.iterdir()):
            _check_own(path, target, marker)
    _check_parents(path, target)
    return target


@contextmanager
def atomic_folder(path: Path | str, marker: str | None) -> Iterator[Path]:
    """Give an empty folder to fill, and move it to ``path`` when the block succeeds.

    A folder that stands there and carries the marker is replaced as a whole, if nothing in it was added
    or changed since it was written; any other that is not empty is refused. A symbolic link is written
    through to its target. If the block raises, nothing is left behind. If the process is killed at any
    moment, the old folder or the new one exists as a whole: under its name, or, until the next call or
    :func:`remove_leftovers`, under one that begins with :data:`REPLACED_PREFIX`.

    Args:
        path: Where the folder will be; its parent is created.
        marker: Name of the file that shows that an existing folder may be replaced; if None, none is.
            The block may write a JSON object to it; the list of files is added to it.

    Yields:
        An empty folder beside it.

    Raises:
        ValueError: As for :func:`check_folder_target`.
        OSError: Likewise.
        FileNotFoundError: If the block left the folder empty.
    """
    target = _resolved(path)
    if target.parent.is_dir():
        for replaced in target.parent.glob(f"{REPLACED_PREFIX}*"):
            match = LEFTOVER.fullmatch(replaced.name)
            if match and match["name"] == target.name:
                _settle(replaced, target, marker)

    check_folder_target(path, marker)
    _make_parents(path, target)
    with _partial(target) as partial:
        try:
            partial.mkdir()
        except OSError as error:
            raise _unwritable(path, error) from error
        yield partial
        if not any(partial.iterdir()):
            raise FileNotFoundError(f"nothing was written to {partial}, which was to become {path}")
        if marker is not None:
            list_files(partial, marker)
        check_folder_target(path, marker)  # again, because the block may have taken hours
        try:
            _swap(partial, target, marker)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                raise
            raise FileExistsError(f"{path} is being written by another process too") from error


def remove_leftovers(root: Path, marker: str | None) -> None:
    """Remove what processes that were killed had begun to write in a folder, at any depth.

    A folder that was being replaced is put back first. Nobody else may be writing there.

    Args:
        root: The folder to search.
        marker: Name of the file that shows that a folder in the place of an old one is complete.
    """
    for folder, folders, names in os.walk(root):
        for name in [*folders, *names]:
            match = LEFTOVER.fullmatch(name)
            leftover = Path(folder, name)
            if match and match["prefix"] == REPLACED_PREFIX:
                _settle(leftover, leftover.with_name(match["name"]), marker)
            elif match:
                _remove(leftover)


def remove_partials_of(path: Path) -> None:
    """Remove what a killed process had begun to write for one path."""
    target = _resolved(path)
    for partial in target.parent.glob(f"{PARTIAL_PREFIX}*"):
        match = LEFTOVER.fullmatch(partial.name)
        if match and match["name"] == target.name[-KEPT_CHARACTERS:]:
            _remove(partial)


def _check_own(path: Path | str, folder: Path, marker: str | None) -> None:
    """Check that everything in a folder was written with it, and is as it was then."""
    if marker is None or not (folder / marker).is_file():
        holds = "" if marker is None else f" and has no {marker}"
        raise FileExistsError(f"{path} is not empty{holds}, expected a new or an empty folder")
    try:
        others = [
            name
            for name in unlisted_files(folder, marker)
            if not any(map(LEFTOVER.fullmatch, Path(name).parts))
        ]
    except ValueError as error:
        raise FileExistsError(f"{path} cannot be replaced: {error}; move it elsewhere") from error
    if others:
        named = ", ".join(map(repr, others[:NAMED])) + (", ..." if len(others) > NAMED else "")
        raise FileExistsError(
            f"{path} holds what was not written with it, or was changed since: {named}; "
            f"move that elsewhere"
        )


def _resolved(path: Path | str) -> Path:
    if Path(path).name in ("", "..") or str(path).endswith(os.sep):
        raise ValueError(f"{path} does not end with a name, expected one to write to")
    return Path(os.path.realpath(path))


def _mode(path: Path | str) -> int | None:
    """Return the mode of what stands at a path, links followed; None if there is nothing."""
    try:
        return Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:  # links in a circle, a name that is too long
        raise _unwritable(path, error) from error


def _check_parents(path: Path | str, target: Path) -> None:
    parent = next(parent for parent in target.parents if os.path.lexists(parent))
    if not parent.is_dir():
        raise NotADirectoryError(f"cannot write {path}: {parent} is not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise PermissionError(f"cannot write {path}: no permission to write in {parent}")


def _make_parents(path: Path | str, target: Path) -> list[Path]:
    """Create the folders above a target and return those that were missing, the innermost first."""
    missing = [parent for parent in target.parents if not parent.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error
    return missing


def _try_to_write(path: Path | str, partial: Path) -> int:
    """Create and remove a file, before the work for it; return the permissions that it got."""
    try:
        descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        return os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)
        partial.unlink()


def _unwritable(path: Path | str, error: OSError) -> OSError:
    return type(error)(f"cannot write {path}: {error.strerror or error}")


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """Give a name beside a target, and remove what has it at the end.

    Whoever writes in a folder shares a lock of it, which ends with the process. Who gets it alone
    knows that leftovers there are of killed processes, and removes those of the target.
    """
    name = target.name[-KEPT_CHARACTERS:]
    partial = target.with_name(f"{PARTIAL_PREFIX}{uuid.uuid4().hex[:8]}-{name}")
    with ExitStack() as stack:
        stack.callback(_remove, partial)
        with suppress(ImportError, OSError):  # where folders have no locks, leftovers stay
            import fcntl

            folder = os.open(target.parent, os.O_RDONLY)
            stack.callback(os.close, folder)
            with suppress(OSError):
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_partials_of(target)
            fcntl.flock(folder, fcntl.LOCK_SH)
        yield partial


def _swap(partial: Path, target: Path, marker: str | None) -> None:
    """Put a folder in the place of an old one, which is away from its name for a moment at most."""
    if target.exists():
        partial.chmod(stat.S_IMODE(target.stat().st_mode))
    if not target.exists() or not any(target.iterdir()):
        partial.rename(target)
        return
    replaced = target.with_name(f"{REPLACED_PREFIX}{uuid.uuid4().hex[:8]}-{target.name}")
    try:
        target.rename(replaced)
        partial.rename(target)
    finally:
        _settle(replaced, target, marker)


def _settle(replaced: Path, target: Path, marker: str | None) -> None:
    """Remove an old folder whose new one is complete, or give it its name back.

    If somebody else has put something else in its place, or something into it, both stay as they are.
    """
    if replaced.is_symlink() or not replaced.is_dir():
        return
    if marker is not None and (target / marker).is_file():
        with suppress(FileExistsError):
            _check_own(replaced, replaced, marker)
            _remove(replaced)
    elif not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir())):
        replaced.rename(target)  # takes the place of an empty folder too


def _remove(made: Path) -> None:
    """Remove what this module made."""
    if made.is_symlink():
        return
    if made.is_dir():
        shutil.rmtree(made, ignore_errors=True)
    else:
        made.unlink(missing_ok=True)
