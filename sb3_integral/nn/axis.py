"""The axis: a continuous hidden dimension, shared by the layers on both sides of it.

Resizing a network is setting the sizes of its axes. An axis knows how finely its λ grid is laid, how
a function on that grid is sampled (kernel) and how it is integrated (quadrature); a layer strung on
two axes needs to know nothing else about size.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn

from sb3_integral.nn.kept import to_be_kept
from sb3_integral.nn.kernels import KERNELS, CubicConvolution, Kernel
from sb3_integral.nn.nesting import nested_order
from sb3_integral.nn.partition import TrainablePartition
from sb3_integral.nn.quadratures import QUADRATURES, Quadrature, Trapezoidal
from sb3_integral.nn.sizes import Size, as_size, as_sizes

Value = TypeVar("Value")


class AxisMatrices(NamedTuple):
    """What turns nodal values on an axis into discrete ones; None stands for the identity.

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

    with to_be_kept():
        both = matrices_at(quadrature.points(size), grid_size, kernel, quadrature)
        return AxisMatrices(*map(finish, both))


class Axis(nn.Module):
    """A continuous hidden dimension, at some size.

    It has no parameters, unless its partition is being tuned. Its size is part of the state dict, so
    whatever is saved resized comes back at that size.

    Args:
        max_size: The size it is built with, and has at first.
        grid_size: Number of λ nodes along it, fewer or more than its size; ``max_size`` by default.
        kernel: How a function on the grid is sampled; a kernel or its name.
        quadrature: Where it is sampled and what a sample weighs; a quadrature or its name.
        nested: Whether the partitions nest. The nodes are then kept in the order in which they join, so
            up to the grid's size a partition is the first of them, and each keeps at every size the
            quadrature weight that it has on the grid. Above that size it is sampled evenly.

    Attributes:
        partition: The points while they are being learned; None otherwise.

    Raises:
        ValueError: If a size is not a positive integer, or a name is unknown.
    """

    partition: TrainablePartition | None

    def __init__(
        self,
        max_size: int,
        *,
        grid_size: int | None = None,
        kernel: Kernel | str = CubicConvolution(),
        quadrature: Quadrature | str = Trapezoidal(),
        nested: bool = False,
    ) -> None:
        super().__init__()
        self.nested = nested
        self.max_size = as_size(max_size, "max_size")
        self.grid_size = self.max_size if grid_size is None else as_size(grid_size, "grid_size")
        self.kernel = _named(kernel, KERNELS, "kernel") if isinstance(kernel, str) else kernel
        self.quadrature = (
            _named(quadrature, QUADRATURES, "quadrature") if isinstance(quadrature, str) else quadrature
        )
        self.partition = None
        self._size = self.max_size
        self._key: object = self.max_size
        self._given_points: Tensor | None = None
        self._matrices: dict[tuple[torch.dtype, torch.device], AxisMatrices] = {}

    @property
    def size(self) -> int:
        """Number of samples in force."""
        return self._size

    @property
    def points(self) -> Tensor:
        """Where the axis is sampled now, in [0, 1]; ascending unless it is nested. Shape: (size,)."""
        if self.partition is not None:
            points: Tensor = self.partition()
            return points
        if self._given_points is not None:
            return self._given_points
        if self.prefix is not None:
            nodes = Trapezoidal().points(self.grid_size)
            return nodes[list(nested_order(self.grid_size)[: self._size])]
        return self.quadrature.points(self._size)

    @property
    def prefix(self) -> int | None:
        """How many of the first stored nodes are the samples; None where samples are not nodes."""
        return self._size if self.nested and self._size <= self.grid_size else None

    def node_weights(self) -> Tensor:
        """Return the weight of each stored node in an integral over the grid. Shape: (grid,)."""
        rule = Trapezoidal()
        weights = rule.weights(rule.points(self.grid_size))
        return weights[list(nested_order(self.grid_size))] if self.nested else weights

    @property
    def key(self) -> object:
        """What the matrices depend on; None while the points are being learned."""
        return None if self.partition is not None else self._key

    @property
    def is_even(self) -> bool:
        """Whether the axis is sampled at its quadrature's own points."""
        return self.partition is None and self._given_points is None

    def resize(self, size: int) -> Axis:
        """Sample at ``size`` points of the quadrature, below or above ``max_size``; returns the axis.

        Raises:
            ValueError: If ``size`` is not a positive integer.
        """
        self._set(as_size(size), None)
        return self

    def place(self, points: Tensor | Sequence[float]) -> Axis:
        """Sample at given points, as many as there are; returns the axis.

        Args:
            points: In [0, 1], strictly ascending. Shape: (size,).

        Raises:
            ValueError: If they are not, if the quadrature has points of its own, or if the partitions
                nest.
        """
        self._check_movable()
        given = torch.as_tensor(points, dtype=torch.float64).detach().clone()
        ascending = given.dim() == 1 and len(given) > 0 and bool((given.diff() > 0).all())
        if not ascending or not (given[0] >= 0 and given[-1] <= 1):
            raise ValueError(f"points must ascend strictly from 0 to 1, got {given.tolist()}")
        self.quadrature.weights(given)
        self._set(len(given), given)
        return self

    def start_tuning(self) -> TrainablePartition:
        """Make the points in force trainable, and return them.

        Raises:
            ValueError: If there are fewer than two, or if the partitions nest.
        """
        self._check_movable()
        partition = TrainablePartition(self.points.detach())
        self.partition = partition
        return partition

    def stop_tuning(self) -> Axis:
        """Keep the points as they were learned; returns the axis."""
        if self.partition is not None:
            self.place(self.partition())
        return self

    def matrices(self, like: Tensor) -> AxisMatrices:
        """Return the matrices for the size in force, in the dtype and on the device of ``like``."""
        if self.partition is not None:
            both = matrices_at(self.points, self.grid_size, self.kernel, self.quadrature)
            return AxisMatrices(*(matrix.to(like) for matrix in both))
        key = (like.dtype, like.device)
        known = self._matrices.get(key)
        if known is None:
            known = self._matrices[key] = self._compute_matrices(like)
        return known

    def _check_movable(self) -> None:
        if self.nested:
            raise ValueError(
                "partitions that nest stay where they are, expected an axis with nested=False"
            )

    def _compute_matrices(self, like: Tensor) -> AxisMatrices:
        if self.nested:
            return _nested_matrices(self, like)
        if self._given_points is None:
            return axis_matrices(
                self._size, self.grid_size, self.kernel, self.quadrature, like.dtype, like.device
            )
        with to_be_kept():
            both = matrices_at(self._given_points, self.grid_size, self.kernel, self.quadrature)
            return AxisMatrices(*(matrix.to(like.device, like.dtype).contiguous() for matrix in both))

    def _set(self, size: int, points: Tensor | None) -> None:
        if self.partition is not None:
            self.partition = None
        # Not through Module.__setattr__, which takes longer than all else that a resize does.
        own = self.__dict__
        own["_size"] = size
        own["_given_points"] = points
        own["_matrices"] = {}
        own["_key"] = size if points is None else object()

    def extra_repr(self) -> str:
        """See :meth:`torch.nn.Module.extra_repr`."""
        nested = ", nested=True" if self.nested else ""
        return f"size={self._size}, max_size={self.max_size}, grid_size={self.grid_size}{nested}"

    def get_extra_state(self) -> Tensor:
        """Return the size, or the points where they were given, as a tensor."""
        return torch.tensor(self._size) if self.is_even else self.points.detach().clone()

    def set_extra_state(self, state: Tensor) -> None:
        """Take what :meth:`get_extra_state` returned.

        Raises:
            ValueError: If it is no positive integer, and no points.
        """
        if state.dim():
            self.place(state)
        else:
            self.resize(as_size(state.item(), "size of an axis in the state dict"))


def _nested_matrices(axis: Axis, like: Tensor) -> AxisMatrices:
    order = list(nested_order(axis.grid_size))
    with to_be_kept():
        if axis.prefix == axis.grid_size:
            return AxisMatrices(None, None)
        if axis.prefix is not None:
            selection = torch.eye(axis.grid_size, dtype=like.dtype, device=like.device)[: axis.size]
            return AxisMatrices(selection, selection.T.contiguous())
        points = axis.quadrature.points(axis.size)
        sampling, integration = matrices_at(points, axis.grid_size, axis.kernel, axis.quadrature)
        ordered = sampling[:, order], integration[order]
        return AxisMatrices(*(matrix.to(like.device, like.dtype).contiguous() for matrix in ordered))


class Axes(nn.ModuleList):
    """The resizable axes of one network, in the order in which data passes them."""

    def __iter__(self) -> Iterator[Axis]:
        """Iterate over the axes."""
        return iter(cast("dict[str, Axis]", self._modules).values())

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes in force."""
        return tuple(axis.size for axis in self)

    @property
    def max_sizes(self) -> tuple[int, ...]:
        """The sizes that the axes were built with."""
        return tuple(axis.max_size for axis in self)

    def resize(self, size: Size) -> None:
        """Set every axis' size: one integer for all, or one for each.

        Raises:
            ValueError: If a size is not a positive integer or their number is wrong; nothing
                is resized then.
        """
        axes = list(self)
        for axis, entry in zip(axes, as_sizes(size, len(axes)), strict=True):
            axis._set(entry, None)

    @contextmanager
    def resized(self, size: Size) -> Iterator[None]:
        """Have another size inside a ``with`` block, and what was before after it."""
        before = [(axis.size, axis._given_points, axis.partition) for axis in self]
        self.resize(size)
        try:
            yield
        finally:
            for axis, (old_size, points, partition) in zip(self, before, strict=True):
                axis._set(old_size, points)
                axis.partition = partition


def _named(name: str, known: dict[str, Value], what: str) -> Value:
    if name not in known:
        raise ValueError(f"unknown {what} {name!r}; known are {', '.join(sorted(known))}")
    return known[name]
