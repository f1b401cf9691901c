"""A multi-layer perceptron of integral layers, and how a discrete one becomes one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import nn

from sb3_integral.nn.axis import Axis
from sb3_integral.nn.kernels import CubicConvolution, Kernel
from sb3_integral.nn.linear import IntegralLinear
from sb3_integral.nn.network import IntegralNetwork
from sb3_integral.nn.quadratures import Quadrature, Trapezoidal
from sb3_integral.nn.sizes import Size, as_sizes


def to_integral_layers(layers: Sequence[nn.Linear], axes: Sequence[Axis]) -> list[IntegralLinear]:
    """Turn consecutive dense layers into integral ones, with an axis between each and the next.

    Args:
        layers: The layers of an MLP, first to last.
        axes: One axis fewer than there are layers.

    Returns:
        As many integral layers, sharing the parameters.

    Raises:
        ValueError: If the number of axes or a grid size does not fit.
    """
    if len(axes) != len(layers) - 1:
        raise ValueError(f"{len(layers)} layers have {len(layers) - 1} axes, got {len(axes)}")
    ends = (None, *axes, None)
    return [
        IntegralLinear.from_linear(layer, in_axis=ends[i], out_axis=ends[i + 1])
        for i, layer in enumerate(layers)
    ]


class IntegralMLP(IntegralNetwork):
    """An MLP whose hidden dimensions are axes; input and output stay discrete.

    Args:
        in_features: Number of inputs.
        hidden_sizes: Full size of each hidden layer.
        out_features: Number of outputs.
        activation_fn: Made anew for each hidden layer; must act on each neuron alone.
        grid_size: λ nodes per axis (one number, or one per axis); the hidden sizes by default.
        kernel: Kernel of every axis, or its name.
        quadrature: Quadrature of every axis, or its name.
        nested: Whether the partitions nest: a small network has neurons of each larger one.
        scale_levels: If nested: how far down layers have corrections that depend on the scale, in steps
            of 1/√2; see :class:`ScaleCorrections`. None by default.

    Shape:
        Input (..., in_features), output (..., out_features), at every size.

    Raises:
        ValueError: If a size is not a positive integer, a name is unknown, or there are levels without
            partitions that nest.
    """

    def __init__(
        self,
        in_features: int,
        hidden_sizes: Sequence[int],
        out_features: int,
        *,
        activation_fn: type[nn.Module] = nn.ReLU,
        grid_size: Size | None = None,
        kernel: Kernel | str = CubicConvolution(),
        quadrature: Quadrature | str = Trapezoidal(),
        nested: bool = False,
        scale_levels: int = 0,
    ) -> None:
        if scale_levels and not nested:
            raise ValueError(f"scale_levels={scale_levels!r} needs partitions that nest: nested=True")
        full = as_sizes(tuple(hidden_sizes), len(hidden_sizes), "hidden_sizes")
        grids = full if grid_size is None else as_sizes(grid_size, len(full), "grid_size")
        axes = [
            Axis(size, grid_size=grid, kernel=kernel, quadrature=quadrature, nested=nested)
            for size, grid in zip(full, grids, strict=True)
        ]
        ends: list[int | Axis] = [in_features, *axes, out_features]
        modules: list[nn.Module] = [IntegralLinear(ends[0], ends[1])]
        for i in range(1, len(ends) - 1):
            modules += [activation_fn(), IntegralLinear(ends[i], ends[i + 1])]
        if scale_levels and axes:
            for layer in modules[::2]:
                cast(IntegralLinear, layer).add_scale_corrections(scale_levels)
        super().__init__(nn.Sequential(*modules))
