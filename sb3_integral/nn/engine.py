"""Compute the discrete weights of layers in one autograd operation, at one size or several.

For networks as small as policies, autograd's overhead per operation costs more than the arithmetic.
Plain sampling takes a few operations for each layer. Corrections and several sizes would take dozens, so
a single autograd function computes them. Where that function is not supported (torch's compilers,
``torch.func``, forward-mode differentiation, points that are being learned), ordinary operations compute
the same plans.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from sb3_integral.nn.caching import ordinary_tensors
from sb3_integral.nn.plan import LayerPlan, Sampled, Tensors
from sb3_integral.nn.tables import Table

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
        with full_precision(tensors):
            return _each(plans, tensors, Sampled.trace)
    return sample_together([plans], [], tensors)[0]


def sample_together(
    sizes: Sequence[Sequence[LayerPlan]], tables: Sequence[Table], tensors: Sequence[Tensors]
) -> list[list[Parameters]]:
    """Return the weights and biases of several networks, differentiably, in one step of autograd.

    Args:
        sizes: The plan of each layer, at each size whose arrays are summed up one by one.
        tables: Networks whose parameters are gathered by index.
        tensors: The tensors of each layer.

    Returns:
        The parameters of each layer, at each size and for each table.
    """
    with full_precision(tensors):
        flat = [tensor for of_layer in tensors for tensor in of_layer if tensor is not None]
        if not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in flat):
            found = iter(_compute(sizes, tables, tensors))
        elif not tables and all(
            len(function.terms) == 1 for plans in sizes for plan in plans for function in plan.functions
        ):
            return [_each(plans, tensors, Sampled.trace) for plans in sizes]
        else:
            has_tensor = [[tensor is not None for tensor in of_layer] for of_layer in tensors]
            found = iter(_FusedSampling.apply(sizes, tables, has_tensor, *flat))  # type: ignore[no-untyped-call]
        return [
            [(next(found), None if tensors[n][1] is None else next(found)) for n in range(len(tensors))]
            for _ in range(len(sizes) + len(tables))
        ]


def full_precision(tensors: Sequence[Tensors]) -> AbstractContextManager[Any]:
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


def _compute(
    sizes: Sequence[Sequence[LayerPlan]],
    tables: Sequence[Table],
    tensors: Sequence[Tensors],
    compute: Callable[[Sampled, Tensors], Tensor] = Sampled.compute,
) -> list[Tensor]:
    """Return weight and bias of each layer at each size, then the elements of each table."""
    results = [
        compute(function, layer)
        for plans in sizes
        for plan, layer in zip(plans, tensors, strict=True)
        for function in plan.functions
    ]
    if tables:
        flat = torch.cat([t.reshape(-1) for layer in tensors for t in layer if t is not None])
        results += [parameter for table in tables for parameter in table.gather(flat)]
    return results


class _FusedSampling(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        sizes: Sequence[Sequence[LayerPlan]],
        tables: Sequence[Table],
        has_tensor: Sequence[Sequence[bool]],
        *used: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.sizes, ctx.tables, ctx.has_tensor = sizes, tables, has_tensor
        ctx.save_for_backward(*used)
        # Detached, because some are views of the inputs.
        results = _compute(sizes, tables, _by_layer(has_tensor, used))
        return tuple([result.detach() for result in results])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        used: tuple[Tensor, ...] = ctx.saved_tensors
        layers = _by_layer(ctx.has_tensor, used)
        if torch.is_grad_enabled():
            needed = ctx.needs_input_grad[3:]
            results = _compute(ctx.sizes, ctx.tables, layers, Sampled.trace)
            wanted = [tensor for tensor, is_needed in zip(used, needed, strict=True) if is_needed]
            again = iter(
                torch.autograd.grad(results, wanted, gradients, create_graph=True, allow_unused=True)
            )
            return None, None, None, *[next(again) if is_needed else None for is_needed in needed]
        n_functions = len(gradients) // (len(ctx.sizes) + len(ctx.tables))
        of_network = [gradients[n : n + n_functions] for n in range(0, len(gradients), n_functions)]
        found: list[list[Tensor | None]] = [[None] * len(tensors) for tensors in layers]
        if ctx.tables:
            lengths = [tensor.numel() for tensor in used]
            flat = used[0].new_zeros(sum(lengths))
            for table, of_table in zip(ctx.tables, of_network[len(ctx.sizes) :], strict=True):
                table.add_gradient(of_table, flat)
            views = [part.view(t.shape) for part, t in zip(flat.split(lengths), used, strict=True)]
            found = _by_layer(ctx.has_tensor, views)
        begun: list[set[tuple[int, int | None]]] = [set() for _ in layers]
        # The last size first, because autograd would add the gradients in this order.
        for plans, of_size in reversed([*zip(ctx.sizes, of_network, strict=False)]):
            remaining = iter(of_size)
            for plan, tensors, of_layer, of_plan in zip(plans, layers, found, begun, strict=True):
                for function in plan.functions:
                    function.add_gradient(next(remaining), tensors, of_layer, of_plan)
        # What no network uses has no gradient, so an optimizer leaves it as it is.
        uses = [table.sources for table in ctx.tables]
        uses += [[plan.sources for plan in plans] for plans in ctx.sizes]
        of_used = [
            gradient if any(source in network[layer] for network in uses) else None
            for layer, (gradients, has) in enumerate(zip(found, ctx.has_tensor, strict=True))
            for source, (gradient, is_there) in enumerate(zip(gradients, has, strict=True))
            if is_there
        ]
        return None, None, None, *of_used


def _by_layer(has_tensor: Sequence[Sequence[bool]], used: Sequence[Tensor]) -> list[list[Any]]:
    """Return the tensors of each layer, None for those that it does not have."""
    remaining = iter(used)
    return [[next(remaining) if is_there else None for is_there in layer] for layer in has_tensor]


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
