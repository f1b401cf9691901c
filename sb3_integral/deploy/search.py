"""Exact search for sizes under limits that grow with every size."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np

Sizes = tuple[int, ...]
Fits = Callable[[Sequence[int]], bool]
"""Whether sizes meet all limits. If sizes fit, all smaller sizes must fit too."""

DIGITS = 9
"""Digits to which coarseness is rounded, so that sums in another order are equal."""


def coarseness(sizes: Sequence[int], full: Sequence[int]) -> float:
    """Return how coarsely a network is sampled: the sum over layers of (full size / size)²."""
    return sum((whole / size) ** 2 for size, whole in zip(sizes, full, strict=True))


def rank(sizes: Sequence[int], full: Sequence[int]) -> tuple[float, int, Sizes]:
    """Return a sort key: the finest sizes first, and of equally fine ones the most balanced first."""
    spread = max(sizes, default=0) - min(sizes, default=0)
    return round(coarseness(sizes, full), DIGITS), spread, tuple(sizes)


def finest_fitting(fits: Fits, lowest: Sizes, full: Sizes) -> Sizes:
    """Return the sizes of the lowest :func:`rank` from ``lowest``, which fit, to ``full``.

    They are found by branch and bound.
    """
    if not full:
        return ()
    best = _grown(fits, _scaled(fits, lowest, full), full)
    best_rank = rank(best, full)

    def descend(prefix: Sizes) -> None:
        nonlocal best, best_rank
        axis = len(prefix)
        most = best_rank[0] + 10.0**-DIGITS - coarseness(prefix, full[:axis])
        ranges = _ranges(lambda rest: fits((*prefix, *rest)), lowest[axis:], full[axis:], most)
        if ranges is None:
            return
        low, high = ranges[0]
        if len(ranges) > 1:
            for size in range(high, low - 1, -1):
                descend((*prefix, size))
            return
        found = (*prefix, high)
        found_rank = rank(found, full)
        if found_rank < best_rank:
            best, best_rank = found, found_rank

    descend(())
    return best


def _ranges(
    fits: Fits, lowest: Sizes, full: Sizes, most: float, rounds: int = 3
) -> list[tuple[int, int]] | None:
    """Return the range of sizes of each layer for which the coarseness can be at most ``most``.

    The upper end is the largest size that fits while the other layers have their lowest sizes. The
    lower end is the smallest size that is fine enough while the other layers have their highest sizes.
    The result is None if a range is empty.
    """
    lows, highs = list(lowest), list(full)
    for _ in range(rounds):
        finest = coarseness(highs, full)
        for axis, (high, whole) in enumerate(zip(highs, full, strict=True)):
            share = (whole / high) ** 2
            allowed = most - (finest - share)
            if allowed < share:
                return None
            lows[axis] = max(lows[axis], math.ceil(whole / math.sqrt(allowed) - 10.0**-DIGITS))
        if not fits(lows):
            return None
        before = list(highs)
        for axis, (low, high) in enumerate(zip(lows, highs, strict=True)):
            highs[axis] = _largest(_with_axis(fits, lows, axis), low, high)
        if highs == before:
            break
    return list(zip(lows, highs, strict=True))


def _with_axis(fits: Fits, sizes: Sequence[int], axis: int) -> Callable[[int], bool]:
    """Return the limits as a function of the size of one layer."""
    before, after = tuple(sizes[:axis]), tuple(sizes[axis + 1 :])
    return lambda size: fits((*before, size, *after))


def frontier(fits: Fits, lowest: Sizes, full: Sizes, count: int) -> Iterator[Sizes]:
    """Iterate over fitting sizes in which no layer can grow: about ``count``, spread over shapes.

    If there are no more, all of them are returned.
    """
    if not full:
        yield ()
        return
    per_axis = max(2, int(count ** (1 / max(1, len(full) - 1))))
    levels = []
    for axis in range(len(full) - 1):
        # The largest sizes beside full layers (or the lowest size), and beside the lowest sizes.
        low = _largest(_with_axis(fits, full, axis), lowest[axis], full[axis])
        high = _largest(_with_axis(fits, lowest, axis), low, full[axis])
        spread = np.geomspace(low, high, per_axis)
        few = high - low < per_axis
        levels.append(range(low, high + 1) if few else sorted({round(float(x)) for x in spread}))
    seen = set()
    for prefix in product(*levels):
        start = (*prefix, lowest[-1])
        if not fits(start):
            continue
        found = _grown(fits, start, full)
        if found not in seen:
            seen.add(found)
            yield found


def _grown(fits: Fits, sizes: Sizes, full: Sizes) -> Sizes:
    """Let each layer grow as far as it fits, the last layer first."""
    grown = list(sizes)
    for axis in reversed(range(len(full))):
        grown[axis] = _largest(_with_axis(fits, grown, axis), grown[axis], full[axis])
    return tuple(grown)


def _scaled(fits: Fits, lowest: Sizes, full: Sizes) -> Sizes:
    """Return the largest fitting sizes that are in proportion to the full sizes."""
    steps = max(full, default=1)

    def at(step: int) -> Sizes:
        pairs = zip(lowest, full, strict=True)
        return tuple(max(low, whole * step // steps) for low, whole in pairs)

    return at(_largest(lambda step: fits(at(step)), 0, steps))


def _largest(fits: Callable[[int], bool], low: int, high: int) -> int:
    """Return the largest integer that fits; ``low`` must fit."""
    return low + bisect_left(range(low + 1, high + 1), True, key=lambda size: not fits(size))
