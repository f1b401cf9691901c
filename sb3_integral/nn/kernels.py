"""Kernels: the basis functions ``u`` of which a continuous weight is made (Eq. 2).

A kernel answers one question: how much does each node of a λ grid contribute at a given point?
The answer is a matrix that depends on nothing but the points and the grid. To add a kernel, write a
frozen dataclass with a ``matrix`` and name it in :data:`KERNELS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Kernel(Protocol):
    """A basis for functions on [0, 1]. Kernels are values: hashable, equal if their parameters are."""

    def __hash__(self) -> int:
        """Hash the parameters: matrices are kept by kernel."""
        ...

    def matrix(
        self, points: Float[Tensor, " points"], grid_size: int
    ) -> Float[Tensor, "points {grid_size}"]:
        """Evaluate every basis function at every point, differentiably in the points.

        Args:
            points: Where to evaluate, in [0, 1].
            grid_size: Number of λ nodes, spread evenly over [0, 1] with both ends included.

        Returns:
            ``M[p, i] = u(points[p] * (grid_size - 1) - i)``; every row sums to 1.
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

    def matrix(
        self, points: Float[Tensor, " points"], grid_size: int
    ) -> Float[Tensor, "points {grid_size}"]:
        """See :meth:`Kernel.matrix`."""
        return _local_matrix(points, grid_size, support=2, profile=self._profile)

    def _profile(self, distance: Float[Tensor, "points nodes"]) -> Float[Tensor, "points nodes"]:
        a = self.a
        near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
        far = a * (((distance - 5) * distance + 8) * distance - 4)
        return torch.where(distance <= 1, near, far)


@dataclass(frozen=True)
class LinearInterpolation:
    """The hat function: straight lines between neighbouring coefficients. Interpolating."""

    def matrix(
        self, points: Float[Tensor, " points"], grid_size: int
    ) -> Float[Tensor, "points {grid_size}"]:
        """See :meth:`Kernel.matrix`."""
        return _local_matrix(points, grid_size, support=1, profile=lambda distance: 1 - distance)


@dataclass(frozen=True)
class CubicBSpline:
    """The cubic B-spline: twice differentiable, never negative, not interpolating.

    At a node it gives (1, 4, 1)/6 of three neighbouring coefficients; at the ends the outermost
    coefficient is repeated.
    """

    def matrix(
        self, points: Float[Tensor, " points"], grid_size: int
    ) -> Float[Tensor, "points {grid_size}"]:
        """See :meth:`Kernel.matrix`."""
        return _local_matrix(points, grid_size, support=2, profile=self._profile)

    @staticmethod
    def _profile(distance: Float[Tensor, "points nodes"]) -> Float[Tensor, "points nodes"]:
        near = 2 / 3 - distance**2 + distance**3 / 2
        return torch.where(distance <= 1, near, (2 - distance) ** 3 / 6)


@dataclass(frozen=True)
class LowPass:
    """Another kernel behind an antialiasing filter that adapts to how coarsely it is sampled.

    Before a function on the grid is sampled at fewer points than the grid has nodes, each node
    is replaced by the mean of its neighbours under a triangle as wide as the gap between samples.
    At the grid's own size and above nothing is filtered.

    Args:
        kernel: What samples the filtered function.
    """

    kernel: Kernel = CubicConvolution()

    def matrix(
        self, points: Float[Tensor, " points"], grid_size: int
    ) -> Float[Tensor, "points {grid_size}"]:
        """See :meth:`Kernel.matrix`."""
        sampling = self.kernel.matrix(points, grid_size)
        gap = (grid_size - 1) / max(len(points) - 1, 1)
        if gap <= 1:
            return sampling
        nodes = torch.arange(grid_size, dtype=points.dtype, device=points.device)
        triangle = (1 - (nodes[:, None] - nodes).abs() / gap).clamp(min=0)
        return sampling @ (triangle / triangle.sum(dim=1, keepdim=True))


def _local_matrix(
    points: Float[Tensor, " points"], grid_size: int, support: int, profile: Callable[[Tensor], Tensor]
) -> Float[Tensor, "points {grid_size}"]:
    """Evaluate a kernel that is zero from ``support`` grid steps on, the border repeated."""
    if grid_size == 1:
        return points.new_ones(len(points), 1)
    position = points * (grid_size - 1)
    left = position.detach().floor().clamp(0, grid_size - 2).long()
    nodes = left[:, None] + torch.arange(1 - support, 1 + support, device=points.device)
    distance = (position[:, None] - nodes).abs()
    contribution = torch.where(distance < support, profile(distance), 0.0)
    matrix = points.new_zeros(len(points), grid_size)
    return matrix.scatter_add(1, nodes.clamp(0, grid_size - 1), contribution)


KERNELS: dict[str, Kernel] = {
    "cubic": CubicConvolution(),
    "linear": LinearInterpolation(),
    "b-spline": CubicBSpline(),
    "cubic-antialiased": LowPass(CubicConvolution()),
}
"""Kernels that can be named in a configuration."""
