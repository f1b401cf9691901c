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
from sb3_integral.nn.engine import Parameters, needs_tracing, sample_together
from sb3_integral.nn.linear import IntegralLinear
from sb3_integral.nn.plan import Tensors
from sb3_integral.nn.sizes import Size
from sb3_integral.nn.tables import Plans, Table

LARGEST_GATHERED = 4096
"""The most weights of a layer that are gathered by index. For more of them strided sums are faster."""

LARGEST_MERGED = 1024
"""The most weights of a layer of a network that is merged with others."""

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

    An MLP runs at all small sizes as one block-diagonal network, for these cost time and not arithmetic.
    Other modules run size by size. The axes have their own sizes again afterwards.

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
    plans = [tuple([layer.plan(at) for layer in layers]) for at in placements]
    if any(plan.is_learned for at_size in plans for plan in at_size):
        return [_run_at(size, inputs, modules, axes) for size in sizes]
    return _run_together(
        inputs, modules, plans, [layer.tensors() for layer in layers] if tensors is None else tensors()
    )


def _run_together(
    inputs: Tensor,
    modules: Sequence[nn.Module],
    sizes: Sequence[Plans],
    tensors: Sequence[Tensors],
) -> list[Tensor]:
    """Run an MLP at several sizes, whose parameters are computed in one step of autograd."""
    costs = [_cost_of_gathering(plans) for plans in sizes]
    by_cost = sorted(range(len(sizes)), key=costs.__getitem__)
    # The largest runs alone. The others are sorted, so that few combinations have to be merged.
    # A weight function has to see the weight of one size.
    layers = [module for module in modules if type(module) is IntegralLinear]
    is_separate = any(layer.weight_function is not None for layer in layers)
    merged = [n for n in by_cost[:-1] if costs[n] <= LARGEST_MERGED and not is_separate]
    strided = [[n] for n in by_cost if costs[n] > LARGEST_GATHERED or len(sizes) == 1]
    gathered = [[n] for n in by_cost if n not in merged and [n] not in strided]
    gathered += [merged] * bool(merged)
    tables = [Table.from_plans([sizes[n] for n in group], tensors) for group in gathered]
    networks = sample_together([sizes[n] for (n,) in strided], tables, tensors)
    outputs: dict[int, Tensor] = {}
    for group, parameters in zip(strided + gathered, networks, strict=True):
        values = _run(inputs, modules, parameters)
        widths = [sizes[n][-1].weight.shape[0] for n in group]
        outputs |= zip(group, values.split(widths, dim=-1), strict=True)
    return [outputs[n] for n in range(len(sizes))]


def _cost_of_gathering(plans: Plans) -> float:
    """Return the weights of the largest layer; infinite if they are no parts of its tensors."""
    functions = [function for plan in plans for function in plan.functions]
    if any(function.has_matrices for function in functions):
        return math.inf
    return max(math.prod(function.shape) for function in functions)


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


def _run(inputs: Tensor, modules: Sequence[nn.Module], parameters: Sequence[Parameters]) -> Tensor:
    remaining = iter(parameters)
    for module in modules:
        if type(module) is not IntegralLinear:
            inputs = module(inputs)
            continue
        weight, bias = next(remaining)
        function = module.weight_function
        inputs = F.linear(inputs, weight if function is None else function(weight), bias)
    return inputs
