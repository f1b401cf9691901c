"""Compute the discrete weights of layers in one autograd operation, at one size or several.

For networks as small as policies, autograd's overhead per operation costs more than the arithmetic.
Plain sampling takes a few operations for each layer. Corrections and several sizes would take dozens, so
a single autograd function computes them. Where that function is not supported (torch's compilers,
``torch.func``, forward-mode differentiation, points that are being learned), ordinary operations compute
the same plans.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from sb3_integral.nn.caching import ordinary_tensors
from sb3_integral.nn.plan import LayerPlan, Sampled, Tensors

Parameters = tuple[Tensor, Tensor | None]
"""A discrete weight, as (out, in, ...), and its bias."""


def needs_tracing() -> bool:
    """Whether torch has to trace each operation, which rules out a single autograd function."""
    return (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
    )


def sample_layers(plans: Sequence[LayerPlan], tensors: Sequence[Tensors]) -> list[Parameters]:
    """Return the discrete weights and biases of layers at one size, differentiably.

    Args:
        plans: The plan of each layer.
        tensors: The tensors of each layer.
    """
    if needs_tracing() or any(plan.is_learned for plan in plans):
        with _full_precision(tensors):
            return _each(plans, tensors, Sampled.trace)
    return sample_groups([[plans]], tensors)[0]


def sample_groups(
    groups: Sequence[Sequence[Sequence[LayerPlan]]], tensors: Sequence[Tensors]
) -> list[list[Parameters]]:
    """Return the weights and biases of dense layers that run several groups of sizes, differentiably.

    The networks of a group are merged into one. Its first weight stacks the rows of their first weights.
    Each later weight is block-diagonal.

    Args:
        groups: The plan of each layer, at each size of each group.
        tensors: The tensors of each layer.

    Returns:
        The parameters of each layer, for each group.
    """
    flat = [tensor for of_layer in tensors for tensor in of_layer]
    with _full_precision(tensors):
        if not torch.is_grad_enabled() or not any(t is not None and t.requires_grad for t in flat):
            return _by_group(iter(_compute(groups, tensors)), groups)
        if len(groups) == len(groups[0]) == 1 and all(
            len(function.terms) == 1 for plan in groups[0][0] for function in plan.functions
        ):
            return [_each(groups[0][0], tensors, Sampled.trace)]
        places = [
            (layer, source)
            for layer in range(len(tensors))
            for source in sorted({n for group in groups for at in group for n in at[layer].sources})
        ]
        used = [tensors[layer][source] for layer, source in places]
        return _by_group(iter(_FusedSampling.apply(groups, places, *used)), groups)  # type: ignore[no-untyped-call]


def _full_precision(tensors: Sequence[Tensors]) -> AbstractContextManager[Any]:
    """Disable autocast, so that weights are computed in their own dtype."""
    kind = tensors[0][0].device.type
    is_on = torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if is_on else contextlib.nullcontext()


def _each(
    plans: Sequence[LayerPlan],
    tensors: Sequence[Tensors],
    compute: Callable[[Sampled, Tensors], Tensor],
) -> list[Parameters]:
    return [
        (
            compute(plan.weight, layer_tensors),
            None if plan.bias is None else compute(plan.bias, layer_tensors),
        )
        for plan, layer_tensors in zip(plans, tensors, strict=True)
    ]


def _by_group(
    found: Iterator[Tensor], groups: Sequence[Sequence[Sequence[LayerPlan]]]
) -> list[list[Parameters]]:
    return [
        [(next(found), None if plan.bias is None else next(found)) for plan in group[0]]
        for group in groups
    ]


def _compute(
    groups: Sequence[Sequence[Sequence[LayerPlan]]],
    tensors: Sequence[Tensors],
    compute: Callable[[Sampled, Tensors], Tensor] = Sampled.compute,
) -> list[Tensor]:
    """Return the weight, and the bias if there is one, of each layer of each group."""
    results = []
    for group in groups:
        for index, layer_tensors in enumerate(tensors):
            for number in range(len(group[0][index].functions)):
                blocks = [compute(at_size[index].functions[number], layer_tensors) for at_size in group]
                if len(blocks) == 1:
                    results.append(blocks[0])
                else:
                    is_diagonal = index > 0 and number == 0
                    results.append(torch.block_diag(*blocks) if is_diagonal else torch.cat(blocks))
    return results


class _FusedSampling(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        groups: Sequence[Sequence[Sequence[LayerPlan]]],
        places: Sequence[tuple[int, int]],
        *used: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.groups, ctx.places = groups, places
        ctx.save_for_backward(*used)
        # Detached, because some are views of the inputs.
        return tuple([result.detach() for result in _compute(groups, _by_layer(places, used))])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        used: tuple[Tensor, ...] = ctx.saved_tensors
        layers = _by_layer(ctx.places, used)
        if torch.is_grad_enabled():
            needed = ctx.needs_input_grad[2:]
            results = _compute(ctx.groups, layers, Sampled.trace)
            wanted = [tensor for tensor, is_needed in zip(used, needed, strict=True) if is_needed]
            again = iter(
                torch.autograd.grad(results, wanted, gradients, create_graph=True, allow_unused=True)
            )
            return None, None, *[next(again) if is_needed else None for is_needed in needed]
        found: list[list[Tensor | None]] = [[None] * len(tensors) for tensors in layers]
        begun: list[set[tuple[int, int | None]]] = [set() for _ in layers]
        position = len(gradients)
        # The last group first, because autograd would add the gradients in this order.
        for group in reversed(ctx.groups):
            position -= sum(len(plan.functions) for plan in group[0])
            here = position
            for layer, tensors in enumerate(layers):
                for number in range(len(group[0][layer].functions)):
                    functions = [at_size[layer].functions[number] for at_size in group]
                    blocks = _blocks(functions, gradients[here], layer > 0)
                    for function, block in zip(functions, blocks, strict=True):
                        function.add_gradient(block, tensors, found[layer], begun[layer])
                    here += 1
        return None, None, *[found[layer][source] for layer, source in ctx.places]


def _blocks(functions: Sequence[Sampled], together: Tensor, is_diagonal: bool) -> list[Tensor]:
    """Split the gradient of a merged weight or bias into a view for each size."""
    if len(functions) == 1:
        return [together]
    offset, strides = together.storage_offset(), together.stride()
    blocks = []
    for function in functions:
        shape = function.shape
        blocks.append(together.as_strided(shape, strides, offset))
        offset += sum(map(operator.mul, shape, strides)) if is_diagonal else shape[0] * strides[0]
    return blocks


def _by_layer(places: Sequence[tuple[int, int]], used: Sequence[Tensor]) -> Sequence[Tensors]:
    """Return the tensors of each layer, None for those that are not used."""
    layers: list[list[Any]] = [[] for _ in range(places[-1][0] + 1)]
    for (layer, source), tensor in zip(places, used, strict=True):
        layers[layer] += [None] * (source - len(layers[layer]))
        layers[layer].append(tensor)
    return layers


class SampleCache:
    """A cache entry: sampled weights, and a copy of the values that they were computed from.

    A parameter can change without a new version (by ``.data`` or NumPy), so the bytes of its memory are
    compared. That takes a microsecond for 50 kB, a small part of what sampling takes.

    Attributes:
        parameters: What was sampled.
    """

    def __init__(self, key: object, tensors: Sequence[Tensor], compute: Callable[[], Any]) -> None:
        self._key = key
        self._sources = []
        for tensor in tensors:
            # The array keeps the memory alive, so no other tensor can get the same address.
            memory: np.ndarray[Any, Any] = tensor.detach().view(torch.uint8).numpy()
            self._sources.append((tensor.data_ptr(), tensor.stride(), memory, memory.tobytes()))
        self.parameters = compute()

    def is_valid(self, key: object, tensors: Sequence[Tensor]) -> bool:
        """Whether the parameters are the same, with the same values, as when this was made."""
        if key != self._key:
            return False
        for tensor, (address, strides, memory, contents) in zip(tensors, self._sources, strict=True):
            if tensor.data_ptr() != address or tensor.stride() != strides:
                return False
            if memory.tobytes() != contents:
                return False
        return True


def cached_or_computed(
    kept: SampleCache | None, key: object, tensors: Sequence[Tensor], compute: Callable[[], Any]
) -> SampleCache | None:
    """Return a valid cache entry, recomputed if necessary; None if nothing can be cached.

    Args:
        kept: What was kept so far.
        key: Everything besides the parameters that determines the result.
        tensors: The parameters.
        compute: Samples them.
    """
    if torch.is_grad_enabled() or needs_tracing():
        return None
    if kept is not None and kept.is_valid(key, tensors):
        return kept
    if not all(tensor.is_cpu and tensor.is_contiguous() for tensor in tensors):
        return None
    with ordinary_tensors(), torch.no_grad():
        return SampleCache(key, tensors, compute)
