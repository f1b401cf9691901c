"""The engine: weights of several layers, or whole passes of an MLP, as one step of autograd.

For networks as small as policies the steps of autograd cost more than their arithmetic. There are ten in
an MLP of two hidden layers; sampling its weights, adding their corrections and doing so at several sizes
would be dozens more. Wherever one step could be noticed by anything but the clock (torch's compilers,
``torch.func``, forward-mode differentiation, points that are being learned), the same plans are
computed by ordinary operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F

from sb3_integral.nn.activations import Activation
from sb3_integral.nn.plan import LayerPlan, add_gradient, sampled, traced

Parameters = tuple[Tensor, Tensor | None]
"""A discrete weight and its bias."""

Numbered = Mapping[int, Tensor]
"""The tensors of a layer that count, by number."""


class Packing(NamedTuple):
    """Where the tensors of layers lie: each alone, or the first ones one behind the other in one.

    Attributes:
        places: The layer and the number of each tensor, in order.
        flat_shapes: Shapes of those that lie in one; empty if none do.
        prepared: What :meth:`unpack` returns of those that lie in one, without history; empty where it
            is not prepared.
    """

    places: tuple[tuple[int, int], ...]
    flat_shapes: tuple[torch.Size, ...] = ()
    prepared: tuple[dict[int, Tensor], ...] = ()

    def unpack(self, packed: Sequence[Tensor], *, is_traced: bool = False) -> Sequence[Numbered]:
        """Return the tensors of each layer by number."""
        if self.prepared and not is_traced:
            if len(packed) == 1:
                return self.prepared
            with_corrections = [dict(tensors) for tensors in self.prepared]
            corrections = self.places[len(self.flat_shapes) :]
            for (layer, number), tensor in zip(corrections, packed[1:], strict=True):
                with_corrections[layer][number] = tensor
            return with_corrections
        tensors: Sequence[Tensor] = packed
        if self.flat_shapes:
            tensors = [*self.split(packed[0]), *packed[1:]]
        layers: list[dict[int, Tensor]] = [{} for _ in range(self.places[-1][0] + 1)]
        for (layer, number), tensor in zip(self.places, tensors, strict=True):
            layers[layer][number] = tensor
        return layers

    def split(self, flat: Tensor) -> list[Tensor]:
        """Return the tensors that lie in a flat one, as views of it."""
        parts = flat.split([math.prod(shape) for shape in self.flat_shapes])
        return [part.view(shape) for part, shape in zip(parts, self.flat_shapes, strict=True)]

    def pack(
        self, gradients: Sequence[Mapping[int, Tensor]], packed: Sequence[Tensor]
    ) -> list[Tensor | None]:
        """Return the gradients of what :meth:`unpack` took, from those of what it returned."""
        each = [gradients[layer].get(number) for layer, number in self.places]
        n_flat = len(self.flat_shapes)
        if not n_flat:
            return each
        pairs = zip(each[:n_flat], self.flat_shapes, strict=True)
        parts = [
            packed[0].new_zeros(math.prod(shape)) if part is None else part.reshape(-1)
            for part, shape in pairs
        ]
        return [torch.cat(parts), *each[n_flat:]]


def own_tensors(
    plans: Sequence[Sequence[LayerPlan]], tensors: Sequence[Sequence[Tensor | None]]
) -> tuple[list[Tensor], Packing]:
    """Return the tensors that count in any of several plans of the same layers, each alone.

    Args:
        plans: The plan of each layer, at each size.
        tensors: All tensors of each layer, by number.
    """
    packed, places = [], []
    for layer, at_sizes in enumerate(zip(*plans, strict=True)):
        for number in sorted({number for plan in at_sizes for number in plan.sources}):
            tensor = tensors[layer][number]
            assert tensor is not None
            packed.append(tensor)
            places.append((layer, number))
    return packed, Packing(tuple(places))


def must_be_traced(plans: Sequence[LayerPlan] = ()) -> bool:
    """Whether each operation has to be an ordinary one, which torch can follow."""
    return (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or any(plan.is_learned for plan in plans)
    )


def sample_layers(
    plans: Sequence[LayerPlan], packed: Sequence[Tensor], packing: Packing
) -> list[Parameters]:
    """Return the weights, as (out, in, ...), and biases of layers at one size, differentiably.

    Args:
        plans: The plan of each layer.
        packed: The tensors that count.
        packing: Where they lie.
    """
    if torch.is_autocast_enabled(packed[0].device.type):
        # Weights keep their dtype: autocast lowers that of what is computed with them.
        with torch.autocast(packed[0].device.type, enabled=False):
            return sample_layers(plans, packed, packing)
    if must_be_traced(plans):
        return _parameters(plans, packing.unpack(packed, is_traced=True), traced)
    if not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in packed):
        return _parameters(plans, packing.unpack(packed), sampled)
    results = iter(_Sample.apply(plans, packing, *packed))  # type: ignore[no-untyped-call]
    return [(next(results), None if plan.bias is None else next(results)) for plan in plans]


def run_layers(
    inputs: Tensor,
    plans: Sequence[Sequence[LayerPlan]],
    activations: Sequence[Activation | None],
    packed: Sequence[Tensor],
    packing: Packing,
) -> list[Tensor]:
    """Run dense layers and activations in turn at each of several sizes, differentiably.

    Args:
        inputs: Shape: (batch, in).
        plans: The plan of each layer, at each size.
        activations: What follows each layer.
        packed: The tensors that count.
        packing: Where they lie.

    Returns:
        A tensor for each size. Shapes: (batch, out).
    """
    if must_be_traced([plan for at_size in plans for plan in at_size]):
        unpacked = packing.unpack(packed, is_traced=True)
        return [
            run_parameters(inputs, _parameters(at_size, unpacked, traced), activations)
            for at_size in plans
        ]
    results: tuple[Tensor, ...] = _Run.apply(  # type: ignore[no-untyped-call]
        inputs, plans, activations, packing, *packed
    )
    return list(results)


def run_parameters(
    inputs: Tensor, parameters: Sequence[Parameters], activations: Sequence[Activation | None]
) -> Tensor:
    """Run dense layers with given discrete weights and biases, and activations, in turn.

    Args:
        inputs: Shape: (batch, in).
        parameters: Weight and bias of each layer.
        activations: What follows each layer.

    Returns:
        Shape: (batch, out).
    """
    values = inputs
    for (weight, bias), activation in zip(parameters, activations, strict=True):
        values = F.linear(values, weight, bias)
        if activation is not None:
            values = activation.forward(values)
    return values


def _parameters(
    plans: Sequence[LayerPlan], layers: Sequence[Numbered], compute: Callable[..., Tensor]
) -> list[Parameters]:
    return [
        (compute(plan.weight, tensors), None if plan.bias is None else compute(plan.bias, tensors))
        for plan, tensors in zip(plans, layers, strict=True)
    ]


class _Sample(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, plans: Sequence[LayerPlan], packing: Packing, *packed: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.plans, ctx.packing = plans, packing
        ctx.save_for_backward(*packed)
        both = _parameters(plans, packing.unpack(packed), sampled)
        # Detached, for some are views of what came in.
        return tuple([each.detach() for pair in both for each in pair if each is not None])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        packed, packing = ctx.saved_tensors, ctx.packing
        if torch.is_grad_enabled():

            def again() -> list[Tensor]:
                both = _parameters(ctx.plans, packing.unpack(packed, is_traced=True), traced)
                return [each for pair in both for each in pair if each is not None]

            return None, None, *_traced_gradients(again, packed, ctx.needs_input_grad[2:], gradients)
        layers = packing.unpack(packed)
        found: list[dict[int, Tensor]] = [{} for _ in layers]
        remaining = iter(gradients)
        for plan, tensors, to_tensors in zip(ctx.plans, layers, found, strict=True):
            add_gradient(plan.weight, _like(next(remaining), tensors[0]), tensors, to_tensors)
            if plan.bias is not None:
                add_gradient(plan.bias, _like(next(remaining), tensors[1]), tensors, to_tensors)
        return None, None, *packing.pack(found, packed)


class _Run(torch.autograd.Function):
    # Written out where it costs nothing but lines: a whole training step takes some 400 µs at a batch of
    # 32, and each call within it half of one.

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        plans: Sequence[Sequence[LayerPlan]],
        activations: Sequence[Activation | None],
        packing: Packing,
        *packed: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.plans, ctx.activations, ctx.packing = plans, activations, packing
        layers = packing.unpack(packed)
        outputs, kept = [], []
        for at_size in plans:
            values = inputs
            for plan, tensors, activation in zip(at_size, layers, activations, strict=True):
                weight = tensors[0] if plan.is_identity else sampled(plan.weight, tensors)
                if plan.bias is None:
                    values = torch.mm(values, weight.t())
                else:
                    bias = tensors[1] if plan.is_identity else sampled(plan.bias, tensors)
                    values = torch.addmm(bias, values, weight.t())
                if activation is not None:
                    values = activation.forward_(values)
                kept += [weight, values]
            outputs.append(values)
        ctx.save_for_backward(inputs, *packed, *kept)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        plans, activations, packing = ctx.plans, ctx.activations, ctx.packing
        n_layers = len(activations)
        saved = ctx.saved_tensors
        n_packed = len(saved) - 1 - 2 * n_layers * len(plans)
        inputs, packed, kept = saved[0], saved[1 : n_packed + 1], saved[n_packed + 1 :]
        needs_inputs = ctx.needs_input_grad[0]
        if torch.is_grad_enabled():

            def again() -> list[Tensor]:
                layers = packing.unpack(packed, is_traced=True)
                both = [_parameters(at_size, layers, traced) for at_size in plans]
                return [run_parameters(inputs, parameters, activations) for parameters in both]

            needed = (needs_inputs, *ctx.needs_input_grad[4:])
            to_inputs, *to_packed = _traced_gradients(again, (inputs, *packed), needed, gradients)
            return to_inputs, None, None, None, *to_packed
        layers = packing.unpack(packed)
        found: list[dict[int, Tensor]] = [{} for _ in layers]
        to_inputs = None
        # The last size first: in the order in which autograd would add up the gradients.
        for number in range(len(plans) - 1, -1, -1):
            gradient = gradients[number]
            weights_and_values = kept[2 * n_layers * number : 2 * n_layers * (number + 1)]
            for index in range(n_layers - 1, -1, -1):
                weight, values = weights_and_values[2 * index : 2 * index + 2]
                activation, plan = activations[index], plans[number][index]
                if activation is not None:
                    # In place, except on the gradient of the output, which is not ours.
                    is_own = index < n_layers - 1
                    gradient = activation.backward_(gradient if is_own else gradient.clone(), values)
                before = weights_and_values[2 * index - 1] if index else inputs
                if weight.is_contiguous():
                    to_weight = torch.mm(gradient.t(), before)
                else:  # a view of a larger one: as autograd would
                    to_weight = torch.mm(before.t(), gradient).t()
                add_gradient(plan.weight, to_weight, layers[index], found[index])
                if plan.bias is not None:
                    add_gradient(plan.bias, gradient.sum(0), layers[index], found[index])
                if index or needs_inputs:
                    gradient = torch.mm(gradient, weight)
            if needs_inputs:
                to_inputs = gradient if to_inputs is None else to_inputs + gradient
        return to_inputs, None, None, None, *packing.pack(found, packed)


def _like(gradient: Tensor, tensor: Tensor) -> Tensor:
    return gradient if gradient.dtype == tensor.dtype else gradient.to(tensor.dtype)


def _traced_gradients(
    again: Callable[[], list[Tensor]],
    tensors: Sequence[Tensor],
    needed: Sequence[bool],
    gradients: Sequence[Tensor],
) -> list[Tensor | None]:
    """Return gradients that can be differentiated again.

    Args:
        again: Computes the outputs by ordinary operations.
        tensors: What they depend on.
        needed: Whether the gradient of each tensor is needed.
        gradients: Those of the outputs.
    """
    wanted = [tensor for tensor, is_needed in zip(tensors, needed, strict=True) if is_needed]
    found = iter(torch.autograd.grad(again(), wanted, gradients, create_graph=True, allow_unused=True))
    return [next(found) if is_needed else None for is_needed in needed]
