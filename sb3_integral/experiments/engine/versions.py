"""Package versions and source digests, which tell whether a result is out of date."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from pathlib import Path

SOURCE_SUFFIXES = frozenset(
    (".py", ".pyx", ".so", ".pyd", ".c", ".cpp", ".h", ".xml", ".urdf", ".stl", ".obj")
)
"""Files of a package that decide what it does: code and models. Others may be results or logs."""

CODE = "code of "  # how the entry of a module without a version begins

_IGNORED = frozenset({*sys.stdlib_module_names, "sb3_integral", "__main__"})


_version = lru_cache(metadata.version)
_distributions = lru_cache(metadata.packages_distributions)


def versions_of(distributions: Iterable[str]) -> dict[str, str]:
    """Return the installed versions of distributions, without those that are not installed."""
    found = {}
    for name in distributions:
        with suppress(metadata.PackageNotFoundError):
            found[name] = _version(name)
    return found


def versions_of_modules(modules: Iterable[str]) -> dict[str, str]:
    """Return the versions or source digests of modules and of their imports.

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
    """Return the source files of those modules and imports that are not installed packages.

    Returns:
        By their path relative to the folder from which they are imported.
    """
    return {name: path for _, files in _walk(modules) for name, path in (files or {}).items()}


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the changes between two sets of versions, in words."""
    changes = []
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if old != new and name.startswith(CODE):
            changes.append(f"the {name} changed")
        elif old != new:
            changes.append(f"{name} is {new or 'not installed'}, was {old or 'not installed'}")
    return changes


def _walk(modules: Iterable[str]) -> Iterator[tuple[str, dict[str, Path] | None]]:
    """Yield each top-level module with its local source files; None if it has none."""
    remaining = {module.partition(".")[0] for module in modules} - _IGNORED
    seen = set(_IGNORED)
    while remaining:
        name = min(remaining)
        seen.add(name)
        files = _local_files(name)
        yield name, files
        for path in (files or {}).values():
            if path.suffix == ".py":
                remaining |= _imported_by(path)
        remaining -= seen


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
    files = {path.relative_to(folder.parent): path for folder in folders for path in folder.rglob("*")}
    return {
        name.as_posix(): path
        for name, path in sorted(files.items())
        if path.suffix in SOURCE_SUFFIXES
        and path.is_file()
        # Virtual environments and caches are not the package's.
        and not any(part.startswith((".", "__pycache__", "site-packages")) for part in name.parts)
    }


def _is_installed(path: Path) -> bool:
    roots = [sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib", "platstdlib")]
    is_below = any(path.is_relative_to(root) for root in roots)
    return is_below or not {"site-packages", "dist-packages"}.isdisjoint(path.parts)


def _imported_by(path: Path) -> set[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()
    nodes = list(ast.walk(tree))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.partition(".")[0] for name in names}


def _digest(files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]
