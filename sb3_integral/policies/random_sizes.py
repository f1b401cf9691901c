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
class _SizesBetween:
    """Both ends included.

    Args:
        low: The smallest size.
        high: The largest size.

    Raises:
        ValueError: If an end is not a positive integer, or ``low`` is above ``high``.
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        """Check the ends."""
        if as_size(self.low, "low") > as_size(self.high, "high"):
            raise ValueError(f"low must not be above high ({self.high}), got {self.low}")


class UniformSizes(_SizesBetween):
    """Every integer from ``low`` to ``high`` equally often."""

    def draw(self, rng: np.random.Generator) -> int:
        """See :meth:`SizeDistribution.draw`."""
        return int(rng.integers(self.low, self.high, endpoint=True))


class LogUniformSizes(_SizesBetween):
    """Every ratio of sizes equally often, so small sizes more often than large ones."""

    def draw(self, rng: np.random.Generator) -> int:
        """See :meth:`SizeDistribution.draw`."""
        drawn = int(math.exp(rng.uniform(math.log(self.low), math.log(self.high + 1))))
        return min(max(drawn, self.low), self.high)
