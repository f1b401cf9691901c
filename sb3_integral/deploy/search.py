"""Exact search for sizes under limits that grow with every size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np

Sizes = tuple[int, ...]
Fits = Callable[[Sequence[int]], bool]
"""Whether sizes are within all limits; whatever is smaller than what fits has to fit too."""

DIGITS = 9
"""To which coarseness is compared, so that sums in another order are equal."""


def coarseness(sizes: Sequence[int], full: Sequence[int]) -> float:
    """Return how coarsely a network is sampled: the sum over layers of (full size / size) squared."""
    return sum((whole / size) ** 2 for size, whole in zip(sizes, full, strict=True))


def rank(sizes: Sequence[int], full: Sequence[int]) -> tuple[float, int, Sizes]:
    """Return a key by which the finest sizes are smallest, and of equally fine ones the balanced."""
    return round(coarseness(sizes, full), DIGITS), max(sizes) - min(sizes), tuple(sizes)


def finest_fitting(fits: Fits, lowest: Sizes, full: Sizes) -> Sizes:
    """Return the sizes of least :func:`rank` that fit, by branch and bound.

    Args:
        fits: The limits; ``lowest`` has to fit.
        lowest: The smallest size of each layer.
        full: The largest size of each layer.
    """
    best = _grown(fits, _scaled(fits, lowest, full), full)
    best_rank = rank(best, full)

    def descend(prefix: Sizes) -> None:
        nonlocal best, best_rank
        axis = len(prefix)
        rest = lowest[axis + 1 :]
        largest = _largest(lambda size: fits((*prefix, size, *rest)), lowest[axis], full[axis])
        if not rest:
            found = (*prefix, largest)
            found_rank = rank(found, full)
            if found_rank < best_rank:
                best, best_rank = found, found_rank
            return
        spent = coarseness(prefix, full[:axis])
        for size in range(largest, lowest[axis] - 1, -1):
            # No layer can be finer than at full size, where it counts 1.
            if spent + (full[axis] / size) ** 2 + len(rest) > best_rank[0] + 10.0**-DIGITS:
                break
            if _bound((*prefix, size)) <= best_rank[0] + 10.0**-DIGITS:
                descend((*prefix, size))

    def _bound(prefix: Sizes) -> float:
        """Return what no sizes with this beginning can be finer than: each other layer on its own."""
        axis = len(prefix)
        bound = coarseness(prefix, full[:axis])
        for place in range(axis, len(full)):
            before, after = lowest[axis:place], lowest[place + 1 :]
            largest = _largest(
                lambda size, before=before, after=after: fits((*prefix, *before, size, *after)),  # type: ignore[misc]
                lowest[place],
                full[place],
            )
            bound += (full[place] / largest) ** 2
        return bound

    descend(())
    return best


def frontier(fits: Fits, lowest: Sizes, full: Sizes, count: int) -> Iterator[Sizes]:
    """Iterate over sizes that fit and in which no layer can grow, spread over their shapes.

    Args:
        fits: The limits; ``lowest`` has to fit.
        lowest: The smallest size of each layer.
        full: The largest size of each layer.
        count: About how many; where there are no more than so many, all of them are given.
    """
    per_axis = max(2, int(count ** (1 / max(1, len(full) - 1))))
    levels = []
    for axis in range(len(full) - 1):

        def alone(others: Sizes, low: int, axis: int = axis) -> int:
            """Return how large a layer can be beside others; ``low`` if it does not fit at all."""
            around = others[:axis], others[axis + 1 :]
            return _largest(lambda size: fits((*around[0], size, *around[1])), low, full[axis])

        low, high = alone(full, lowest[axis]), alone(lowest, lowest[axis])
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
    """Let the layers grow as far as they can, the last one first."""
    grown = list(sizes)
    for axis in reversed(range(len(full))):
        before, after = grown[:axis], grown[axis + 1 :]
        grown[axis] = _largest(
            lambda size, before=before, after=after: fits([*before, size, *after]),  # type: ignore[misc]
            grown[axis],
            full[axis],
        )
    return tuple(grown)


def _scaled(fits: Fits, lowest: Sizes, full: Sizes) -> Sizes:
    """Return the largest sizes that fit and are in the same proportion to full size."""
    steps = max(full)

    def at(step: int) -> Sizes:
        pairs = zip(lowest, full, strict=True)
        return tuple(max(low, whole * step // steps) for low, whole in pairs)

    return at(_largest(lambda step: fits(at(step)), 0, steps))


def _largest(fits: Callable[[int], bool], low: int, high: int) -> int:
    """Return the largest integer that fits, by bisection; ``low`` is known to."""
    if fits(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low
