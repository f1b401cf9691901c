"""Distributions of sizes, for training at a random size in every step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np

from sb3_integral.nn import as_size


@runtime_checkable
class SizeDistribution(Protocol):
    """A distribution of hidden sizes."""

    @property
    def low(self) -> int:
        """The smallest size."""
        ...

    @property
    def high(self) -> int:
        """The largest size."""
        ...

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


@dataclass(frozen=True)
class PowerLawSizes(_SizesBetween):
    """Small sizes still more often: the density falls with size^-exponent; and a share of full size.

    An exponent of 1 is :class:`LogUniformSizes`. A small network needs more steps than its share of
    these, for it is furthest from what it could be; the largest is one size among many, and yet the
    one that everybody looks at.

    Args:
        low: The smallest size.
        high: The largest size.
        exponent: How fast the density falls; above 1.
        largest: The probability of drawing ``high``, whatever the law says.

    Raises:
        ValueError: If an end is not a positive integer, ``low`` is above ``high``, the exponent is not
            above 1, or ``largest`` is no probability.
    """

    exponent: float = 1.5
    largest: float = 0.15

    def __post_init__(self) -> None:
        """Check the ends, the exponent and the probability."""
        super().__post_init__()
        if not 1.0 < self.exponent < math.inf:
            raise ValueError(f"exponent must be a number above 1, got {self.exponent!r}")
        if not 0.0 <= self.largest <= 1.0:
            raise ValueError(f"largest must be a probability, got {self.largest!r}")

    def draw(self, rng: np.random.Generator) -> int:
        """See :meth:`SizeDistribution.draw`."""
        if rng.random() < self.largest:
            return self.high
        # The distribution function's inverse, its ends shifted so that each integer has its share.
        power = 1.0 - self.exponent
        first, last = self.low**power, (self.high + 1) ** power
        drawn = int((first + rng.random() * (last - first)) ** (1.0 / power))
        return min(max(drawn, self.low), self.high)


@dataclass(frozen=True)
class GivenSizes:
    """Each of some sizes equally often: those of the devices that a policy is meant for.

    Args:
        sizes: Which they are, in any order.

    Raises:
        ValueError: If there are none, one is not a positive integer, or one is there twice.
    """

    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check the sizes."""
        if not self.sizes:
            raise ValueError("sizes must name at least one size, got none")
        for size in self.sizes:
            as_size(size, "each of the sizes")
        if len(set(self.sizes)) < len(self.sizes):
            raise ValueError(f"sizes must differ from each other, got {list(self.sizes)}")

    @cached_property
    def low(self) -> int:
        """The smallest size."""
        return min(self.sizes)

    @cached_property
    def high(self) -> int:
        """The largest size."""
        return max(self.sizes)

    def draw(self, rng: np.random.Generator) -> int:
        """See :meth:`SizeDistribution.draw`."""
        return int(rng.choice(self.sizes))
