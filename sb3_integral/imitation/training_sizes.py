"""At which sizes a student is trained: a setting, from which the sizes of each step are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from stable_baselines3.common.policies import BasePolicy

from sb3_integral.policies.kinds import integral_policy, is_integral
from sb3_integral.policies.random_sizes import (
    GivenSizes,
    LogUniformSizes,
    PowerLawSizes,
    SizeDistribution,
)

SMALLEST_RANDOM_SIZE = 5
"""The smallest size of the paper's tables, and so of the default distribution."""


@dataclass(frozen=True)
class FullSize:
    """Every step trains at the size that the student has: the only one of a plain student."""


@dataclass(frozen=True)
class RandomSizes:
    """Every step trains at a random size, and at some small ones.

    Args:
        distribution: The random size is drawn from this; by default from 5 to the student's full size,
            and small sizes more often (:class:`~sb3_integral.PowerLawSizes`).
        small: How many small sizes each step has beside: log-uniform, up to a fifth of the largest;
            where sizes are given, those that are so small. A small network has most to gain from
            steps, and costs least. With fewer a step takes less time, and the smallest networks
            become worse.

    Raises:
        ValueError: If ``small`` is negative.
    """

    distribution: SizeDistribution | None = None
    small: int = 6

    def __post_init__(self) -> None:
        """Check the number of sizes."""
        if self.small < 0:
            raise ValueError(f"small must not be negative, got {self.small}")

    def draw(self, rng: np.random.Generator) -> list[int]:
        """Draw the sizes of a step."""
        distribution = _known(self.distribution)
        small = _small(distribution)
        return [distribution.draw(rng), *(small.draw(rng) for _ in range(self.small))]


@dataclass(frozen=True)
class Sandwich:
    """Every step trains at the largest, the smallest and some random sizes: the sandwich rule.

    With distillation the others imitate the output of the largest, not the expert (Yu and Huang,
    "Universally Slimmable Networks and Improved Training Techniques", ICCV 2019).

    Args:
        distribution: The random sizes are drawn from this; as for :class:`RandomSizes` by default.
        n_random: How many random sizes.
        distill: Whether to distil.
    """

    distribution: SizeDistribution | None = None
    n_random: int = 2
    distill: bool = True

    def draw(self, rng: np.random.Generator) -> list[int]:
        """Draw the sizes of a step, the largest first."""
        distribution = _known(self.distribution)
        drawn = (distribution.draw(rng) for _ in range(self.n_random))
        return [distribution.high, distribution.low, *drawn]


TrainingSizes = FullSize | RandomSizes | Sandwich
"""At which sizes a student is trained."""


def default_distribution(max_sizes: Sequence[int]) -> SizeDistribution:
    """Return the default distribution of sizes for a student of these full sizes."""
    largest = max(max_sizes)
    return PowerLawSizes(min(SMALLEST_RANDOM_SIZE, largest), largest)


def sizes_for(policy: BasePolicy, sizes: TrainingSizes | None) -> TrainingSizes:
    """Return a setting with everything that follows from the student filled in.

    Args:
        policy: The student.
        sizes: The setting; None stands for random sizes of an integral student, and for the one size
            of a plain one.

    Raises:
        ValueError: If a plain student is to be trained at several sizes, or a size is larger than the
            student.
    """
    if sizes is None:
        sizes = RandomSizes() if is_integral(policy) else FullSize()
    if isinstance(sizes, FullSize):
        return sizes
    max_sizes = integral_policy(policy, "random sizes").max_sizes
    if sizes.distribution is None:
        return replace(sizes, distribution=default_distribution(max_sizes))
    check_largest(sizes.distribution, max_sizes)
    return sizes


def check_largest(distribution: SizeDistribution, max_sizes: Sequence[int]) -> None:
    """Check that no size is larger than every layer of a student.

    Raises:
        ValueError: If one is.
    """
    if distribution.high > max(max_sizes):
        raise ValueError(
            f"sizes in training must be at most {max(max_sizes)}, the student's largest layer, "
            f"got up to {distribution.high}"
        )


def size_per_layer(size: int, max_sizes: Sequence[int]) -> int | tuple[int, ...]:
    """Return the size of each layer for one drawn size: layers that are smaller stay at full size."""
    if size <= min(max_sizes):
        return size
    return tuple([min(size, largest) for largest in max_sizes])


def _known(distribution: SizeDistribution | None) -> SizeDistribution:
    if distribution is None:
        raise ValueError("expected a distribution of sizes, got None; sizes_for() fills in the default")
    return distribution


def _small(sizes: SizeDistribution) -> SizeDistribution:
    """Return the distribution of the small sizes among others."""
    largest = max(sizes.low, sizes.high // 5)
    if isinstance(sizes, GivenSizes):
        return GivenSizes(tuple(size for size in sizes.sizes if size <= largest))
    return LogUniformSizes(sizes.low, largest)
