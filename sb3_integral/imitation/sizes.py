"""Distributions of sizes, for training at a random size in every step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from sb3_integral.nn import as_size


@runtime_checkable
class SizeDistribution(Protocol):
    """A distribution of hidden sizes."""

    def draw(self, rng: np.random.Generator) -> int:
        """Draw one size for all hidden layers."""
        ...


@dataclass(frozen=True)
class UniformSizes:
    """Every integer from ``low`` to ``high`` equally often.

    Raises:
        ValueError: If an end is not a positive integer, or ``low`` is above ``high``.
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        """Check the ends."""
        _check_ends(self.low, self.high)

    def draw(self, rng: np.random.Generator) -> int:
        """See :meth:`SizeDistribution.draw`."""
        return int(rng.integers(self.low, self.high, endpoint=True))


@dataclass(frozen=True)
class LogUniformSizes:
    """Every ratio of sizes equally often, so small sizes more often than large ones.

    Raises:
        ValueError: If an end is not a positive integer, or ``low`` is above ``high``.
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        """Check the ends."""
        _check_ends(self.low, self.high)

    def draw(self, rng: np.random.Generator) -> int:
        """See :meth:`SizeDistribution.draw`."""
        drawn = int(math.exp(rng.uniform(math.log(self.low), math.log(self.high + 1))))
        return min(max(drawn, self.low), self.high)


def _check_ends(low: int, high: int) -> None:
    if as_size(low, "low") > as_size(high, "high"):
        raise ValueError(f"low must not be above high ({high}), got {low}")
