"""The whole pass of an MLP as one step of autograd, sampling included.

For networks as small as policies the steps of autograd cost more than their arithmetic; there are
ten in an MLP of two hidden layers, and the samples of its weights would be more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sb3_integral.nn.linear import IntegralLinear
from sb3_integral.nn.sampling import Plan, sample_flat

aten = torch.ops.aten


class Activation(NamedTuple):
    """An activation whose derivative follows from its output.

    Attributes:
        forward: The activation.
        forward_: The activation, in place.
        backward_: Takes the gradient of the output, and the output, to the gradient of the input, in
            the place of the first.
    """

    forward: Callable[[Tensor], Tensor]
    forward_: Callable[[Tensor], Tensor]
    backward_: Callable[[Tensor, Tensor], Tensor]


def _relu_backward_(gradient: Tensor, output: Tensor) -> Tensor:
    aten.threshold_backward.grad_input(gradient, output, 0, grad_input=gradient)
    return gradient


def _tanh_backward_(gradient: Tensor, output: Tensor) -> Tensor:
    aten.tanh_backward.grad_input(gradient, output, grad_input=gradient)
    return gradient


def _sigmoid_backward_(gradient: Tensor, output: Tensor) -> Tensor:
    aten.sigmoid_backward.grad_input(gradient, output, grad_input=gradient)
    return gradient


ACTIVATIONS: dict[type[nn.Module], Activation] = {
    nn.ReLU: Activation(torch.relu, torch.relu_, _relu_backward_),
    nn.Tanh: Activation(torch.tanh, torch.tanh_, _tanh_backward_),
    nn.Sigmoid: Activation(torch.sigmoid, torch.sigmoid_, _sigmoid_backward_),
}


class Chain(NamedTuple):
    """Dense integral layers with an activation between each and the next.

    Attributes:
        modules: Layers and activations in turn.
        activations: How to compute those between the layers.
    """

    modules: tuple[nn.Module, ...]
    activations: tuple[Activation, ...]

    def can_run(self, inputs: object, flat: Tensor, module: nn.Module) -> bool:
        """Whether nobody would notice but by the clock.

        Args:
            inputs: What a module is to be called with.
            flat: The chain's parameters.
            module: What this chain was found in. It may have changed, or be watched by hooks.
        """
        if (
            type(inputs) is not Tensor
            or inputs.dim() != 2
            or inputs.dtype != flat.dtype
            or tuple(module._modules.values()) != self.modules
            or torch.is_autocast_enabled(flat.device.type)
        ):
            return False
        for part in (module, *self.modules):
            if (
                part._forward_hooks
                or part._forward_pre_hooks
                or part._backward_hooks
                or part._backward_pre_hooks
            ):
                return False
        return True


def find_chain(module: nn.Module) -> Chain | None:
    """Return a module as a chain, or None where it is anything else."""
    return chain_of(tuple(module)) if type(module) is nn.Sequential else None


def chain_of(modules: Sequence[nn.Module]) -> Chain | None:
    """Return modules that are run one after the other as a chain, or None where they are none."""
    parts = tuple(modules)
    layers, between = parts[::2], parts[1::2]
    if len(layers) != len(between) + 1:
        return None
    if any(type(layer) is not IntegralLinear or layer.in_repeat != 1 for layer in layers):
        return None
    if any(type(part) not in ACTIVATIONS for part in between):
        return None
    return Chain(parts, tuple(ACTIVATIONS[type(part)] for part in between))


def run_chain(
    inputs: Tensor, parameters: Sequence[tuple[Tensor, Tensor | None]], chain: Chain
) -> Tensor:
    """Run a chain with given discrete weights and biases.

    Args:
        inputs: Shape: (batch, in).
        parameters: Weight and bias of each layer.
        chain: What to run.

    Returns:
        Shape: (batch, out).
    """
    values = F.linear(inputs, *parameters[0])
    for activation, (weight, bias) in zip(chain.activations, parameters[1:], strict=True):
        values = F.linear(activation.forward(values), weight, bias)
    return values


def train_chain(inputs: Tensor, flat: Tensor, plan: Plan, chain: Chain) -> Tensor:
    """Sample the weights of a chain and run it, differentiably.

    Args:
        inputs: Shape: (batch, in).
        flat: All weights and biases of the chain. Shape: (elements,).
        plan: How to sample them, with matrices that are not being learned.
        chain: What to run.

    Returns:
        Shape: (batch, out).
    """
    outputs: Tensor = _Train.apply(inputs, flat, plan, chain)  # type: ignore[no-untyped-call]
    return outputs


class _Train(torch.autograd.Function):
    # Written out rather than in terms of what sample_flat uses: a whole training step takes some 400 µs
    # at a batch of 32, and each call within it half of one.

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, flat: Tensor, plan: Plan, chain: Chain) -> Tensor:
        ctx.plan, ctx.chain, activations = plan, chain, chain.activations
        saved = [flat, inputs]
        weights = []
        values, last = inputs, len(activations)
        for index, (piece, bias) in enumerate(plan.layers):
            weight, left, right = piece.nodes, piece.left, piece.right
            if left is not None:
                weight = torch.mm(left, weight)
            if right is not None:
                weight = torch.mm(weight, right)
            weights.append(weight)
            if bias is None:
                values = torch.mm(values, weight.t())
            else:
                sampled = bias.nodes if left is None else torch.mv(left, bias.nodes)
                values = torch.addmm(sampled, values, weight.t())
            if index < last:
                values = activations[index].forward_(values)
                saved.append(values)
        ctx.save_for_backward(*saved, *weights)
        return values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        saved, layers, activations = ctx.saved_tensors, ctx.plan.layers, ctx.chain.activations
        if torch.is_grad_enabled():
            # Somebody wants the gradient's gradient, for which each operation has to be seen.
            return *_traced_gradients(ctx, saved[1], saved[0], gradient), None, None
        n_layers = len(layers)
        values, weights = saved[1 : n_layers + 1], saved[n_layers + 1 :]
        parts: list[Tensor] = []
        for index in range(n_layers - 1, -1, -1):
            if index < n_layers - 1:
                gradient = torch.mm(gradient, weights[index + 1])
                gradient = activations[index].backward_(gradient, values[index + 1])
            piece, bias = layers[index]
            left, right = piece.left_transposed, piece.right_transposed
            if bias is not None:
                to_bias = gradient.sum(0)
                parts.append(to_bias if left is None else torch.mv(left, to_bias))
            to_weight = torch.mm(gradient.t(), values[index])
            if left is not None:
                to_weight = torch.mm(left, to_weight)
            if right is not None:
                to_weight = torch.mm(to_weight, right)
            parts.append(to_weight.view(-1))
        to_inputs = torch.mm(gradient, weights[0]) if ctx.needs_input_grad[0] else None
        parts.reverse()
        return to_inputs, torch.cat(parts), None, None


def _traced_gradients(
    ctx: Any, inputs: Tensor, flat: Tensor, gradient: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    to_inputs, to_flat = ctx.needs_input_grad[:2]
    sampled = iter(sample_flat(flat, ctx.plan))
    parameters = [
        (next(sampled), None if bias is None else next(sampled)) for _, bias in ctx.plan.layers
    ]
    outputs = run_chain(inputs, parameters, ctx.chain)
    wanted = [tensor for tensor, is_wanted in ((inputs, to_inputs), (flat, to_flat)) if is_wanted]
    gradients = iter(torch.autograd.grad(outputs, wanted, gradient, create_graph=True))
    return next(gradients) if to_inputs else None, next(gradients) if to_flat else None
