"""Spaces as JSON: plain values that are checked one by one when they are read."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces

LARGEST_SPACE = 2**24
"""Elements of the largest space that is read where nothing else says how large it can be."""

DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16")
"""Types of numbers that a space in a file can have."""

Json = Any


def space_to_json(space: spaces.Space[Any]) -> Json:
    """Write a space as JSON.

    Raises:
        ValueError: If it is of a kind that SB3 has no policies for.
    """
    if isinstance(space, spaces.Box):
        return {
            "type": "Box",
            "shape": list(space.shape),
            "dtype": str(space.dtype),
            "low": _bounds_to_json(space.low),
            "high": _bounds_to_json(space.high),
        }
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"type": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    if isinstance(space, spaces.MultiBinary):
        return {"type": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.shape)}
    if isinstance(space, spaces.Dict):
        inner = [[name, space_to_json(part)] for name, part in space.spaces.items()]
        return {"type": "Dict", "spaces": inner}
    raise ValueError(
        f"a space of class {type(space).__name__} cannot be written to a file, expected Box, Discrete, "
        f"MultiDiscrete, MultiBinary or Dict"
    )


def space_from_json(content: Json, largest: int = LARGEST_SPACE) -> spaces.Space[Any]:
    """Read a space from JSON.

    Args:
        content: What :func:`space_to_json` wrote.
        largest: Elements that all parts of the space may have together.

    Raises:
        ValueError: If it is not what :func:`space_to_json` writes, or if it is too large.
    """
    return _Reader(largest).space(content)


class _Reader:
    """Reads a space, and counts its elements before any are allocated."""

    def __init__(self, largest: int) -> None:
        self._largest = self._left = largest

    def space(self, content: Json) -> spaces.Space[Any]:
        kind = content.get("type") if isinstance(content, dict) else None
        if kind == "Box":
            return self._box(_entries(content, "shape", "dtype", "low", "high"))
        if kind == "Discrete":
            entries = _entries(content, "n", "start")
            return spaces.Discrete(self._count(entries["n"]), start=_integer(entries["start"]))
        if kind == "MultiDiscrete":
            entries = _entries(content, "nvec", "start")
            nvec, start = (_integers(entries[name]) for name in ("nvec", "start"))
            if (
                not nvec.size
                or nvec.min() < 1
                or nvec.max() > self._largest
                or nvec.shape != start.shape
            ):
                raise ValueError(f"wrong nvec or start of a MultiDiscrete space: {content!r:.200}")
            self._take(int(nvec.sum()))
            return spaces.MultiDiscrete(nvec, start=start)
        if kind == "MultiBinary":
            count = _entries(content, "n")["n"]
            return spaces.MultiBinary(
                self._shape(count) if isinstance(count, list) else self._count(count)
            )
        if kind == "Dict":
            pairs = _entries(content, "spaces")["spaces"]
            if not isinstance(pairs, list) or not all(
                isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs
            ):
                raise ValueError(f"a Dict space needs pairs of names and spaces, got {pairs!r:.200}")
            return spaces.Dict([(name, self.space(inner)) for name, inner in pairs])
        raise ValueError(f"unknown space {content!r:.200}")

    def _box(self, entries: dict[str, Json]) -> spaces.Box:
        if entries["dtype"] not in DTYPES:
            raise ValueError(f"unknown dtype {entries['dtype']!r:.50} of a space, expected {DTYPES}")
        dtype = np.dtype(entries["dtype"])
        shape = self._shape(entries["shape"])
        low, high = (_bounds_from_json(entries[name], shape, dtype) for name in ("low", "high"))
        return spaces.Box(low, high, shape, dtype.type)

    def _shape(self, value: Json) -> tuple[int, ...]:
        if not isinstance(value, list) or not all(_integer(count) >= 1 for count in value):
            raise ValueError(f"expected the shape of a space, got {value!r:.200}")
        self._take(math.prod(value))
        return tuple(value)

    def _count(self, value: Json) -> int:
        if _integer(value) < 1:
            raise ValueError(f"expected a space of at least one element, got {value}")
        self._take(value)
        return int(value)

    def _take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise ValueError(f"a space is too large, expected {self._largest} elements at most")


def _entries(content: dict[str, Json], *names: str) -> dict[str, Json]:
    if content.keys() != {"type", *names}:
        raise ValueError(
            f"a space of class {content['type']} has {sorted(content)}, expected type, {names}"
        )
    return content


def _bounds_to_json(bounds: np.ndarray[Any, Any]) -> Json:
    values = [_number_to_json(value) for value in bounds.ravel().tolist()]
    return values[0] if values and all(value == values[0] for value in values) else values


def _number_to_json(value: float) -> Json:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _bounds_from_json(
    content: Json, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> np.ndarray[Any, Any]:
    if not isinstance(content, list):
        return np.full(shape, _bound(content, dtype), dtype)
    if len(content) != math.prod(shape):
        raise ValueError(f"a Box space of shape {shape} has {len(content)} bounds")
    return np.array([_bound(value, dtype) for value in content], dtype).reshape(shape)


def _bound(value: Json, dtype: np.dtype[Any]) -> float:
    is_float = dtype.kind == "f"
    if is_float and value in ("inf", "-inf"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float if is_float else int):
        raise ValueError(f"wrong bound of a Box space: {value!r:.50}")
    limits = np.finfo(dtype) if is_float else np.iinfo(dtype)
    if not limits.min <= value <= limits.max:
        raise ValueError(f"a bound of a Box space is {value!r:.50}, expected a number of {dtype}")
    return value


def _integer(value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 2**62:
        raise ValueError(f"expected an integer in a space, got {value!r:.50}")
    return value


def _integers(value: Json) -> np.ndarray[Any, Any]:
    """Read integers in lists of lists."""

    def check(inner: Json) -> None:
        if isinstance(inner, list):
            for part in inner:
                check(part)
        else:
            _integer(inner)

    if not isinstance(value, list):
        raise ValueError(f"expected a list of integers in a space, got {value!r:.50}")
    check(value)
    return np.array(value, dtype=np.int64)
