"""The axis: a continuous hidden dimension, shared by the layers on both sides of it.

Resizing a network is setting the sizes of its axes. An axis knows how finely its λ grid is laid, how
a function on that grid is sampled (kernel) and how it is integrated (quadrature); a layer strung on
two axes needs to know nothing else about size.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from sb3_integral.nn.kernels import KERNELS, CubicConvolution, Kernel
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


@functools.lru_cache(maxsize=512)
def axis_matrices(
    size: int,
    grid_size: int,
    kernel: Kernel,
    quadrature: Quadrature,
    dtype: torch.dtype,
    device: torch.device,
) -> AxisMatrices:
    """Compute the matrices of an axis, once for each combination of arguments.

    With S the kernel's matrix, q the quadrature weights of the samples (Eq. 3) and g those of the
    trapezoidal rule on the λ grid, sampling is S and integration is diag(1/g) Sᵀ diag(q): the stored
    nodal value of an input dimension is λ·g, so that at equal grid and size both are the identity.

    Returns:
        The two matrices, None where one is the identity.
    """
    points = quadrature.points(size)
    sampling = kernel.matrix(points, grid_size)
    grid = Trapezoidal()
    grid_weights = grid.weights(grid.points(grid_size))
    integration = sampling.T * quadrature.weights(points) / grid_weights[:, None]

    def finish(matrix: np.ndarray) -> Tensor | None:
        if size == grid_size and np.allclose(matrix, np.eye(size), rtol=0.0, atol=1e-9):
            return None
        return torch.as_tensor(matrix, dtype=dtype, device=device).contiguous()

    return AxisMatrices(finish(sampling), finish(integration))


class Axis(nn.Module):
    """A continuous hidden dimension, at some size.

    It has no parameters. Its size is part of the state dict, so whatever is saved resized comes back
    at that size.

    Args:
        max_size: The size it is built with, and has at first.
        grid_size: Number of λ nodes along it; ``max_size`` by default.
        kernel: How a function on the grid is sampled; a kernel or its name.
        quadrature: Where it is sampled and what a sample weighs; a quadrature or its name.

    Raises:
        ValueError: If a size is not a positive integer, or a name is unknown.
    """

    def __init__(
        self,
        max_size: int,
        *,
        grid_size: int | None = None,
        kernel: Kernel | str = CubicConvolution(),
        quadrature: Quadrature | str = Trapezoidal(),
    ) -> None:
        super().__init__()
        self.max_size = as_size(max_size, "max_size")
        self.grid_size = self.max_size if grid_size is None else as_size(grid_size, "grid_size")
        self.kernel = _named(kernel, KERNELS, "kernel") if isinstance(kernel, str) else kernel
        self.quadrature = (
            _named(quadrature, QUADRATURES, "quadrature") if isinstance(quadrature, str) else quadrature
        )
        self._size = self.max_size

    @property
    def size(self) -> int:
        """Number of samples in force."""
        return self._size

    def resize(self, size: int) -> Axis:
        """Set the number of samples, below or above ``max_size``; returns the axis.

        Raises:
            ValueError: If ``size`` is not a positive integer.
        """
        self._size = as_size(size)
        return self

    def matrices(self, like: Tensor) -> AxisMatrices:
        """Return the matrices for the size in force, in the dtype and on the device of ``like``."""
        return axis_matrices(
            self._size, self.grid_size, self.kernel, self.quadrature, like.dtype, like.device
        )

    def extra_repr(self) -> str:
        """See :meth:`torch.nn.Module.extra_repr`."""
        return f"size={self._size}, max_size={self.max_size}, grid_size={self.grid_size}"

    def get_extra_state(self) -> Tensor:
        """Return the size, as what every file format for tensors can hold."""
        return torch.tensor(self._size)

    def set_extra_state(self, state: Tensor) -> None:
        """Take the size that :meth:`get_extra_state` returned.

        Raises:
            ValueError: If it is not a positive integer.
        """
        self._size = as_size(state.item(), "size of an axis in the state dict")


class Axes(nn.ModuleList):
    """The resizable axes of one network, in the order in which data passes them."""

    def __iter__(self) -> Iterator[Axis]:
        """Iterate over the axes."""
        return cast("Iterator[Axis]", super().__iter__())

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
        for axis, entry in zip(self, as_sizes(size, len(self)), strict=True):
            axis.resize(entry)

    @contextmanager
    def resized(self, size: Size) -> Iterator[None]:
        """Have another size inside a ``with`` block, and the one from before after it."""
        before = self.sizes
        self.resize(size)
        try:
            yield
        finally:
            self.resize(before)


def _named(name: str, known: dict[str, Value], what: str) -> Value:
    if name not in known:
        raise ValueError(f"unknown {what} {name!r}; known are {', '.join(sorted(known))}")
    return known[name]
