"""The passes of an MLP at several sizes as one step of autograd, its corrections included.

A batch that is seen at several sizes in one training step would be sampled, run and differentiated as
often, and the gradient of each small weight would be padded to full size and added to the others. Here
what the sizes have in common is done once, and each gradient is added where it belongs.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from sb3_integral.nn.axis import Axes
from sb3_integral.nn.fused import Activation, Chain, chain_of, run_chain
from sb3_integral.nn.linear import IntegralLinear
from sb3_integral.nn.scale import ScaleCorrections, beginning
from sb3_integral.nn.sizes import Size, as_sizes


class Term(NamedTuple):
    """A tensor that counts in a layer's weight or bias at one size.

    Attributes:
        number: Which tensor.
        factor: How much it counts.
        shape: How much of it, from its beginning, counts.
    """

    number: int
    factor: float
    shape: tuple[int, ...]


class Part(NamedTuple):
    """A layer at one size.

    Attributes:
        weight: What its weight is the sum of.
        bias: Likewise; empty if there is none.
    """

    weight: tuple[Term, ...]
    bias: tuple[Term, ...]


class Plan(NamedTuple):
    """An MLP at one size.

    Attributes:
        parts: Its layers.
        numbers: The tensors that count.
    """

    parts: tuple[Part, ...]
    numbers: frozenset[int]


class Prepared:
    """An MLP and what was found out of it at each size, which is kept from one step to the next.

    Args:
        chain: The MLP.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.layers = [module for module in chain.modules if isinstance(module, IntegralLinear)]
        self.tensors = _tensors(self.layers)
        self.plans: dict[tuple[int, ...], Plan] = {}

    def is_of(self, modules: Sequence[nn.Module]) -> bool:
        """Whether these are still the modules, and their tensors the same."""
        return self.chain.modules == tuple(modules) and _are_the_same(
            self.tensors, _tensors(self.layers)
        )

    def plan(self, axes: Axes, size: Size) -> Plan | None:
        """Return the layers at a size; None if it is beyond an axis' grid.

        Raises:
            ValueError: If it is not a positive integer for each axis.
        """
        sizes = as_sizes(size, len(axes))
        plan = self.plans.get(sizes)
        if plan is None:
            if any(entry > axis.grid_size for entry, axis in zip(sizes, axes, strict=True)):
                return None
            numbers = {id(tensor): number for number, tensor in enumerate(self.tensors)}
            with axes.resized(size):
                parts = tuple([_part(layer, numbers) for layer in self.layers])
            terms = [term for part in parts for term in (*part.weight, *part.bias)]
            plan = self.plans[sizes] = Plan(parts, frozenset(term.number for term in terms))
        return plan


def _tensors(layers: Sequence[IntegralLinear]) -> tuple[Tensor, ...]:
    """Return all parameters of layers; faster than ``parameters()``, for it happens in every step."""
    tensors: list[Tensor | None] = []
    for layer in layers:
        tensors += layer._parameters.values()
        corrections = layer._modules.get("corrections")
        if isinstance(corrections, ScaleCorrections):
            tensors += corrections.weights._parameters.values()
            tensors += corrections.biases._parameters.values()
    return tuple([tensor for tensor in tensors if tensor is not None])


def _are_the_same(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return len(tensors) == len(others) and all(map(operator.is_, tensors, others))


_prepared: WeakKeyDictionary[Axes, Prepared] = WeakKeyDictionary()


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
    prepared = _prepared.get(axes)
    if prepared is None or not prepared.is_of(modules):
        chain = chain_of(modules)
        if chain is None:
            return _size_by_size(inputs, modules, axes, sizes)
        prepared = _prepared[axes] = Prepared(chain)
    plans: list[Plan] = []
    for size in sizes if _can_run(prepared.chain, inputs) else ():
        plan = prepared.plan(axes, size)
        if plan is not None:
            plans.append(plan)
    if len(plans) < len(sizes):
        return _size_by_size(inputs, modules, axes, sizes)
    # Only those that count: each costs, used or not.
    numbers = sorted(frozenset().union(*(plan.numbers for plan in plans)))
    tensors = [prepared.tensors[number] for number in numbers]
    results: tuple[Tensor, ...] = _AtSizes.apply(  # type: ignore[no-untyped-call]
        inputs, [plan.parts for plan in plans], prepared.chain, numbers, *tensors
    )
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


def _part(layer: IntegralLinear, numbers: dict[int, int]) -> Part:
    """Return a layer at the size in force.

    Args:
        layer: The layer.
        numbers: The number of each tensor, by its id.
    """
    weight, bias = layer.weight, layer.bias
    levels = layer.levels(*(None if axis is None else axis.placement for axis in layer._axes))
    ends = (layer.out_axis, layer.in_axis)
    size = tuple(
        features if axis is None else axis.size
        for features, axis in zip(weight.shape, ends, strict=True)
    )

    def term(tensor: Tensor, factor: float) -> Term:
        shape = tuple(min(pair) for pair in zip(size, tensor.shape, strict=False))
        return Term(numbers[id(tensor)], factor, shape)

    return Part(
        (term(weight, 1.0), *(term(level.weight, level.factor) for level in levels)),
        ()
        if bias is None
        else (
            term(bias, 1.0),
            *(term(level.bias, level.factor) for level in levels if level.bias is not None),
        ),
    )


class _AtSizes(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        plans: list[tuple[Part, ...]],
        chain: Chain,
        numbers: list[int],
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.plans, ctx.chain, ctx.numbers = plans, chain, numbers
        numbered = dict(zip(numbers, tensors, strict=True))
        outputs, hidden, weights = [], [], []
        for plan in plans:
            values = inputs
            for index, part in enumerate(plan):
                weight = _summed(part.weight, numbered)
                weights.append(weight)
                if part.bias:
                    values = torch.addmm(_summed(part.bias, numbered), values, weight.t())
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
        numbered = dict(zip(ctx.numbers, tensors, strict=True))
        to_numbered: dict[int, Tensor] = {}
        # The last size first: in the order in which autograd would add up the gradients.
        for number in range(len(plans) - 1, -1, -1):
            gradient = gradients[number]
            values = [inputs, *hidden[number * (n_layers - 1) : (number + 1) * (n_layers - 1)]]
            for index in range(n_layers - 1, -1, -1):
                if index < n_layers - 1:
                    weight = weights[number * n_layers + index + 1]
                    gradient = _through(activations[index], gradient, weight, values[index + 1])
                part = plans[number][index]
                if weights[number * n_layers + index].is_contiguous():
                    to_weight = torch.mm(gradient.t(), values[index])
                else:  # a view of a larger one: as autograd would
                    to_weight = torch.mm(values[index].t(), gradient).t()
                _add(to_weight, part.weight, numbered, to_numbered)
                if part.bias:
                    _add(gradient.sum(0), part.bias, numbered, to_numbered)
            if ctx.needs_input_grad[0]:
                to_these = torch.mm(gradient, weights[number * n_layers])
                to_inputs = to_these if to_inputs is None else to_inputs + to_these
        return to_inputs, None, None, None, *[to_numbered.get(number) for number in ctx.numbers]


def _beginning(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return a view of the beginning of a tensor, in one operation."""
    return tensor if tensor.shape == shape else tensor.as_strided(shape, tensor.stride())


def _summed(terms: Sequence[Term], tensors: Mapping[int, Tensor]) -> Tensor:
    first, *others = terms
    total = _beginning(tensors[first.number], first.shape)
    for place, (number, factor, shape) in enumerate(others):
        part = _beginning(tensors[number], shape)
        if shape != first.shape:
            total = total.clone() if place == 0 else total
            _beginning(total, shape).add_(part, alpha=factor)
        elif place == 0:
            total = torch.add(total, part, alpha=factor)
        else:
            total.add_(part, alpha=factor)
    return total


def _through(activation: Activation, gradient: Tensor, weight: Tensor, output: Tensor) -> Tensor:
    """Return the gradient of what an activation took, from that of the next layer's output."""
    return activation.backward_(torch.mm(gradient, weight), output)


def _add(
    gradient: Tensor,
    terms: Sequence[Term],
    tensors: Mapping[int, Tensor],
    to_tensors: dict[int, Tensor],
) -> None:
    """Add the gradient of a sum to those of its terms."""
    for number, factor, shape in terms:
        part = _beginning(gradient, shape)
        if factor != 1.0:
            part = part * factor
        there = to_tensors.get(number)
        if there is None:
            whole = tensors[number].shape
            if shape == whole:
                to_tensors[number] = part
                continue
            there = to_tensors[number] = part.new_zeros(whole)
        _beginning(there, shape).add_(part)


def _traced_gradients(
    ctx: Any, inputs: Tensor, tensors: Sequence[Tensor], gradients: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    outputs, numbered = [], dict(zip(ctx.numbers, tensors, strict=True))
    for plan in ctx.plans:
        parameters = [
            (_traced_sum(part.weight, numbered), _traced_sum(part.bias, numbered) if part.bias else None)
            for part in plan
        ]
        outputs.append(run_chain(inputs, parameters, ctx.chain))
    needed = (ctx.needs_input_grad[0], *ctx.needs_input_grad[4:])
    wanted = [tensor for tensor, is_needed in zip((inputs, *tensors), needed, strict=True) if is_needed]
    found = iter(torch.autograd.grad(outputs, wanted, gradients, create_graph=True, allow_unused=True))
    to_inputs, *to_tensors = [next(found) if is_needed else None for is_needed in needed]
    return to_inputs, None, None, None, *to_tensors


def _traced_sum(terms: Sequence[Term], tensors: Mapping[int, Tensor]) -> Tensor:
    """Return what :func:`_summed` does, by operations that autograd sees."""
    first, *others = terms
    total = beginning(tensors[first.number], first.shape)
    for number, factor, shape in others:
        padding: list[int] = []
        for wanted, there in zip(reversed(first.shape), reversed(shape), strict=True):
            padding += (0, wanted - there)
        total = total + nn.functional.pad(beginning(tensors[number], shape) * factor, padding)
    return total
