"""Where an axis is sampled, and the matrices that follow from it."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from sb3_integral.nn.caching import ordinary_tensors
from sb3_integral.nn.kernels import Kernel
from sb3_integral.nn.nesting import nested_order
from sb3_integral.nn.quadratures import Quadrature, Trapezoidal


class AxisMatrices(NamedTuple):
    """The matrices that turn nodal values on an axis into discrete ones; None is the identity.

    Attributes:
        sampling: Applied to a dimension that an operator writes to. Shape: (size, grid).
        integration: Applied to a dimension that an operator reads from. Shape: (grid, size).
    """

    sampling: Tensor | None
    integration: Tensor | None


def matrices_at(
    points: Tensor, grid_size: int, kernel: Kernel, quadrature: Quadrature
) -> tuple[Tensor, Tensor]:
    """Compute the matrices of an axis that is sampled at given points, differentiably in these.

    With S the kernel's matrix, q the quadrature weights of the samples (Eq. 3) and g those of the
    trapezoidal rule on the λ grid, sampling is S and integration is diag(1/g) Sᵀ diag(q): the stored
    nodal value of an input dimension is λ·g, so that at equal grid and size both are the identity.

    Returns:
        Sampling and integration. Shapes: (points, grid), (grid, points).
    """
    sampling = kernel.matrix(points, grid_size)
    grid = Trapezoidal()
    grid_weights = grid.weights(grid.points(grid_size)).to(points)
    return sampling, sampling.T * quadrature.weights(points) / grid_weights[:, None]


@functools.lru_cache(maxsize=512)
def axis_matrices(
    size: int,
    grid_size: int,
    kernel: Kernel,
    quadrature: Quadrature,
    dtype: torch.dtype,
    device: torch.device,
) -> AxisMatrices:
    """Compute the matrices of an evenly sampled axis, once for each combination of arguments.

    Returns:
        The two matrices, None where one is the identity.
    """

    def finish(matrix: Tensor) -> Tensor | None:
        if size == grid_size and torch.allclose(
            matrix, torch.eye(size, dtype=matrix.dtype), rtol=0.0, atol=1e-9
        ):
            return None
        return matrix.to(device, dtype).contiguous()

    with ordinary_tensors():
        both = matrices_at(quadrature.points(size), grid_size, kernel, quadrature)
        return AxisMatrices(*map(finish, both))


class Placement:
    """Where an axis is sampled: one value that a resize replaces as a whole.

    A thread that reads it gets a size and the matrices of that size, whatever others do meanwhile.

    Args:
        size: Number of samples.
        points: The points where they were given; None for those of the quadrature.
        grid_size: As for :class:`Axis`.
        kernel: Likewise.
        quadrature: Likewise.
        nested: Likewise.

    Attributes:
        key: Equal for placements of one axis that have equal matrices; None while points are learned.
    """

    def __init__(
        self,
        size: int,
        points: Tensor | None,
        grid_size: int,
        kernel: Kernel,
        quadrature: Quadrature,
        nested: bool,
    ) -> None:
        self.size = size
        self.given_points = points
        self.grid_size = grid_size
        self.kernel = kernel
        self.quadrature = quadrature
        self.nested = nested
        self.is_learned = points is not None and points.requires_grad
        self.key: object = None if self.is_learned else size if points is None else self
        self._matrices: dict[tuple[torch.dtype, torch.device], AxisMatrices] = {}

    def at(self, size: int, points: Tensor | None = None) -> Placement:
        """Return another placement on the same axis."""
        return Placement(size, points, self.grid_size, self.kernel, self.quadrature, self.nested)

    @property
    def points(self) -> Tensor:
        """The points in [0, 1]; ascending unless the partitions nest. Shape: (size,)."""
        if self.given_points is not None:
            return self.given_points
        if self.prefix is not None:
            nodes = Trapezoidal().points(self.grid_size)
            return nodes[list(nested_order(self.grid_size)[: self.size])]
        return self.quadrature.points(self.size)

    @property
    def prefix(self) -> int | None:
        """How many of the first stored nodes are the samples; None where samples are not nodes."""
        return self.size if self.nested and self.size <= self.grid_size else None

    def matrices(self, like: Tensor) -> AxisMatrices:
        """Return the matrices in the dtype and on the device of a tensor."""
        if self.is_learned:
            both = matrices_at(self.points, self.grid_size, self.kernel, self.quadrature)
            return AxisMatrices(*(matrix.to(like) for matrix in both))
        key = (like.dtype, like.device)
        known = self._matrices.get(key)
        if known is None:
            known = self._matrices[key] = self._compute_matrices(like)
        return known

    def _compute_matrices(self, like: Tensor) -> AxisMatrices:
        if self.nested:
            return _nested_matrices(self, like)
        if self.given_points is None:
            return axis_matrices(
                self.size, self.grid_size, self.kernel, self.quadrature, like.dtype, like.device
            )
        with ordinary_tensors():
            both = matrices_at(self.given_points, self.grid_size, self.kernel, self.quadrature)
            return AxisMatrices(*(matrix.to(like.device, like.dtype).contiguous() for matrix in both))


def _nested_matrices(placement: Placement, like: Tensor) -> AxisMatrices:
    size, grid_size = placement.size, placement.grid_size
    with ordinary_tensors():
        if size == grid_size:
            return AxisMatrices(None, None)
        if size < grid_size:
            selection = torch.eye(grid_size, dtype=like.dtype, device=like.device)[:size]
            return AxisMatrices(selection, selection.T.contiguous())
        order = list(nested_order(grid_size))
        points = placement.quadrature.points(size)
        sampling, integration = matrices_at(points, grid_size, placement.kernel, placement.quadrature)
        ordered = sampling[:, order], integration[order]
        return AxisMatrices(*(matrix.to(like.device, like.dtype).contiguous() for matrix in ordered))
