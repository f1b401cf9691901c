"""The axis: a continuous hidden dimension, shared by the layers on both sides of it.

Resizing a network is setting the sizes of its axes. An axis knows how finely its λ grid is laid, how
a function on that grid is sampled (kernel) and how it is integrated (quadrature); a layer between
two axes needs to know nothing else about size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sb3_integral.nn.kernels import KERNELS, CubicConvolution, Kernel
from sb3_integral.nn.mixed import MixedSizes
from sb3_integral.nn.partition import TrainablePartition
from sb3_integral.nn.placement import AxisMatrices, Grid, Placement, nested_order
from sb3_integral.nn.quadratures import QUADRATURES, Quadrature, Trapezoidal
from sb3_integral.nn.sizes import Size, as_size, as_sizes

Value = TypeVar("Value")

POINTS = "points"
"""Key of an axis in a state dict, unless it has its full size."""


MAX_CACHED_SIZES = 256
"""For how many sizes an axis keeps its placement, and a layer its plan."""


class Axis(nn.Module):
    """A continuous hidden dimension, at some size.

    It has no parameters, unless its partition is being tuned. Its size is part of the state dict
    wherever it is not the full one: as the *shape* of an empty tensor, or as points where these were
    given. So a state dict at full size has no keys but those of the layers, and arithmetic on a state
    (averages, random numbers) cannot make a size wrong. A state without a size is one at full size.

    Args:
        max_size: The size it is built with, and has at first.
        grid_size: Number of λ nodes along it, fewer or more than its size; ``max_size`` by default.
        kernel: How a function on the grid is sampled; a kernel or its name.
        quadrature: Where it is sampled and what a sample weighs; a quadrature or its name.
        nested: Whether the partitions nest. The nodes are then kept in the order in which they join, so
            up to the grid's size a partition is the first of them, and each keeps at every size the
            quadrature weight that it has on the grid. Above that size it is sampled evenly.

    Attributes:
        placement: Where the axis is sampled now.
        partition: The points while they are being learned; None otherwise.

    Raises:
        ValueError: If a size is not a positive integer, or a name is unknown.
    """

    placement: Placement
    partition: TrainablePartition | None
    mixed: MixedSizes | None = None

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
        self.max_size = as_size(max_size, "max_size")
        self.partition = None
        grid = Grid(
            self.max_size if grid_size is None else as_size(grid_size, "grid_size"),
            _named(kernel, KERNELS, "kernel") if isinstance(kernel, str) else kernel,
            _named(quadrature, QUADRATURES, "quadrature") if isinstance(quadrature, str) else quadrature,
            nested,
        )
        self.placement = Placement(grid, self.max_size)
        self._even_placements = {self.max_size: self.placement}

    @property
    def size(self) -> int:
        """Current number of samples."""
        return self.placement.size

    @property
    def grid_size(self) -> int:
        """Number of λ nodes."""
        return self.placement.grid.size

    @property
    def kernel(self) -> Kernel:
        """How a function on the grid is sampled."""
        return self.placement.grid.kernel

    @property
    def quadrature(self) -> Quadrature:
        """Where the axis is sampled evenly, and what a sample weighs."""
        return self.placement.grid.quadrature

    @property
    def nested(self) -> bool:
        """Whether the partitions nest."""
        return self.placement.grid.nested

    @property
    def points(self) -> Float[Tensor, " {self.size}"]:
        """Where the axis is sampled now, in [0, 1]; ascending unless it is nested."""
        return self.placement.points

    @property
    def is_even(self) -> bool:
        """Whether the axis is sampled at its quadrature's own points."""
        return self.placement.given is None

    def node_weights(self) -> Float[Tensor, " {self.grid_size}"]:
        """Return the weight of each stored node in an integral over the grid."""
        rule = Trapezoidal()
        weights = rule.weights(rule.points(self.grid_size))
        return weights[list(nested_order(self.grid_size))] if self.nested else weights

    def ascending(self, values: Tensor, dim: int) -> Tensor:
        """Return values of the nodes in the order in which these lie along the axis.

        Args:
            values: Stored values, such as λ. Its dimension ``dim`` has an entry for each node.
            dim: The dimension.
        """
        if not self.nested:
            return values
        return values.index_select(dim, _order(self.grid_size, values).argsort())

    def stored(self, values: Tensor, dim: int) -> Tensor:
        """Return values in the order in which a layer stores them: undo :meth:`ascending`."""
        return values.index_select(dim, _order(self.grid_size, values)) if self.nested else values

    def placement_at(self, size: int, what: str = "size") -> Placement:
        """Return where the axis would be sampled at a size; it is not resized.

        Raises:
            ValueError: If ``size`` is not a positive integer.
        """
        found = self._even_placements.get(size) if type(size) is int else None
        if found is None:
            found = Placement(self.placement.grid, as_size(size, what))
            if len(self._even_placements) >= MAX_CACHED_SIZES:
                self._even_placements.clear()
            found = self._even_placements.setdefault(found.size, found)
        return found

    def resize(self, size: int) -> Axis:
        """Sample at ``size`` points of the quadrature, below or above ``max_size``; returns the axis.

        Raises:
            ValueError: If ``size`` is not a positive integer.
        """
        return self.sample_at(self.placement_at(size))

    def place(self, points: Tensor | Sequence[float]) -> Axis:
        """Sample at given points, as many as there are; returns the axis.

        Args:
            points: In [0, 1], strictly ascending. Shape: (size,).

        Raises:
            ValueError: If they are not, if the quadrature has points of its own, or if the partitions
                nest.
        """
        return self.sample_at(self._given_placement(points))

    def sample_at(self, placement: Placement) -> Axis:
        """Sample where a placement of this axis says; returns the axis."""
        partition = placement.given if isinstance(placement.given, TrainablePartition) else None
        if partition is not self.partition:
            self._modules.pop("partition", None)
            self.partition = partition
        # Not through Module.__setattr__, which takes longer than all else that a resize does.
        self.__dict__["placement"] = placement
        return self

    def nest(self) -> Axis:
        """Have the partitions nest from now on, at full size; returns the axis.

        The nodes join in the order in which they are stored, so at full size nothing changes.

        Raises:
            ValueError: If the axis does not sample its nodes at full size.
        """
        if not self.nested:
            full = self.placement_at(self.max_size).matrices(torch.zeros(()))
            if self.grid_size != self.max_size or full.sampling is not None:
                raise ValueError(
                    f"expected an axis whose neurons are the nodes of its grid, so that partitions can "
                    f"nest, got {self}"
                )
            grid = self.placement.grid._replace(nested=True)
            self._even_placements = {self.max_size: Placement(grid, self.max_size)}
            self.sample_at(self._even_placements[self.max_size])
        return self

    def start_tuning(self) -> TrainablePartition:
        """Make the current points trainable, and return them.

        Raises:
            ValueError: If there are fewer than two, or if the partitions nest.
        """
        self._check_movable()
        partition = TrainablePartition(self.points.detach())
        self.sample_at(Placement(self.placement.grid, self.size, partition))
        return partition

    def stop_tuning(self) -> Axis:
        """Keep the points as they were learned; returns the axis."""
        return self.place(self.points) if self.placement.is_learned else self

    def matrices(self, like: Tensor) -> AxisMatrices:
        """Return the matrices of the current size, in the dtype and on the device of ``like``."""
        return self.placement.matrices(like)

    def _check_movable(self) -> None:
        if self.nested:
            raise ValueError(
                "partitions that nest stay where they are, expected an axis with nested=False"
            )

    def _given_placement(self, points: Tensor | Sequence[float]) -> Placement:
        self._check_movable()
        given = torch.as_tensor(points, dtype=torch.float64).detach().clone()
        ascending = given.dim() == 1 and len(given) > 0 and bool((given.diff() > 0).all())
        if not ascending or not (given[0] >= 0 and given[-1] <= 1):
            raise ValueError(f"points must ascend strictly from 0 to 1, got {given.tolist()}")
        self.quadrature.weights(given)
        return Placement(self.placement.grid, len(given), given)

    def extra_repr(self) -> str:
        """See :meth:`torch.nn.Module.extra_repr`."""
        nested = ", nested=True" if self.nested else ""
        return f"size={self.size}, max_size={self.max_size}, grid_size={self.grid_size}{nested}"

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.placement.given is not None:
            destination[prefix + POINTS] = self.points.detach().clone()
        elif self.size != self.max_size:
            destination[prefix + POINTS] = torch.empty(self.size, 0)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        _, _, _, unexpected_keys, error_msgs = args
        key = prefix + POINTS
        if key in unexpected_keys:
            unexpected_keys.remove(key)
        state = state_dict.get(key)
        try:
            if state is None:
                self.resize(self.max_size)
            elif state.dim() == 2 and state.shape[1] == 0:
                self.sample_at(self.placement_at(len(state), "size of an axis in the state dict"))
            else:
                self.place(state)
        except ValueError as error:
            error_msgs.append(f"{key}: {error}")


class Axes(nn.ModuleList):
    """The resizable axes of one network, in the order in which data passes them."""

    def __iter__(self) -> Iterator[Axis]:
        """Iterate over the axes."""
        return iter(cast("dict[str, Axis]", self._modules).values())

    @property
    def sizes(self) -> tuple[int, ...]:
        """The current sizes."""
        return tuple(axis.size for axis in self)

    @property
    def max_sizes(self) -> tuple[int, ...]:
        """The sizes that the axes were built with."""
        return tuple(axis.max_size for axis in self)

    def placements(self, size: Size) -> dict[Axis, Placement]:
        """Return where the axes would be sampled at a size; nothing is resized.

        Raises:
            ValueError: If a size is not a positive integer or their number is wrong.
        """
        sizes = as_sizes(size, len(self))
        return {axis: axis.placement_at(entry) for axis, entry in zip(self, sizes, strict=True)}

    def resize(self, size: Size) -> None:
        """Set every axis' size: one integer for all, or one for each.

        Raises:
            ValueError: If a size is not a positive integer or their number is wrong; nothing
                is resized then.
        """
        for axis, placement in self.placements(size).items():
            axis.sample_at(placement)

    @contextmanager
    def resized(self, size: Size) -> Iterator[None]:
        """Resize inside a ``with`` block, and restore the previous sizes afterwards."""
        before = [(axis, axis.placement) for axis in self]
        self.resize(size)
        try:
            yield
        finally:
            for axis, placement in before:
                axis.sample_at(placement)

    @contextmanager
    def mixed(self) -> Iterator[MixedSizes]:
        """Have the network take batches whose samples are of different sizes inside a ``with`` block.

        Whoever runs a batch gives the sizes of its samples to the object that is returned. Each sample
        gets what the network of its size would compute. Until sizes are given, all have full size.

        Raises:
            ValueError: If the partitions of an axis do not nest, or its grid has not a node for each
                neuron.
        """
        for axis in self:
            if not axis.nested or axis.grid_size != axis.max_size:
                raise ValueError(
                    f"batches of mixed sizes need partitions that nest and a node for each neuron, "
                    f"got {axis}"
                )
        sizes = MixedSizes()
        with self.resized(self.max_sizes):
            for axis in self:
                axis.__dict__["mixed"] = sizes
            try:
                yield sizes
            finally:
                for axis in self:
                    del axis.__dict__["mixed"]


def _order(grid_size: int, like: Tensor) -> Tensor:
    return torch.tensor(nested_order(grid_size), device=like.device)


def _named(name: str, known: dict[str, Value], what: str) -> Value:
    if name not in known:
        raise ValueError(f"unknown {what} {name!r}; known are {', '.join(sorted(known))}")
    return known[name]
