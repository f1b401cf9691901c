"""Sizes as a user may pass them, and their checks."""

from __future__ import annotations

import operator
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
