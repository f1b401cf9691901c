"""Sizes as a user may pass them, and their checks."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from typing import SupportsIndex

Size = SupportsIndex | Sequence[SupportsIndex]
"""One size for every hidden layer, or one per hidden layer."""


def as_size(value: object, what: str = "size") -> int:
    """Return ``value`` as a positive integer.

    Raises:
        ValueError: If it is no integer (a fraction, a bool, text) or smaller than 1.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        size = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ValueError(f"{what} must be an integer of at least 1, got {value!r}") from None
    if size < 1:
        raise ValueError(f"{what} must be an integer of at least 1, got {size}")
    return size


def as_sizes(value: object, count: int, what: str = "size") -> tuple[int, ...]:
    """Return ``value`` as one size per hidden layer.

    Args:
        value: One integer for all hidden layers, or a sequence with one for each.
        count: Number of hidden layers.
        what: What to call the value in an error.

    Raises:
        ValueError: If a size is not a positive integer, or if there are not ``count`` of them.
    """
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        return (as_size(value, what),) * count
    if len(value) != count:
        raise ValueError(
            f"{what} must be one integer, or one per hidden layer ({count}), "
            f"got {len(value)} of them: {list(value)!r}"
        )
    return tuple(as_size(entry, what) for entry in value)


def parse_size(text: str) -> int | tuple[int, ...]:
    """Read a size: ``8``, or one per hidden layer: ``39 x 40``, ``39x40`` or ``39,40``.

    Raises:
        ValueError: If it is none of these.
    """
    try:
        sizes = tuple(as_size(int(part)) for part in re.split(r"[x×,]", text.lower()))
    except ValueError:
        raise ValueError(
            f"a size is a number of at least 1, or one per layer as in 39x40, got {text!r}"
        ) from None
    return sizes[0] if len(sizes) == 1 else sizes


def parse_sizes(text: str) -> list[int | tuple[int, ...]]:
    """Read several sizes, with commas between them: ``64,32,16``, or ``39x40, 8x5``.

    Raises:
        ValueError: If one of them is no size.
    """
    return [parse_size(part) for part in text.split(",")]


def format_sizes(sizes: Sequence[int]) -> str:
    """Return sizes, one per hidden layer, as people read them: ``39 x 40``."""
    return " x ".join(map(str, sizes))
