"""Spaces as JSON: plain values that are checked one by one when they are read."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces

LARGEST_SPACE = 2**24
"""Elements of the largest space that is read: a file must not be able to ask for all memory."""

DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16")
"""Types of numbers that a space in a file can have."""

Json = Any


def space_to_json(space: spaces.Space[Any]) -> Json:
    """Write a space as JSON.

    Raises:
        ValueError: If it is of a kind that SB3 has no policies for.
    """
    if type(space) is spaces.Box:
        return {
            "type": "Box",
            "shape": list(space.shape),
            "dtype": str(space.dtype),
            "low": _bounds_to_json(space.low),
            "high": _bounds_to_json(space.high),
        }
    if type(space) is spaces.Discrete:
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if type(space) is spaces.MultiDiscrete:
        return {"type": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    if type(space) is spaces.MultiBinary:
        return {"type": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.shape)}
    if type(space) is spaces.Dict:
        inner = [[name, space_to_json(part)] for name, part in space.spaces.items()]
        return {"type": "Dict", "spaces": inner}
    raise ValueError(
        f"a {type(space).__name__} space cannot be written to a file, expected Box, Discrete, "
        f"MultiDiscrete, MultiBinary or Dict"
    )


def space_from_json(content: Json) -> spaces.Space[Any]:
    """Read a space from JSON.

    Raises:
        ValueError: If it is not what :func:`space_to_json` writes.
    """
    kind = content.get("type") if isinstance(content, dict) else None
    if kind == "Box":
        entries = _entries(content, "shape", "dtype", "low", "high")
        shape = _shape(entries["shape"])
        if entries["dtype"] not in DTYPES:
            raise ValueError(f"unknown dtype {entries['dtype']!r} of a space, expected one of {DTYPES}")
        dtype = np.dtype(entries["dtype"])
        low, high = (_bounds_from_json(entries[name], shape, dtype) for name in ("low", "high"))
        return spaces.Box(low, high, shape, dtype.type)
    if kind == "Discrete":
        entries = _entries(content, "n", "start")
        return spaces.Discrete(_count(entries["n"]), start=_integer(entries["start"]))
    if kind == "MultiDiscrete":
        entries = _entries(content, "nvec", "start")
        nvec, start = (_integers(entries[name]) for name in ("nvec", "start"))
        if not nvec.size or nvec.min() < 1 or nvec.sum() > LARGEST_SPACE:
            raise ValueError(f"wrong nvec of a MultiDiscrete space: {entries['nvec']!r}")
        return spaces.MultiDiscrete(nvec, start=start)
    if kind == "MultiBinary":
        count = _entries(content, "n")["n"]
        return spaces.MultiBinary(_shape(count) if isinstance(count, list) else _count(count))
    if kind == "Dict":
        pairs = _entries(content, "spaces")["spaces"]
        if not isinstance(pairs, list) or not all(
            isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs
        ):
            raise ValueError(f"a Dict space needs pairs of names and spaces, got {pairs!r}")
        return spaces.Dict([(name, space_from_json(inner)) for name, inner in pairs])
    raise ValueError(f"unknown space {content!r}")


def _entries(content: dict[str, Json], *names: str) -> dict[str, Json]:
    if content.keys() != {"type", *names}:
        raise ValueError(f"a {content['type']} space has {sorted(content)}, expected type, {names}")
    return content


def _bounds_to_json(bounds: np.ndarray[Any, Any]) -> Json:
    values = [_number_to_json(value) for value in bounds.ravel().tolist()]
    return values[0] if values and all(value == values[0] for value in values) else values


def _number_to_json(value: float) -> Json:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _bounds_from_json(
    content: Json, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> np.ndarray[Any, Any]:
    values = content if isinstance(content, list) else [content] * math.prod(shape)
    if len(values) != math.prod(shape):
        raise ValueError(f"a Box space of shape {shape} has {len(values)} bounds")
    return np.array([_bound(value) for value in values]).reshape(shape).astype(dtype)


def _bound(value: Json) -> float:
    if value in ("inf", "-inf"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"wrong bound of a Box space: {value!r}")
    return value


def _integer(value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 2**62:
        raise ValueError(f"expected an integer in a space, got {value!r}")
    return value


def _count(value: Json) -> int:
    if not 1 <= _integer(value) <= LARGEST_SPACE:
        raise ValueError(f"expected 1 to {LARGEST_SPACE} elements of a space, got {value!r}")
    return int(value)


def _shape(value: Json) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise ValueError(f"expected the shape of a space, got {value!r}")
    shape = tuple(map(_count, value))
    if math.prod(shape) > LARGEST_SPACE:
        raise ValueError(f"a space of shape {shape} is too large, expected {LARGEST_SPACE} elements")
    return shape


def _integers(value: Json) -> np.ndarray[Any, Any]:
    """Read integers in lists of lists."""

    def check(inner: Json) -> None:
        if isinstance(inner, list):
            for part in inner:
                check(part)
        else:
            _integer(inner)

    check(value)
    return np.array(value, dtype=np.int64)
