"""Numbers and arrays as C source text."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

LARGEST = float(np.finfo(np.float32).max)
"""The largest finite float of C."""


def literal(value: float, real: str = "float") -> str:
    """Write a number as a C literal that reads as the nearest number of a type.

    Numbers beyond the range of a float become infinite, as they do in NumPy and torch.

    Args:
        value: The number.
        real: The type: ``float`` or ``double``.

    Raises:
        ValueError: If it is NaN, which C99 has no literal for.
    """
    if math.isnan(value):
        raise ValueError("C has no literal for NaN, expected a number")
    rounded = value
    if real == "float":
        is_in_range = abs(value) <= LARGEST
        rounded = float(np.float32(value)) if is_in_range else math.copysign(math.inf, value)
    if math.isinf(rounded):
        return "INFINITY" if rounded > 0 else "-INFINITY"
    if real == "double":
        return repr(float(rounded))
    text = f"{rounded:.9g}"
    return f"{text}f" if any(mark in text for mark in ".e") else f"{text}.0f"


TYPES = {
    "float64": "double",
    "float32": "float",
    "uint8": "uint8_t",
    "int8": "int8_t",
    "int16": "int16_t",
    "int32": "int",
}
"""The types of C, by those of NumPy."""


def array(name: str, values: np.ndarray[Any, Any]) -> str:
    """Write a constant array in C's order, of one of :data:`TYPES`."""
    kind = TYPES[values.dtype.name]
    write = partial(literal, real=kind) if kind in ("float", "double") else str
    flat = [write(value) for value in values.ravel().tolist()]
    step = 6 if write is not str else 16
    lines = [", ".join(flat[start : start + step]) for start in range(0, len(flat), step)]
    return f"static const {kind} {name}[{len(flat)}] = {{\n    " + ",\n    ".join(lines) + "\n};\n"


def inward(bounds: np.ndarray[Any, Any], *, up: bool) -> np.ndarray[Any, Any]:
    """Round bounds of an action space to float32, so that what they allow is in the space.

    Args:
        bounds: Of any type of number.
        up: Whether they are lower bounds.
    """
    exact = bounds.astype(np.float64)
    rounded = np.clip(exact, -LARGEST, LARGEST).astype(np.float32)
    rounded = np.where(np.isinf(exact), exact, rounded).astype(np.float32)
    is_outside = rounded < exact if up else rounded > exact
    with np.errstate(over="ignore"):
        further = np.nextafter(rounded, np.float32(np.inf if up else -np.inf))
    return np.where(is_outside, further, rounded)
