"""From a trained discrete network to an integral one: permute, then fit λ in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import fusion

from sb3_integral.nn.axis import Axis
from sb3_integral.nn.convolution import IntegralConv2d
from sb3_integral.nn.copying import copied
from sb3_integral.nn.kernels import CubicConvolution, Kernel
from sb3_integral.nn.layer import IntegralLayer
from sb3_integral.nn.linear import IntegralLinear
from sb3_integral.nn.network import IntegralNetwork
from sb3_integral.nn.permutation import permute_axis
from sb3_integral.nn.placement import matrices_at
from sb3_integral.nn.quadratures import Quadrature, Trapezoidal
from sb3_integral.nn.running import ELEMENTWISE
from sb3_integral.nn.sizes import Size, as_sizes

COMMUTING: tuple[type[nn.Module], ...] = (
    *ELEMENTWISE,
    *(nn.Dropout, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
    *(nn.ZeroPad2d, nn.Upsample, nn.Flatten),
)
"""Modules that act on each neuron or channel alone, and so do the same at every size."""


SMALLEST_SINGULAR_VALUE = 1e-6
"""Relative to the largest; what is smaller would make λ larger than single precision can bear."""


class Conversion(NamedTuple):
    """An integral network and how close it is to the discrete one.

    Attributes:
        network: At full size.
        errors: For each layer, the norm of what the fit leaves of its weight, relative to the
            weight's norm: 0 at equal grid and size.
    """

    network: IntegralNetwork
    errors: tuple[float, ...]


@torch.no_grad()
def convert(
    module: nn.Sequential,
    *,
    grid_size: Size | None = None,
    kernel: Kernel = CubicConvolution(),
    quadrature: Quadrature = Trapezoidal(),
    permute: bool = True,
    seconds: float = 0.2,
) -> Conversion:
    """Make a trained MLP or CNN integral, without data and without training.

    Batch norm is fused into the layer before it; the hidden neurons are permuted to vary least; λ is
    the least-squares solution, in closed form, of being the discrete weights at full size.

    Args:
        module: Linear and convolutional layers, batch norm, and modules of :data:`COMMUTING`; it is
            not changed.
        grid_size: λ nodes per hidden dimension (one number, or one each); its size by default.
        kernel: Kernel of every axis.
        quadrature: Quadrature of every axis.
        permute: Whether to permute; needs fast-tsp.
        seconds: How long to search for each permutation.

    Raises:
        ValueError: If a module is of another kind, or there are fewer than two layers.
        ImportError: If fast-tsp is wanted and not installed.
    """
    modules = _fused(_flattened(copied(module).eval()))
    found = {i: part for i, part in enumerate(modules) if isinstance(part, nn.Linear | nn.Conv2d)}
    layers = list(found.values())
    if len(layers) < 2:
        raise ValueError(f"expected at least two linear or convolutional layers, got {len(layers)}")
    sizes = [len(layer.weight) for layer in layers[:-1]]
    grids = sizes if grid_size is None else as_sizes(grid_size, len(sizes), "grid_size")

    nodes = [Axis(size, kernel=kernel, quadrature=quadrature) for size in sizes]
    discrete = [_to_integral(*each) for each in zip(layers, pairwise([None, *nodes, None]), strict=True)]
    if permute:
        for axis in nodes:
            permute_axis(discrete, axis, seconds)
    axes = [
        Axis(size, grid_size=grid, kernel=kernel, quadrature=quadrature)
        for size, grid in zip(sizes, grids, strict=True)
    ]
    errors = []
    for position, layer, ends in zip(found, discrete, pairwise([None, *axes, None]), strict=True):
        modules[position], error = _fit(layer, *ends)
        errors.append(error)
    return Conversion(IntegralNetwork(nn.Sequential(*modules)), tuple(errors))


def _flattened(module: nn.Sequential) -> list[nn.Module]:
    parts: list[nn.Module] = []
    for part in module:
        parts += _flattened(part) if isinstance(part, nn.Sequential) else [part]
    return parts


def _fused(parts: Sequence[nn.Module]) -> list[nn.Module]:
    """Fuse batch norm into the layer before it, and refuse what does not commute with resizing."""
    fused: list[nn.Module] = []
    for part in parts:
        before = fused[-1] if fused else None
        if isinstance(part, nn.BatchNorm2d) and isinstance(before, nn.Conv2d):
            fused[-1] = fusion.fuse_conv_bn_eval(before, part)
        elif isinstance(part, nn.BatchNorm1d) and isinstance(before, nn.Linear):
            fused[-1] = fusion.fuse_linear_bn_eval(before, part)
        elif isinstance(part, (nn.Linear, nn.Conv2d, *COMMUTING)):
            fused.append(part)
        else:
            raise ValueError(
                f"{part!r} does not do the same at every size, or stands where it cannot be fused; "
                f"expected linear and convolutional layers, batch norm right after them, "
                f"activations and pooling"
            )
    return fused


def _to_integral(layer: nn.Linear | nn.Conv2d, ends: tuple[Axis | None, Axis | None]) -> IntegralLayer:
    in_axis, out_axis = ends
    if isinstance(layer, nn.Conv2d):
        return IntegralConv2d.from_conv(layer, in_axis, out_axis)
    # Flattened channels give height times width features each.
    repeat = 1 if in_axis is None else layer.in_features // in_axis.max_size
    return IntegralLinear.from_linear(layer, in_axis, out_axis, in_repeat=repeat)


def _fit(
    discrete: IntegralLayer, in_axis: Axis | None, out_axis: Axis | None
) -> tuple[IntegralLayer, float]:
    """Return a layer on other axes whose weight at full size is nearest to a discrete weight."""
    weight = discrete.weight.double()
    solution = weight.view(discrete.operator_shape(weight.shape))
    bias = None if discrete.bias is None else discrete.bias.double()
    if out_axis is not None:
        sampling, _ = _full_matrices(out_axis)
        solution = _solved(sampling, solution)
        bias = None if bias is None else _solved(sampling, bias)
    if in_axis is not None:
        _, integration = _full_matrices(in_axis)
        solution = _solved(integration.T, solution.transpose(0, 1)).transpose(0, 1)
    layer = discrete.on_axes(in_axis, out_axis)
    layer.weight.copy_(solution.reshape(layer.weight.shape))
    if bias is not None and layer.bias is not None:
        layer.bias.copy_(bias)
    sampled, _ = layer.discrete_parameters()
    error = torch.linalg.norm(sampled.double() - weight) / torch.linalg.norm(weight)
    return layer, float(error)


def _full_matrices(axis: Axis) -> tuple[Tensor, Tensor]:
    points = axis.quadrature.points(axis.max_size)
    return matrices_at(points, axis.grid_size, axis.kernel, axis.quadrature)


def _solved(matrix: Tensor, right: Tensor) -> Tensor:
    """Return the least-squares solution X of smallest norm of ``matrix @ X = right``."""
    # This driver, the only one for matrices without full rank, runs on the CPU.
    flat = right.reshape(right.shape[0], -1).cpu()
    solution: Tensor = torch.linalg.lstsq(
        matrix.to(flat), flat, rcond=SMALLEST_SINGULAR_VALUE, driver="gelsd"
    ).solution
    return solution.view(-1, *right.shape[1:]).to(right.device)
