"""Kernels: the basis functions ``u`` of which a continuous weight is made (Eq. 2).

A kernel answers one question: how much does each node of a λ grid contribute at a given point?
The answer is a matrix that depends on nothing but the points and the grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@runtime_checkable
class Kernel(Protocol):
    """A basis for functions on [0, 1]. Kernels are values: hashable, equal if their parameters are."""

    def __hash__(self) -> int:
        """Hash the parameters: matrices are kept by kernel."""
        ...

    def matrix(self, points: FloatArray, grid_size: int) -> FloatArray:
        """Evaluate every basis function at every point.

        Args:
            points: Where to evaluate, in [0, 1]. Shape: (points,).
            grid_size: Number of λ nodes, spread evenly over [0, 1] with both ends included.

        Returns:
            ``M[p, i] = u(points[p] * (grid_size - 1) - i)``. Shape: (points, grid_size).
        """
        ...


@dataclass(frozen=True)
class CubicConvolution:
    """Keys' cubic convolution, the kernel of torch's bicubic interpolation.

    Interpolating: at a node it gives that node's coefficient. Beyond the border the outermost
    coefficient is repeated, so at aligned corners it equals
    ``torch.nn.functional.interpolate(mode="bicubic", align_corners=True)``.

    Args:
        a: Slope of the kernel at distance 1. Torch uses -0.75; -0.5 reproduces quadratics.
    """

    a: float = -0.75

    def matrix(self, points: FloatArray, grid_size: int) -> FloatArray:
        """See :meth:`Kernel.matrix`."""
        return _local_matrix(points, grid_size, support=2, profile=self._profile)

    def _profile(self, distance: FloatArray) -> FloatArray:
        a = self.a
        near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
        far = a * (((distance - 5) * distance + 8) * distance - 4)
        return np.where(distance <= 1, near, far)


@dataclass(frozen=True)
class Linear:
    """The hat function: straight lines between neighbouring coefficients. Interpolating."""

    def matrix(self, points: FloatArray, grid_size: int) -> FloatArray:
        """See :meth:`Kernel.matrix`."""
        return _local_matrix(points, grid_size, support=1, profile=lambda distance: 1 - distance)


@dataclass(frozen=True)
class CubicBSpline:
    """The cubic B-spline: twice differentiable, never negative, not interpolating.

    At a node it gives (1, 4, 1)/6 of three neighbouring coefficients; at the ends the outermost
    coefficient is repeated.
    """

    def matrix(self, points: FloatArray, grid_size: int) -> FloatArray:
        """See :meth:`Kernel.matrix`."""
        return _local_matrix(points, grid_size, support=2, profile=self._profile)

    @staticmethod
    def _profile(distance: FloatArray) -> FloatArray:
        near = 2 / 3 - distance**2 + distance**3 / 2
        return np.where(distance <= 1, near, (2 - distance) ** 3 / 6)


def _local_matrix(
    points: FloatArray,
    grid_size: int,
    support: int,
    profile: Callable[[FloatArray], FloatArray],
) -> FloatArray:
    """Evaluate a kernel that is zero from ``support`` grid steps on, the border repeated."""
    if grid_size == 1:
        return np.ones((len(points), 1))
    position = np.asarray(points, dtype=np.float64) * (grid_size - 1)
    left = np.clip(np.floor(position), 0, grid_size - 2).astype(np.int64)
    nodes = left[:, None] + np.arange(1 - support, 1 + support)
    distance = np.abs(position[:, None] - nodes)
    contribution = np.where(distance < support, profile(np.minimum(distance, support)), 0.0)
    matrix = np.zeros((len(position), grid_size))
    rows = np.broadcast_to(np.arange(len(position))[:, None], nodes.shape)
    np.add.at(matrix, (rows, np.clip(nodes, 0, grid_size - 1)), contribution)
    return matrix


KERNELS: dict[str, Kernel] = {
    "cubic": CubicConvolution(),
    "linear": Linear(),
    "b-spline": CubicBSpline(),
}
"""Kernels that can be named in a configuration."""
