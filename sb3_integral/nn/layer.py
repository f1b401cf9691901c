"""What every integral layer is: parameters on a λ grid between two dimensions."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from sb3_integral.nn.axis import Axis
from sb3_integral.nn.placement import Placement
from sb3_integral.nn.scale import Level, ScaleCorrections, corrected


class IntegralLayer(nn.Module):
    """A layer between two dimensions, each of them discrete or an axis; mixed into torch's layers.

    On an axis the weight is a function, sampled at the axis' size: the output dimension by the kernel
    (Eq. 2), the input dimension by the kernel and the quadrature (Eq. 3). The bias is a function on
    the output axis.

    The parameter ``weight`` holds λ times the quadrature weight of its own node along the input
    axis. At equal grid and size it therefore *is* the weight of the discrete layer: the layer costs
    what the discrete one costs, is initialised by whatever initialises that, trains at the same
    learning rate, and takes over a trained one exactly. λ itself is :attr:`lam`.

    Where all its axes nest, the layer may have corrections that depend on the scale (:meth:`correct`).
    """

    weight: Tensor
    bias: Tensor | None

    # Plain tuples, so that the axes are not registered here: an axis belongs to the network.
    _axes: tuple[Axis | None, Axis | None]
    # What a network that samples all its layers at once lends to each of them.
    _lent: tuple[Tensor, Tensor | None] | None = None

    @property
    def in_axis(self) -> Axis | None:
        """The axis that is integrated over; None where the input is discrete."""
        return self._axes[0]

    @property
    def out_axis(self) -> Axis | None:
        """The axis along which the output is sampled; None where the output is discrete."""
        return self._axes[1]

    @property
    def lam(self) -> Tensor:
        """The coefficients λ of Eq. 2; may be set. Shape: (grid or out, grid or in, ...)."""
        return self._operator() / self._node_weights()

    @lam.setter
    @torch.no_grad()
    def lam(self, lam: Tensor) -> None:
        self._operator().copy_(lam * self._node_weights())

    def _operator(self) -> Tensor:
        return self.weight.view(self.operator_shape(self.weight.shape))

    def _node_weights(self) -> Tensor:
        """Quadrature weights of the λ nodes along the input, to be multiplied with an operator."""
        if self.in_axis is None:
            return torch.ones((), dtype=self.weight.dtype, device=self.weight.device)
        weights = self.in_axis.node_weights().to(self.weight)
        return weights.view(1, -1, *[1] * (len(self.operator_shape(self.weight.shape)) - 2))

    def correct(self, levels: int) -> ScaleCorrections:
        """Give the layer corrections that depend on the scale, zero at first, and return them.

        A layer between two axes is at the geometric mean of their scales.

        Args:
            levels: How far down, in steps of 1/√2; see :class:`ScaleCorrections`.

        Raises:
            ValueError: If ``levels`` is not a positive integer, if the layer is on no axis, or if the
                partitions of one do not nest.
        """
        axes = [axis for axis in self._axes if axis is not None]
        if not axes or not all(axis.nested for axis in axes):
            raise ValueError(f"corrections need axes whose partitions nest, got {axes}")
        in_axis, out_axis = self._axes
        ends = (out_axis is not None, in_axis is not None)
        corrections = ScaleCorrections(self._operator(), self.bias, ends, levels)
        self.corrections = corrections
        return corrections

    def discretize(self) -> nn.Module:
        """Return an ordinary layer of the sizes in force, with parameters of its own."""
        raise NotImplementedError

    def on_axes(self, in_axis: Axis | None, out_axis: Axis | None) -> IntegralLayer:
        """Return a layer of the same kind on other axes, its parameters not yet meaningful."""
        raise NotImplementedError

    def operator_shape(self, shape: torch.Size) -> torch.Size:
        """Return a weight's shape as (out, in, ...), the first two dimensions those of the axes."""
        return shape

    def discrete_parameters(self) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias at the sizes in force, differentiable in the parameters."""
        placed_in, placed_out = (None if axis is None else axis.placement for axis in self._axes)
        if any(axis is not None and axis.nested for axis in self._axes):
            return self._nested_parameters(placed_in, placed_out)
        weight, bias = self.weight, self.bias
        sampling = None if placed_out is None else placed_out.matrices(weight).sampling
        integration = None if placed_in is None else placed_in.matrices(weight).integration
        if sampling is None and integration is None:
            return weight, bias
        shape = self.operator_shape(weight.shape)
        operator = transform_operator(weight.view(shape), sampling, integration)
        weight = operator if operator.dim() == weight.dim() else operator.flatten(start_dim=1)
        if sampling is not None and bias is not None:
            bias = torch.mv(sampling, bias)
        return weight, bias

    def _nested_parameters(
        self, placed_in: Placement | None, placed_out: Placement | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias where partitions nest: the beginning of each, corrected."""
        operator, bias = self._operator(), self.bias
        full = operator.shape[:2]
        ends = (placed_out, placed_in)
        size = tuple(
            features if axis is None or axis.prefix is None else axis.prefix
            for features, axis in zip(full, ends, strict=True)
        )
        levels = self.levels(placed_in, placed_out)
        if all(axis is None or axis.prefix == axis.grid_size for axis in ends) and not levels:
            return self.weight, bias
        operator, bias = corrected(operator, bias, size, levels)
        if any(axis is not None and axis.prefix is None for axis in ends):
            # Beyond the grid, or on an axis that does not nest, samples are no nodes.
            left, right = (
                None if axis is None or axis.prefix is not None else axis.matrices(operator)
                for axis in ends
            )
            sampling = None if left is None else left.sampling
            operator = transform_operator(
                operator, sampling, None if right is None else right.integration
            )
            if bias is not None and sampling is not None:
                bias = torch.mv(sampling, bias)
        return operator if operator.dim() == self.weight.dim() else operator.flatten(start_dim=1), bias

    def levels(self, placed_in: Placement | None, placed_out: Placement | None) -> list[Level]:
        """Return the corrections that count where the axes are placed."""
        corrections = cast("ScaleCorrections | None", self._modules.get("corrections"))
        if corrections is None:
            return []
        scales = [each.size / each.grid_size for each in (placed_in, placed_out) if each is not None]
        return corrections.at(math.prod(scales) ** (1.0 / len(scales)))

    def _parameters_in_force(self) -> tuple[Tensor, Tensor | None]:
        return self.discrete_parameters() if self._lent is None else self._lent


def transform_operator(operator: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
    """Multiply the first dimension by a matrix from the left, the second by one from the right.

    Args:
        operator: Shape: (out, in, ...).
        left: Shape: (new out, out); None stands for the identity.
        right: Shape: (in, new in); None stands for the identity.

    Returns:
        Shape: (new out, new in, ...).
    """
    if left is not None:
        rest = operator.shape[1:]
        operator = (left @ operator.reshape(operator.shape[0], -1)).view(-1, *rest)
    if right is None:
        return operator
    if operator.dim() == 2:
        return operator @ right
    rest = operator.shape[2:]
    return (right.T @ operator.flatten(start_dim=2)).view(operator.shape[0], -1, *rest)


def grid_or_features(dimension: int | Axis) -> int:
    """Return how many stored values a dimension has."""
    return dimension.grid_size if isinstance(dimension, Axis) else dimension


def axis_or_none(dimension: int | Axis) -> Axis | None:
    """Return the axis, if the dimension is one."""
    return dimension if isinstance(dimension, Axis) else None


def check_grid(axis: Axis | None, features: int, side: str) -> None:
    """Check that an axis' grid has a node for each feature of a discrete layer.

    Raises:
        ValueError: If it has not.
    """
    if axis is not None and axis.grid_size != features:
        raise ValueError(
            f"the {side} axis has a grid of {axis.grid_size} nodes, expected {features}, "
            f"one for each {side} feature of the layer"
        )
