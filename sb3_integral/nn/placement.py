"""Where an axis is sampled, and the matrices that follow from it."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sb3_integral.nn.caching import ordinary_tensors
from sb3_integral.nn.kernels import Kernel
from sb3_integral.nn.partition import TrainablePartition
from sb3_integral.nn.quadratures import Quadrature, Trapezoidal


class AxisMatrices(NamedTuple):
    """The matrices that turn nodal values on an axis into discrete ones; None is the identity.

    Attributes:
        sampling: Applied to a dimension that an operator writes to.
        integration: Applied to a dimension that an operator reads from.
    """

    sampling: Float[Tensor, "size grid"] | None
    integration: Float[Tensor, "grid size"] | None


class Grid(NamedTuple):
    """The λ nodes of an axis, and how functions on them are sampled and integrated.

    Attributes:
        size: Number of nodes.
        kernel: How a function is sampled.
        quadrature: Where it is sampled, and what a sample weighs.
        nested: Whether partitions nest: the nodes are then stored in the order of :func:`nested_order`.
    """

    size: int
    kernel: Kernel
    quadrature: Quadrature
    nested: bool


class Placement:
    """Where an axis is sampled: one value that a resize replaces as a whole.

    A thread that reads it gets a size and the matrices of that size, whatever others do meanwhile.

    Args:
        grid: The grid of the axis.
        size: Number of samples.
        given: The points where they are given or being learned; None for those of the quadrature.
    """

    def __init__(self, grid: Grid, size: int, given: Tensor | TrainablePartition | None = None) -> None:
        self.grid = grid
        self.size = size
        self.given = given
        self.is_learned = isinstance(given, TrainablePartition)
        # Where the samples are nodes, they are the first ones that are stored.
        self.prefix = size if grid.nested and size <= grid.size else None
        self._matrices: dict[tuple[torch.dtype, torch.device], AxisMatrices] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_matrices": {}}

    @property
    def points(self) -> Float[Tensor, " {self.size}"]:
        """The points in [0, 1]; ascending unless the partitions nest."""
        if self.given is not None:
            return self.given() if isinstance(self.given, TrainablePartition) else self.given
        if self.prefix is not None:
            return Trapezoidal().points(self.grid.size)[list(nested_order(self.grid.size)[: self.size])]
        return self.grid.quadrature.points(self.size)

    def matrices(self, like: Tensor) -> AxisMatrices:
        """Return the matrices in the dtype and on the device of a tensor."""
        if self.is_learned:
            both = matrices_at(self.points, self.grid.size, self.grid.kernel, self.grid.quadrature)
            return AxisMatrices(*(matrix.to(like) for matrix in both))
        key = (like.dtype, like.device)
        known = self._matrices.get(key)
        if known is None:
            known = self._matrices[key] = self._compute_matrices(*key)
        return known

    def _compute_matrices(self, dtype: torch.dtype, device: torch.device) -> AxisMatrices:
        n_nodes, kernel, quadrature, nested = self.grid
        if not nested and self.given is None:
            return axis_matrices(self.size, n_nodes, kernel, quadrature, dtype, device)
        with ordinary_tensors():
            if self.prefix is not None:
                first = torch.eye(n_nodes, dtype=dtype, device=device)[: self.size]
                is_all = self.size == n_nodes
                return AxisMatrices(None, None) if is_all else AxisMatrices(first, first.T.contiguous())
            sampling, integration = matrices_at(self.points, n_nodes, kernel, quadrature)
            if nested:
                order = list(nested_order(n_nodes))
                sampling, integration = sampling[:, order], integration[order]
            return AxisMatrices(*(m.to(device, dtype).contiguous() for m in (sampling, integration)))


def matrices_at(
    points: Float[Tensor, " points"], grid_size: int, kernel: Kernel, quadrature: Quadrature
) -> tuple[Float[Tensor, "points {grid_size}"], Float[Tensor, "{grid_size} points"]]:
    """Compute the matrices of an axis that is sampled at given points, differentiably in these.

    With S the kernel's matrix, q the quadrature weights of the samples (Eq. 3) and g those of the
    trapezoidal rule on the λ grid, sampling is S and integration is diag(1/g) Sᵀ diag(q): the stored
    nodal value of an input dimension is λ·g, so that at equal grid and size both are the identity.

    Returns:
        Sampling and integration.
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


@functools.lru_cache(maxsize=128)
def nested_order(nodes: int) -> tuple[int, ...]:
    """Return in which order the nodes of an even grid join a partition that grows.

    An even partition has other points at every size, so a network trained at many sizes has to be good
    at all of them and between them, which keeps its functions smooth and costs accuracy. In partitions
    that nest, a neuron of the small network is also one of the large network. The order follows van der
    Corput's sequence, of which every beginning is spread evenly.

    Args:
        nodes: How many there are.

    Returns:
        A permutation of 0..nodes-1.
    """
    bits = max((nodes - 1).bit_length(), 1)
    reversed_bits = (int(f"{index:0{bits}b}"[::-1], 2) for index in range(2**bits))
    return tuple(dict.fromkeys(place * nodes >> bits for place in reversed_bits))
