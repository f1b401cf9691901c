"""Quadratures: where a continuous dimension is sampled, and what each sample weighs (Eq. 3).

To add a quadrature, write a frozen dataclass with ``points`` and ``weights`` and name it in
:data:`QUADRATURES`. Everything is in float64.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sb3_integral.nn.caching import ordinary_tensors


@runtime_checkable
class Quadrature(Protocol):
    """A rule for integrals over [0, 1]. Quadratures are values, like kernels."""

    def __hash__(self) -> int:
        """Hash the parameters: matrices are kept by quadrature."""
        ...

    def points(self, size: int) -> Float[Tensor, " {size}"]:
        """Return the partition of [0, 1] into ``size`` samples, ascending."""
        ...

    def weights(self, points: Float[Tensor, " points"]) -> Float[Tensor, " points"]:
        """Return the weight q of each sample, differentiably; they sum to 1.

        Raises:
            ValueError: If the rule cannot integrate over these points.
        """
        ...


@dataclass(frozen=True)
class Trapezoidal:
    """The trapezoidal rule of Eq. 3, on evenly spaced points that include both ends; of order 2.

    A single sample has no neighbour to span a trapezoid with; it stands in the middle and weighs 1.
    Where given points leave a margin, the outermost samples also count for it.
    """

    def points(self, size: int) -> Float[Tensor, " {size}"]:
        """See :meth:`Quadrature.points`."""
        if size == 1:
            return torch.tensor([0.5], dtype=torch.float64)
        return torch.linspace(0.0, 1.0, size, dtype=torch.float64)

    def weights(self, points: Float[Tensor, " points"]) -> Float[Tensor, " points"]:
        """See :meth:`Quadrature.weights`."""
        return _cell_widths(points)


@dataclass(frozen=True)
class Midpoint:
    """The Riemann sum over the midpoints of cells of equal width; of order 2."""

    def points(self, size: int) -> Float[Tensor, " {size}"]:
        """See :meth:`Quadrature.points`."""
        return (torch.arange(size, dtype=torch.float64) + 0.5) / size

    def weights(self, points: Float[Tensor, " points"]) -> Float[Tensor, " points"]:
        """See :meth:`Quadrature.weights`; a cell ends halfway between two points."""
        return _cell_widths(points)


@dataclass(frozen=True)
class Simpson:
    """Simpson's rule on evenly spaced points that include both ends; of order 4.

    An even number of points leaves an odd number of gaps: the last three are then integrated by
    Simpson's 3/8 rule, which is of the same order. Two points make a trapezoid.
    """

    def points(self, size: int) -> Float[Tensor, " {size}"]:
        """See :meth:`Quadrature.points`."""
        return Trapezoidal().points(size)

    def weights(self, points: Float[Tensor, " points"]) -> Float[Tensor, " points"]:
        """See :meth:`Quadrature.weights`; only for the points of :meth:`points`."""
        size = len(points)
        _check_points(self, points)
        if size <= 2:
            return Trapezoidal().weights(points)
        weights = torch.zeros(size, dtype=points.dtype)
        pairs = size - 1 if size % 2 else size - 4
        for start in range(0, pairs, 2):
            weights[start : start + 3] += torch.tensor([1.0, 4.0, 1.0], dtype=points.dtype) / 3
        if size % 2 == 0:
            weights[-4:] += torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=points.dtype) * 3 / 8
        return weights / (size - 1)


@dataclass(frozen=True)
class GaussLegendre:
    """Gauss-Legendre quadrature on its own nodes: exact for polynomials up to degree 2·size - 1."""

    def points(self, size: int) -> Float[Tensor, " {size}"]:
        """See :meth:`Quadrature.points`."""
        return (_legendre(size)[0] + 1) / 2

    def weights(self, points: Float[Tensor, " points"]) -> Float[Tensor, " points"]:
        """See :meth:`Quadrature.weights`; only for the points of :meth:`points`."""
        _check_points(self, points)
        return _legendre(len(points))[1] / 2


def _cell_widths(points: Float[Tensor, " points"]) -> Float[Tensor, " points"]:
    """Return how much of [0, 1] lies nearer to each point than to any other."""
    middles = (points[:-1] + points[1:]) / 2
    edges = torch.cat([points.new_zeros(1), middles, points.new_ones(1)])
    return edges.diff()


@functools.lru_cache(maxsize=512)
def _legendre(size: int) -> tuple[Float[Tensor, " {size}"], Float[Tensor, " {size}"]]:
    nodes, weights = np.polynomial.legendre.leggauss(size)
    with ordinary_tensors():
        return torch.from_numpy(nodes), torch.from_numpy(weights)


def _check_points(quadrature: Quadrature, points: Float[Tensor, " points"]) -> None:
    if not torch.allclose(
        points.detach(), quadrature.points(len(points)).to(points), rtol=0.0, atol=1e-9
    ):
        raise ValueError(
            f"{type(quadrature).__name__} needs its own points, got {points.tolist()}; "
            f"use the trapezoidal rule for a partition of your own"
        )


QUADRATURES: dict[str, Quadrature] = {
    "trapezoidal": Trapezoidal(),
    "midpoint": Midpoint(),
    "simpson": Simpson(),
    "gauss-legendre": GaussLegendre(),
}
"""Quadratures that can be named in a configuration."""
