"""Spaces as JSON: plain values that are checked one by one when they are read."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces

LARGEST_SPACE = 2**24
"""Elements of the largest space that is read where nothing else says how large it can be."""

MOST_PARTS = 2**12
"""Parts that the dictionaries in a file can have together: each takes some time to make."""

DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16")
"""Types of numbers that a space in a file can have."""

FIELDS = {
    "Box": {"shape", "dtype", "low", "high"},
    "Discrete": {"n", "start"},
    "MultiDiscrete": {"nvec", "start"},
    "MultiBinary": {"n"},
    "Dict": {"spaces"},
}
"""What the JSON of each kind of space says beside its type."""

Json = Any


def space_to_json(space: spaces.Space[Any]) -> Json:
    """Write a space as JSON.

    Raises:
        ValueError: If it is of a kind that SB3 has no policies for.
    """
    if isinstance(space, spaces.Box):
        low, high = (_bounds_to_json(end) for end in (space.low, space.high))
        shape = list(space.shape)
        return {"type": "Box", "shape": shape, "dtype": str(space.dtype), "low": low, "high": high}
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
        f"a space of class {type(space).__name__} cannot be written to a file, "
        f"expected {', '.join(FIELDS)}"
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
        self._n_parts = 0

    def space(self, content: Json) -> spaces.Space[Any]:
        kind = content.get("type") if isinstance(content, dict) else None
        if not isinstance(kind, str) or {"type"} | FIELDS.get(kind, {"?"}) != content.keys():
            raise ValueError(f"unknown space {content!r:.200}")
        if kind == "Box":
            return self._box(content)
        if kind == "Discrete":
            start = _integers(content["start"], ndim=0)
            return spaces.Discrete(self._counted(content["n"], ndim=0), start=int(start))
        if kind == "MultiDiscrete":
            nvec, start = (_integers(content[name]) for name in ("nvec", "start"))
            if not nvec.size or nvec.min() < 1 or nvec.shape != start.shape:
                raise ValueError(f"wrong nvec or start of a MultiDiscrete space: {content!r:.200}")
            self._take(sum(map(int, nvec.ravel())))
            return spaces.MultiDiscrete(nvec, start=start)
        if kind == "MultiBinary":
            return spaces.MultiBinary(self._counted(content["n"], int(isinstance(content["n"], list))))
        pairs = content["spaces"]
        if not isinstance(pairs, list) or not all(
            isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs
        ):
            raise ValueError(f"a Dict space needs pairs of names and spaces, got {pairs!r:.200}")
        self._n_parts += len(pairs)
        if self._n_parts > MOST_PARTS:
            raise ValueError(f"a space has too many parts, expected {MOST_PARTS} at most")
        return spaces.Dict([(name, self.space(inner)) for name, inner in pairs])

    def _box(self, content: dict[str, Json]) -> spaces.Box:
        if content["dtype"] not in DTYPES:
            raise ValueError(f"unknown dtype {content['dtype']!r:.50} of a space, expected {DTYPES}")
        dtype = np.dtype(content["dtype"])
        shape = self._counted(content["shape"], ndim=1)
        low, high = (_bounds_from_json(content[name], shape, dtype) for name in ("low", "high"))
        return spaces.Box(low, high, shape, dtype.type)

    def _counted(self, value: Json, ndim: int) -> Any:
        """Return a number of elements, or a shape, and count its elements."""
        numbers = _integers(value, ndim).tolist()
        lengths = numbers if ndim else [numbers]
        if not all(length >= 1 for length in lengths):
            raise ValueError(f"expected a space of at least one element, got {value!r:.200}")
        self._take(math.prod(lengths))
        return tuple(numbers) if ndim else numbers

    def _take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise ValueError(f"a space is too large, expected {self._largest} elements at most")


def _bounds_to_json(bounds: np.ndarray[Any, Any]) -> Json:
    values = [v if math.isfinite(v) else str(v) for v in bounds.ravel().tolist()]
    return values[0] if values and all(value == values[0] for value in values) else values


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
    limits = np.finfo(dtype) if is_float else np.iinfo(dtype)
    is_number = isinstance(value, int | float if is_float else int) and not isinstance(value, bool)
    if not is_number or not limits.min <= value <= limits.max:
        raise ValueError(f"a bound of a Box space is {value!r:.50}, expected a number of {dtype}")
    return float(value) if is_float else value


def _integers(value: Json, ndim: int | None = None) -> np.ndarray[Any, Any]:
    """Read integers in lists of lists, or an integer alone."""
    numbers = np.array(value, dtype=object)
    has_depth = numbers.ndim >= 1 if ndim is None else numbers.ndim == ndim
    if not has_depth or not all(type(n) is int and abs(n) <= 2**62 for n in numbers.ravel()):
        raise ValueError(f"expected integers in a space, got {value!r:.50}")
    return numbers.astype(np.int64)
