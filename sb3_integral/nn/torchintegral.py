"""Interchange with TorchIntegral, the reference implementation of integral neural networks.

Both libraries hold the same function, cubic convolution of λ over an even grid and the trapezoidal
rule, in units of their own. TorchIntegral integrates over [-1, 1] and multiplies by a constant
``train_volume`` of each parameter, so with 2 for the length of its interval

    λ = 2 · train_volume · (what it stores)

along an integrated dimension; elsewhere, and for biases, λ is what it stores. λ is converted, not
sampled: nothing is lost between the two, at any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sb3_integral.nn.axis import Axis
from sb3_integral.nn.convolution import IntegralConv2d, convolution_geometry
from sb3_integral.nn.copying import copied
from sb3_integral.nn.kernels import CubicConvolution, Kernel, LinearInterpolation
from sb3_integral.nn.layer import IntegralLayer
from sb3_integral.nn.linear import IntegralLinear
from sb3_integral.nn.network import IntegralNetwork
from sb3_integral.nn.quadratures import Trapezoidal
from sb3_integral.requirements import require

if TYPE_CHECKING:
    from torch_integral import (
        IntegralModel,
    )

MODES: dict[str, Kernel] = {"bicubic": CubicConvolution(), "bilinear": LinearInterpolation()}
"""What TorchIntegral calls the kernels that both libraries have."""


@torch.no_grad()
def from_torch_integral(model: IntegralModel) -> IntegralNetwork:
    """Take over a ``torch_integral.IntegralModel``, equal to it at every size from 2 on.

    Each of its groups becomes an axis, at the size that the group has in evaluation. The order differs:
    ``model.resize`` takes the sizes in the order of ``model.groups``, which TorchIntegral sorts by
    number of parameters; ``network.resize`` takes them in the order in which data meets the axes.

    Args:
        model: Its continuous layers linear or 2-D convolutions; everything else in it is copied as it
            is. It is not changed.

    Returns:
        A network with parameters of its own.

    Raises:
        ImportError: If TorchIntegral is not installed.
        ValueError: If a continuous parameter is not sampled as here: on another kind of grid, by
            another interpolation, by another quadrature or by none, which is what TorchIntegral's
            wrapper gives an input dimension of up to three features.
    """
    require("torchintegral", "torch_integral")
    from torch_integral.parametrizations import (
        GridSampleWeights1D,
        GridSampleWeights2D,
    )

    module: nn.Module = model.model
    nodes: dict[str, Tensor] = {}
    modes: dict[str, str] = {}
    for name, part in module.named_modules():
        for attribute, found in getattr(part, "parametrizations", {}).items():
            key = _joined(name, attribute)
            function = found[0]
            if (
                len(found) != 1
                or type(function) not in (GridSampleWeights1D, GridSampleWeights2D)
                or (function.padding_mode, function.align_corners) != ("border", True)
                or function.iterpolate_mode not in MODES
            ):
                raise ValueError(
                    f"{key} is parametrised by {found}, expected TorchIntegral's bicubic or bilinear "
                    f"grid sampling with aligned corners and the border repeated"
                )
            nodes[key] = _operator(found.original.detach(), function)
            modes[key] = function.iterpolate_mode

    ends: dict[tuple[str, int], Axis] = {}
    for group in model.groups:
        axis = _axis(group, nodes, modes)
        ends.update({(param["name"], param["dim"]): axis for param in group.params})

    taken_over = {
        id(part): _integral(part, name, nodes, ends)
        for name, part in module.named_modules()
        if parametrize.is_parametrized(part)
    }
    network = IntegralNetwork(copied(module, taken_over))
    return network.train(model.training)


@torch.no_grad()
def to_torch_integral(network: IntegralNetwork) -> IntegralModel:
    """Hand a network over as a ``torch_integral.IntegralModel``, equal to it at every size from 2 on.

    The model comes in evaluation mode, since TorchIntegral's sizes are drawn at random in training,
    from distributions that hold the full sizes until ``reset_distributions``. Its groups, whose
    order ``model.resize`` follows, are sorted by number of parameters.

    TorchIntegral has no linear layer on flattened channels whose number varies; such a layer becomes
    the convolution that it equals.

    Args:
        network: Its axes evenly sampled, with a kernel of :data:`MODES` and the trapezoidal rule. It
            is not changed.

    Raises:
        ImportError: If TorchIntegral is not installed.
        ValueError: If an axis is of another kind or has size 1, or the network's dtype is not torch's
            default one, in which TorchIntegral makes its grids.
    """
    require("torchintegral", "torch_integral")
    from torch_integral import IntegralModel
    from torch_integral.grid import (
        RandomLinspace,
        UniformDistribution,
    )
    from torch_integral.integral_group import (
        IntegralGroup,
    )

    dtype = network.lam_flat.dtype
    if dtype != torch.get_default_dtype():
        raise ValueError(
            f"TorchIntegral computes in torch's default dtype, {torch.get_default_dtype()}, got {dtype}"
        )
    groups: dict[Axis, Any] = {}
    for axis in network.axes:
        _check_axis(axis)
        group = groups[axis] = IntegralGroup(axis.max_size)
        group.grid = RandomLinspace(UniformDistribution(axis.max_size, axis.max_size))

    module = network.discretize(network.max_sizes)
    for name, layer in network.module.named_modules():
        if isinstance(layer, IntegralLayer):
            _parametrize(module, name, layer, groups)
    model = IntegralModel(module, list(groups.values())).eval()
    for axis, group in groups.items():
        group.resize(axis.size)
    return model


def _joined(name: str, attribute: str) -> str:
    return f"{name}.{attribute}" if name else attribute


def _operator(nodes: Tensor, function: Any) -> Tensor:
    """Return what TorchIntegral stores in the order of the layer's parameter."""
    discrete: Sequence[int] = function.discrete_shape or ()
    if hasattr(function, "cont_dim"):
        return nodes.reshape(*discrete, nodes.shape[-2]).movedim(-1, function.cont_dim)
    return nodes.reshape(*discrete, *nodes.shape[-2:]).movedim((-2, -1), (0, 1))


def _axis(group: Any, nodes: dict[str, Tensor], modes: dict[str, str]) -> Axis:
    from torch_integral.grid import RandomLinspace

    names = [param["name"] for param in group.params]
    if type(group.grid) is not RandomLinspace or group.grid.noise_std:
        raise ValueError(f"the grid of {names} is a {group.grid}, expected an even RandomLinspace")
    found = {(nodes[param["name"]].shape[param["dim"]], modes[param["name"]]) for param in group.params}
    if len(found) != 1:
        raise ValueError(
            f"{names} share a dimension, but not its λ nodes and interpolation: {sorted(found)}"
        )
    grid_size, mode = found.pop()
    axis = Axis(group.size, grid_size=grid_size, kernel=MODES[mode], quadrature=Trapezoidal())
    return axis.resize(group.grid.eval_size)


def _integral(
    part: nn.Module, name: str, nodes: dict[str, Tensor], ends: dict[tuple[str, int], Axis]
) -> IntegralLayer:
    from torch_integral.quadrature import (
        TrapezoidalQuadrature,
    )

    weight_name, bias_name = _joined(name, "weight"), _joined(name, "bias")
    if not isinstance(part, nn.Linear | nn.Conv2d) or weight_name not in nodes:
        raise ValueError(
            f"{name!r} is a continuous {part}, expected a linear layer or a 2-D convolution"
        )
    out_axis, in_axis = ends.get((weight_name, 0)), ends.get((weight_name, 1))
    if part.bias is not None and ends.get((bias_name, 0)) is not out_axis:
        raise ValueError(f"{weight_name} and {bias_name} are on different grids")
    lam = nodes[weight_name]
    found: Any = part.parametrizations
    function = found.weight[0]
    rule = None if in_axis is None else TrapezoidalQuadrature
    if function.quadrature is not None or rule is not None:
        if type(function.quadrature) is not rule or function.quadrature.integration_dims != [1]:
            raise ValueError(
                f"{weight_name} is integrated by {function.quadrature}, expected the trapezoidal rule "
                f"along its continuous inputs"
            )
        lam = lam * (2 * function.train_volume)

    out_features = lam.shape[0] if out_axis is None else out_axis
    in_features = lam.shape[1] if in_axis is None else in_axis
    layer: IntegralLayer
    if isinstance(part, nn.Linear):
        layer = IntegralLinear(
            in_features, out_features, bias=part.bias is not None, device=lam.device, dtype=lam.dtype
        )
    elif part.groups != 1:
        raise ValueError(f"{name!r} has groups and cannot be integral, got groups={part.groups}")
    else:
        layer = IntegralConv2d(
            in_features,
            out_features,
            **convolution_geometry(part),
            bias=part.bias is not None,
            device=lam.device,
            dtype=lam.dtype,
        )
    layer.lam = lam
    if layer.bias is not None:
        layer.bias.copy_(cast("Tensor", nodes.get(bias_name, part.bias)))
    return layer.train(part.training)


def _check_axis(axis: Axis) -> None:
    if axis.kernel not in MODES.values() or axis.quadrature != Trapezoidal() or not axis.is_even:
        raise ValueError(
            f"TorchIntegral has no axis with {axis.kernel} and {axis.quadrature} on "
            f"{'even' if axis.is_even else 'given'} points; expected one of {list(MODES.values())}, "
            f"the trapezoidal rule and even points"
        )
    if min(axis.size, axis.max_size) < 2:
        raise ValueError("TorchIntegral's trapezoidal rule needs a size of at least 2, got 1")


def _parametrize(module: nn.Module, name: str, layer: IntegralLayer, groups: dict[Axis, Any]) -> None:
    """Make the discrete form of a layer, part of a module, continuous by TorchIntegral's means."""
    part = module.get_submodule(name)
    lam = layer.lam
    axes = (layer.out_axis, layer.in_axis)
    if isinstance(layer, IntegralLinear) and lam.dim() == 3 and layer.in_axis is not None:
        assert isinstance(part, nn.Linear)
        repeat = layer.in_repeat
        # What is flat stays flat, and each channel's pixels are a kernel as large as the image.
        convolution = nn.Conv2d(
            layer.in_axis.max_size, part.out_features, (repeat, 1), bias=layer.bias is not None
        ).to(lam)
        if layer.bias is not None:
            convolution.bias = part.bias
        convolution.weight.copy_(part.weight.view(part.out_features, -1, repeat, 1))
        parent, _, child = name.rpartition(".")
        around = nn.Sequential(nn.Unflatten(1, (-1, repeat, 1)), convolution, nn.Flatten())
        setattr(module.get_submodule(parent), child, around)
        part, name, lam = convolution, f"{name}.1", lam.unsqueeze(-1)
    _register(part, name, "weight", lam, axes, groups)
    if layer.bias is not None:
        _register(part, name, "bias", layer.bias, axes[:1], groups)


def _register(
    part: nn.Module,
    name: str,
    attribute: str,
    lam: Tensor,
    axes: tuple[Axis | None, ...],
    groups: dict[Axis, Any],
) -> None:
    """Parametrise one parameter, whose first dimensions are those of the axes, by its λ."""
    from torch_integral.grid import GridND
    from torch_integral.parametrizations import GridSampleWeights1D, GridSampleWeights2D
    from torch_integral.quadrature import TrapezoidalQuadrature

    continuous = {dim: axis for dim, axis in enumerate(axes) if axis is not None}
    if not continuous:
        return
    modes = {
        mode for mode, kernel in MODES.items() for axis in continuous.values() if axis.kernel == kernel
    }
    if len(modes) != 1:
        raise ValueError(
            f"TorchIntegral needs one kernel for both ends of {name!r}, got {sorted(modes)}"
        )
    grid = GridND([groups[axis].grid for axis in continuous.values()])
    rule = TrapezoidalQuadrature([1], [len(continuous) - 1]) if 1 in continuous else None
    sizes = [lam.shape[dim] for dim in continuous]
    discrete = [size for dim, size in enumerate(lam.shape) if dim not in continuous] or None
    if len(continuous) == 2:
        function = GridSampleWeights2D(grid, rule, sizes, discrete, modes.pop())
        nodes = lam.movedim((0, 1), (-2, -1)).reshape(1, -1, *sizes)
    else:
        (dim,) = continuous
        function = GridSampleWeights1D(grid, rule, sizes[0], discrete, dim, modes.pop())
        nodes = lam.movedim(dim, -1).reshape(1, -1, *sizes, 1)
    parametrize.register_parametrization(part, attribute, function, unsafe=True)
    found: Any = part.parametrizations
    original = found[attribute].original
    original.data = nodes if rule is None else nodes / (2 * function.train_volume)
    for dim, axis in continuous.items():
        groups[axis].append_param(_joined(name, attribute), original, dim)
        groups[axis].params[-1]["function"] = function
