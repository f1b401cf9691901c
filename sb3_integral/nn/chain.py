"""MLPs as the engine runs them: dense integral layers, each followed by an activation or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from sb3_integral.nn.activations import ACTIVATIONS, Activation
from sb3_integral.nn.axis import Axes
from sb3_integral.nn.engine import own_tensors, run_layers
from sb3_integral.nn.linear import IntegralLinear
from sb3_integral.nn.sizes import Size


class Chain(NamedTuple):
    """Dense integral layers and activations.

    Attributes:
        modules: Layers and activations in turn.
        layers: The layers.
        activations: What follows each of them.
    """

    modules: tuple[nn.Module, ...]
    layers: tuple[IntegralLinear, ...]
    activations: tuple[Activation | None, ...]

    def can_run(self, inputs: object, like: Tensor) -> bool:
        """Whether the engine gives identical results: no hooks, no autocast, a batch of that dtype.

        Args:
            inputs: What the modules are to be called with.
            like: One of the parameters.
        """
        if (
            not isinstance(inputs, Tensor)
            or inputs.dim() != 2
            or inputs.dtype != like.dtype
            or torch.is_autocast_enabled(like.device.type)
        ):
            return False
        return not has_global_hooks() and not any(map(has_hooks, self.modules))


def has_hooks(module: nn.Module) -> bool:
    """Whether a module's call does more than its ``forward``."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


def has_global_hooks() -> bool:
    """Whether the calls of all modules do more than their ``forward``."""
    return bool(
        torch_module._global_forward_hooks
        or torch_module._global_forward_pre_hooks
        or torch_module._global_backward_hooks
        or torch_module._global_backward_pre_hooks
    )


def find_chain(modules: Sequence[nn.Module]) -> Chain | None:
    """Return modules that are run one after the other as a chain, or None where they are none."""
    layers: list[IntegralLinear] = []
    activations: list[Activation | None] = []
    for module in modules:
        if type(module) is IntegralLinear and module.in_repeat == 1:
            layers.append(module)
            activations.append(None)
        elif type(module) in ACTIVATIONS and activations and activations[-1] is None:
            activations[-1] = ACTIVATIONS[type(module)]
        else:
            return None
    return Chain(tuple(modules), tuple(layers), tuple(activations)) if layers else None


def run_at_sizes(
    inputs: Tensor, modules: Sequence[nn.Module], axes: Axes, sizes: Sequence[Size]
) -> list[Tensor]:
    """Run layers and activations in turn at each of several sizes, differentiably.

    An MLP is run as one step of autograd, and its axes are not resized; anything else is run size by
    size, and its axes have their own sizes again when the call returns.

    Args:
        inputs: Shape: (batch, in).
        modules: The modules to run, one after the other.
        axes: Those of the layers.
        sizes: As for :meth:`Axes.resize`.

    Returns:
        A tensor for each size. Shapes: (batch, out).

    Raises:
        ValueError: If a size is not a positive integer or their number is wrong.
    """
    placements = [axes.placements(size) for size in sizes]
    chain = find_chain(modules)
    if chain is None or not chain.can_run(inputs, chain.layers[0].weight):
        return _size_by_size(inputs, modules, axes, sizes)
    plans = [[layer.plan(at) for layer in chain.layers] for at in placements]
    packed, packing = own_tensors(plans, [layer.tensors() for layer in chain.layers])
    return run_layers(inputs, plans, chain.activations, packed, packing)


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
