"""Quadratures: where a continuous dimension is sampled, and what each sample weighs (Eq. 3)."""

from __future__ import annotations

import functools
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


@dataclass(frozen=True)
class Midpoint:
    """The Riemann sum over the midpoints of cells of equal width; of order 2."""

    def points(self, size: int) -> FloatArray:
        """See :meth:`Quadrature.points`."""
        return (np.arange(size) + 0.5) / size

    def weights(self, points: FloatArray) -> FloatArray:
        """See :meth:`Quadrature.weights`. A cell ends halfway between two points."""
        edges = np.concatenate([[0.0], (points[:-1] + points[1:]) / 2, [1.0]])
        return np.diff(edges)


@dataclass(frozen=True)
class Simpson:
    """Simpson's rule on evenly spaced points that include both ends; of order 4.

    An even number of points leaves an odd number of gaps: the last three are then integrated by
    Simpson's 3/8 rule, which is of the same order. Two points make a trapezoid.
    """

    def points(self, size: int) -> FloatArray:
        """See :meth:`Quadrature.points`."""
        return Trapezoidal().points(size)

    def weights(self, points: FloatArray) -> FloatArray:
        """See :meth:`Quadrature.weights`.

        Raises:
            ValueError: If the points are not those of :meth:`points`.
        """
        size = len(points)
        _check_points(self, points)
        if size <= 2:
            return Trapezoidal().weights(points)
        weights = np.zeros(size)
        pairs = size - 1 if size % 2 else size - 4
        for start in range(0, pairs, 2):
            weights[start : start + 3] += np.array([1.0, 4.0, 1.0]) / 3
        if size % 2 == 0:
            weights[-4:] += np.array([1.0, 3.0, 3.0, 1.0]) * 3 / 8
        return weights / (size - 1)


@dataclass(frozen=True)
class GaussLegendre:
    """Gauss-Legendre quadrature on its own nodes: exact for polynomials up to degree 2·size - 1."""

    def points(self, size: int) -> FloatArray:
        """See :meth:`Quadrature.points`."""
        return (_legendre(size)[0] + 1) / 2

    def weights(self, points: FloatArray) -> FloatArray:
        """See :meth:`Quadrature.weights`.

        Raises:
            ValueError: If the points are not those of :meth:`points`.
        """
        _check_points(self, points)
        return _legendre(len(points))[1] / 2


@functools.lru_cache(maxsize=512)
def _legendre(size: int) -> tuple[FloatArray, FloatArray]:
    nodes, weights = np.polynomial.legendre.leggauss(size)
    return nodes, weights


def _check_points(quadrature: Quadrature, points: FloatArray) -> None:
    if not np.allclose(points, quadrature.points(len(points)), rtol=0.0, atol=1e-12):
        raise ValueError(
            f"{type(quadrature).__name__} needs its own points, got {np.array2string(points)}"
        )


QUADRATURES: dict[str, Quadrature] = {
    "trapezoidal": Trapezoidal(),
    "midpoint": Midpoint(),
    "simpson": Simpson(),
    "gauss-legendre": GaussLegendre(),
}
"""Quadratures that can be named in a configuration."""
