"""Quadratures: where a continuous dimension is sampled, and what each sample weighs (Eq. 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from sb3_integral.nn.kernels import FloatArray


@runtime_checkable
class Quadrature(Protocol):
    """A rule for integrals over [0, 1]. Quadratures are values, like kernels."""

    def __hash__(self) -> int:
        """Hash the parameters: matrices are kept by quadrature."""
        ...

    def points(self, size: int) -> FloatArray:
        """Return the partition of [0, 1] into ``size`` samples, ascending. Shape: (size,)."""
        ...

    def weights(self, points: FloatArray) -> FloatArray:
        """Return the weight q of each sample; they sum to 1. Shape: (size,)."""
        ...


@dataclass(frozen=True)
class Trapezoidal:
    """The trapezoidal rule of Eq. 3 on evenly spaced points that include both ends.

    A single sample has no neighbour to span a trapezoid with; it stands in the middle and weighs 1.
    """

    def points(self, size: int) -> FloatArray:
        """See :meth:`Quadrature.points`."""
        return np.linspace(0.0, 1.0, size) if size > 1 else np.array([0.5])

    def weights(self, points: FloatArray) -> FloatArray:
        """See :meth:`Quadrature.weights`."""
        if len(points) == 1:
            return np.ones(1)
        gaps = np.diff(points)
        return np.concatenate([gaps[:1], gaps[:-1] + gaps[1:], gaps[-1:]]) / 2


QUADRATURES: dict[str, Quadrature] = {"trapezoidal": Trapezoidal()}
"""Quadratures that can be named in a configuration."""
