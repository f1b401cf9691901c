"""Running an MLP at several sizes at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules import module as torch_module

from sb3_integral.nn.axis import Axes
from sb3_integral.nn.engine import Parameters, needs_tracing, sample_groups
from sb3_integral.nn.linear import IntegralLinear
from sb3_integral.nn.plan import Tensors
from sb3_integral.nn.sizes import Size

ELEMENTWISE: tuple[type[nn.Module], ...] = (
    *(nn.Identity, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.ReLU6, nn.Hardswish),
    *(nn.Hardsigmoid, nn.LogSigmoid),
)
"""Modules that act on each neuron alone."""


def run_at_sizes(
    inputs: Float[Tensor, "*batch in"],
    modules: Sequence[nn.Module],
    axes: Axes,
    sizes: Sequence[Size],
    tensors: Callable[[], Sequence[Tensors]] | None = None,
) -> list[Any]:
    """Run modules one after the other, at each of several sizes, differentiably.

    An MLP runs at its largest size, and at all others side by side as one network, for small networks
    cost time rather than arithmetic; all weights are sampled in one step of autograd. Other modules
    run size by size. The axes have their own sizes again afterwards.

    Args:
        inputs: What the first module takes.
        modules: The modules to run.
        axes: Those of their integral layers.
        sizes: As for :meth:`Axes.resize`.
        tensors: Returns the tensors of each integral layer; by default their own.

    Returns:
        What the last module returns, for each size.

    Raises:
        ValueError: If a size is not a positive integer or their number is wrong.
    """
    placements = [axes.placements(size) for size in sizes]
    layers = [module for module in modules if type(module) is IntegralLinear]
    if not layers or not _is_mlp(modules) or needs_tracing():
        return [_run_at(size, inputs, modules, axes) for size in sizes]
    plans = [[layer.plan(at) for layer in layers] for at in placements]
    if any(plan.is_learned for at_size in plans for plan in at_size):
        return [_run_at(size, inputs, modules, axes) for size in sizes]
    costs = [sum(math.prod(plan.weight.shape) for plan in at_size) for at_size in plans]
    largest = costs.index(max(costs))
    others = [index for index in range(len(sizes)) if index != largest]
    groups = [group for group in ([largest], others) if group]
    sampled = sample_groups(
        [[plans[index] for index in group] for group in groups],
        [layer.tensors() for layer in layers] if tensors is None else tensors(),
    )
    outputs: dict[int, Tensor] = {}
    for group, parameters in zip(groups, sampled, strict=True):
        values = _run_side_by_side(inputs, modules, parameters)
        widths = [plans[index][-1].weight.shape[0] for index in group]
        outputs |= zip(group, values.split(widths, dim=-1), strict=True)
    return [outputs[index] for index in range(len(sizes))]


def has_hooks(modules: Iterable[nn.Module]) -> bool:
    """Whether any module has hooks, or torch has global ones."""
    return any(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        for module in modules
    ) or bool(
        torch_module._global_forward_hooks
        or torch_module._global_forward_pre_hooks
        or torch_module._global_backward_hooks
        or torch_module._global_backward_pre_hooks
    )


def _is_mlp(modules: Sequence[nn.Module]) -> bool:
    """Return whether modules are only dense layers and activations, without hooks."""
    first = modules[0]
    return (
        type(first) is IntegralLinear
        and first.in_axis is None
        and all(
            module.in_repeat == 1 if type(module) is IntegralLinear else type(module) in ELEMENTWISE
            for module in modules
        )
        and not has_hooks(modules)
    )


def _run_at(size: Size, inputs: Tensor, modules: Sequence[nn.Module], axes: Axes) -> Tensor:
    with axes.resized(size):
        for module in modules:
            inputs = module(inputs)
        return inputs


def _run_side_by_side(
    inputs: Tensor, modules: Sequence[nn.Module], parameters: Sequence[Parameters]
) -> Tensor:
    remaining = iter(parameters)
    for module in modules:
        is_layer = type(module) is IntegralLinear
        inputs = F.linear(inputs, *next(remaining)) if is_layer else module(inputs)
    return inputs
