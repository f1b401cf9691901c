"""The passes of an MLP at several sizes as one step of autograd, its corrections included.

A batch that is seen at several sizes in one training step would be sampled, run and differentiated as
often, and the gradient of each small weight would be padded to full size and added to the others. Here
what the sizes have in common is done once, and each gradient is added where it belongs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sb3_integral.nn.axis import Axes
from sb3_integral.nn.fused import Activation, Chain, chain_of, run_chain
from sb3_integral.nn.linear import IntegralLinear
from sb3_integral.nn.scale import beginning, sum_of_beginnings
from sb3_integral.nn.sizes import Size


class Part(NamedTuple):
    """A layer at one size.

    Attributes:
        size: Of the weight. Shape: (out, in).
        weights: Which tensors the weight is the sum of, as indices, and how much each counts.
        biases: Likewise for the bias; empty if there is none.
    """

    size: tuple[int, int]
    weights: tuple[tuple[int, float], ...]
    biases: tuple[tuple[int, float], ...]


def run_at_sizes(
    inputs: Tensor, modules: Sequence[nn.Module], axes: Axes, sizes: Sequence[Size]
) -> list[Tensor]:
    """Run layers and activations in turn at each of several sizes, differentiably.

    The axes have their own sizes again when the call returns. Whatever is not an MLP of dense layers on
    axes that nest is run size by size.

    Args:
        inputs: Shape: (batch, in).
        modules: What is run, one after the other.
        axes: Those of the layers.
        sizes: As for :meth:`Axes.resize`.

    Returns:
        A tensor for each size. Shapes: (batch, out).

    Raises:
        ValueError: If a size is not a positive integer or their number is wrong.
    """
    chain = chain_of(modules)
    if chain is None or not _can_run(chain, inputs):
        return _size_by_size(inputs, modules, axes, sizes)
    layers = [module for module in chain.modules if isinstance(module, IntegralLinear)]
    tensors: dict[Tensor, int] = {}
    plans = []
    for size in sizes:
        with axes.resized(size):
            if any(axis.prefix is None for axis in axes):  # beyond the grid
                return _size_by_size(inputs, modules, axes, sizes)
            plans.append(tuple([_part(layer, tensors) for layer in layers]))
    results: tuple[Tensor, ...] = _AtSizes.apply(inputs, tuple(plans), chain, *tensors)  # type: ignore[no-untyped-call]
    return list(results)


def _size_by_size(
    inputs: Tensor, modules: Sequence[nn.Module], axes: Axes, sizes: Sequence[Size]
) -> list[Tensor]:
    outputs = []
    for size in sizes:
        with axes.resized(size):
            values = inputs
            for module in modules:
                values = module(values)
            outputs.append(values)
    return outputs


def _can_run(chain: Chain, inputs: Tensor) -> bool:
    """Whether nobody would notice but by the clock."""
    if inputs.dim() != 2 or torch.is_autocast_enabled(inputs.device.type):
        return False
    for module in chain.modules:
        if (
            module._forward_hooks
            or module._forward_pre_hooks
            or module._backward_hooks
            or module._backward_pre_hooks
        ):
            return False
        if isinstance(module, IntegralLinear) and (
            module.weight.dtype != inputs.dtype
            or not all(axis is None or axis.nested for axis in module._axes)
        ):
            return False
    return True


def _part(layer: IntegralLinear, tensors: dict[Tensor, int]) -> Part:
    """Return a layer at the size in force, its tensors added to those that are there."""

    def indexed(terms: Sequence[tuple[Tensor, float]]) -> tuple[tuple[int, float], ...]:
        return tuple([(tensors.setdefault(tensor, len(tensors)), factor) for tensor, factor in terms])

    weight, bias, levels = layer.weight, layer.bias, layer.levels()
    out_axis, in_axis = layer.out_axis, layer.in_axis
    size = (
        weight.shape[0] if out_axis is None else out_axis.size,
        weight.shape[1] if in_axis is None else in_axis.size,
    )
    return Part(
        size,
        indexed([(weight, 1.0), *((level.weight, level.factor) for level in levels)]),
        ()
        if bias is None
        else indexed(
            [
                (bias, 1.0),
                *((level.bias, level.factor) for level in levels if level.bias is not None),
            ]
        ),
    )


class _AtSizes(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, plans: tuple[tuple[Part, ...], ...], chain: Chain, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.plans, ctx.chain = plans, chain
        outputs, hidden, weights = [], [], []
        for plan in plans:
            values = inputs
            for index, part in enumerate(plan):
                weight = _summed(part.weights, part.size, tensors)
                weights.append(weight)
                if part.biases:
                    bias = _summed(part.biases, part.size[:1], tensors)
                    values = torch.addmm(bias, values, weight.t())
                else:
                    values = torch.mm(values, weight.t())
                if index < len(plan) - 1:
                    values = chain.activations[index].forward_(values)
                    hidden.append(values)
            outputs.append(values)
        ctx.save_for_backward(inputs, *tensors, *hidden, *weights)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        plans, activations = ctx.plans, ctx.chain.activations
        n_layers = len(plans[0])
        n_hidden, n_weights = len(plans) * (n_layers - 1), len(plans) * n_layers
        inputs, *rest = ctx.saved_tensors
        tensors = rest[: len(rest) - n_hidden - n_weights]
        if torch.is_grad_enabled():
            # Somebody wants the gradient's gradient, for which each operation has to be seen.
            return _traced_gradients(ctx, inputs, tensors, gradients)
        hidden, weights = rest[len(tensors) : -n_weights], rest[-n_weights:]
        to_inputs: Tensor | None = None
        to_tensors: list[Tensor | None] = [None] * len(tensors)
        # The last size first: in the order in which autograd would add up the gradients.
        for number in range(len(plans) - 1, -1, -1):
            gradient = gradients[number]
            values = [inputs, *hidden[number * (n_layers - 1) : (number + 1) * (n_layers - 1)]]
            for index in range(n_layers - 1, -1, -1):
                if index < n_layers - 1:
                    weight = weights[number * n_layers + index + 1]
                    gradient = _through(activations[index], gradient, weight, values[index + 1])
                part = plans[number][index]
                _add(torch.mm(gradient.t(), values[index]), part.weights, tensors, to_tensors)
                if part.biases:
                    _add(gradient.sum(0), part.biases, tensors, to_tensors)
            if ctx.needs_input_grad[0]:
                to_these = torch.mm(gradient, weights[number * n_layers])
                to_inputs = to_these if to_inputs is None else to_inputs + to_these
        return to_inputs, None, None, *to_tensors


def _summed(
    terms: Sequence[tuple[int, float]], size: tuple[int, ...], tensors: Sequence[Tensor]
) -> Tensor:
    factors = [factor for _, factor in terms[1:]]
    return sum_of_beginnings([tensors[index] for index, _ in terms], size, factors)


def _through(activation: Activation, gradient: Tensor, weight: Tensor, output: Tensor) -> Tensor:
    """Return the gradient of what an activation took, from that of the next layer's output."""
    return activation.backward_(torch.mm(gradient, weight), output)


def _add(
    gradient: Tensor,
    terms: Sequence[tuple[int, float]],
    tensors: Sequence[Tensor],
    to_tensors: list[Tensor | None],
) -> None:
    """Add the gradient of a sum of beginnings to those of its terms."""
    for index, factor in terms:
        shape = tensors[index].shape
        part = beginning(gradient, shape)
        if factor != 1.0:
            part = part * factor
        there = to_tensors[index]
        if there is None:
            if part.shape == shape:
                to_tensors[index] = part
                continue
            there = to_tensors[index] = part.new_zeros(shape)
        beginning(there, part.shape).add_(part)


def _traced_gradients(
    ctx: Any, inputs: Tensor, tensors: Sequence[Tensor], gradients: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    outputs = []
    for plan in ctx.plans:
        parameters = [
            (
                _spelled_out(part.weights, part.size, tensors),
                _spelled_out(part.biases, part.size[:1], tensors) if part.biases else None,
            )
            for part in plan
        ]
        outputs.append(run_chain(inputs, parameters, ctx.chain))
    needed = (ctx.needs_input_grad[0], *ctx.needs_input_grad[3:])
    wanted = [tensor for tensor, is_needed in zip((inputs, *tensors), needed, strict=True) if is_needed]
    found = iter(torch.autograd.grad(outputs, wanted, gradients, create_graph=True, allow_unused=True))
    to_inputs, *to_tensors = [next(found) if is_needed else None for is_needed in needed]
    return to_inputs, None, None, *to_tensors


def _spelled_out(
    terms: Sequence[tuple[int, float]], size: tuple[int, ...], tensors: Sequence[Tensor]
) -> Tensor:
    """Return a sum of beginnings, of which each operation is seen by autograd."""
    total = beginning(tensors[terms[0][0]], size)
    for index, factor in terms[1:]:
        part = beginning(tensors[index], size) * factor
        padding: list[int] = []
        for wanted, there in zip(reversed(total.shape), reversed(part.shape), strict=True):
            padding += (0, wanted - there)
        total = total + nn.functional.pad(part, padding)
    return total
