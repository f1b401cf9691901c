"""The versions of the packages, and the digests of the source files, that a result depends on."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path

SOURCE_SUFFIXES = frozenset(
    (".py", ".pyx", ".so", ".pyd", ".c", ".cpp", ".h", ".xml", ".urdf", ".stl", ".obj")
)
"""Files of a package that decide what it does: code and models. Others may be results or logs."""

CODE = "code of "
"""How the entry of a module without a version begins."""

_IGNORED = frozenset({*sys.stdlib_module_names, "sb3_integral", "__main__"})


@lru_cache
def version_of(distribution: str) -> str | None:
    """Return the installed version of a distribution; None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def versions_of(distributions: Iterable[str]) -> dict[str, str]:
    """Return the installed versions of distributions, without those that are not installed."""
    found = {name: version_of(name) for name in distributions}
    return {name: version for name, version in found.items() if version is not None}


def versions_of_modules(modules: Iterable[str]) -> dict[str, str]:
    """Return what identifies the code of modules, and of the modules that they import.

    Args:
        modules: Names of importable modules.

    Returns:
        For installed packages the name and version of their distribution, for all others (files beside
        the configuration, editable installs) ``code of NAME`` and a digest of their source files.
    """
    found: dict[str, str] = {}
    for name, files in _walk(modules):
        if files is None:
            names = _distributions().get(name, ())
            found.update(versions_of(each.lower().replace("_", "-") for each in names))
        else:
            found[f"{CODE}{name}"] = _digest(files)
    return dict(sorted(found.items()))


def local_sources(modules: Iterable[str]) -> dict[str, Path]:
    """Return the source files of those modules, and of what they import, that no distribution holds.

    Returns:
        By their path relative to the folder from which they are imported.
    """
    sources: dict[str, Path] = {}
    for _, files in _walk(modules):
        sources.update(files or {})
    return sources


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return what changed between two sets of versions, in words."""
    changes = []
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if name.startswith(CODE):
            changes.append(f"the {name} changed")
        else:
            changes.append(f"{name} is {new or 'not installed'}, was {old or 'not installed'}")
    return changes


def _walk(modules: Iterable[str]) -> Iterator[tuple[str, dict[str, Path] | None]]:
    """Give top-level modules, and the files of those that no distribution holds (else None)."""
    remaining = sorted({module.partition(".")[0] for module in modules}, reverse=True)
    seen = set(_IGNORED)
    while remaining:
        name = remaining.pop()
        if name in seen:
            continue
        seen.add(name)
        files = _local_files(name)
        yield name, files
        for path in (files or {}).values():
            if path.suffix == ".py":
                remaining += sorted(_imported_by(path) - seen, reverse=True)


def _local_files(name: str) -> dict[str, Path] | None:
    """Return the source files of a top-level module; None if it is installed, or cannot be found."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    origin = folders[0] if folders else Path(spec.origin or "")
    if not origin.exists() or _is_installed(origin):
        return None
    if not folders:
        return {origin.name: origin}
    return {
        path.relative_to(folder.parent).as_posix(): path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.suffix in SOURCE_SUFFIXES and path.is_file() and not _is_hidden(path.relative_to(folder))
    }


def _is_hidden(path: Path) -> bool:
    """Return whether a path leads through a folder such as a virtual environment or a cache."""
    return any(part.startswith((".", "__pycache__")) or part == "site-packages" for part in path.parts)


def _is_installed(path: Path) -> bool:
    roots = [sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib", "platstdlib")]
    return any(path.is_relative_to(root) for root in roots) or bool(
        {"site-packages", "dist-packages"} & set(path.parts)
    )


def _imported_by(path: Path) -> set[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def _digest(files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


@lru_cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()
