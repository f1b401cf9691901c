"""Coefficients that depend on the scale: what F_W is at a size beside what it is at all of them.

A weight function that has to serve every size is a compromise at each. So F_W gets a third
coordinate, the fraction s of the grid's nodes that is sampled: F_W(x_out, x_in, s) is the sum of the
coefficients that hold at every scale and of corrections on a grid along log s, linear between its
nodes and zero at s = 1. Where sizes are few, below 16 neurons, each is a node: there the next size is
another network, and what is best for one is not for the other. A node's corrections reach no further
than the partition at the next larger node, so all of them together have little more than twice as
many elements as the weight itself.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RATIO = math.sqrt(2.0)
"""Between neighbouring scales, where sizes are many."""

FINE = 16
"""From this size down each size is a scale of its own."""

SMALLEST_FACTOR = 1e-9
"""Below it a hat function is zero but for rounding."""


class Level(NamedTuple):
    """The corrections of one scale.

    Attributes:
        weight: Shape: (out_k, in_k, ...).
        bias: Shape: (out_k,).
        factor: How much they count.
    """

    weight: Tensor
    bias: Tensor | None
    factor: float


class ScaleCorrections(nn.Module):
    """What is added to a weight and its bias at scales below full size; zero at first.

    Args:
        weight: The weight as (out, in, ...). Its first two dimensions are those of the axes.
        bias: The bias, if there is one. Shape: (out,).
        ends: Whether the output, and the input, is an axis.
        levels: How far down scales have corrections of their own: to 1/√2 of full size, to half of it,
            and so on.

    Attributes:
        scales: The nodes along the scale, largest first.
        weights: The corrections of the weight, largest scale first. Shapes: (out_k, in_k, ...).
        biases: Those of the bias. Shapes: (out_k,).

    Raises:
        ValueError: If ``levels`` is not a positive integer.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, ends: tuple[bool, bool], levels: int
    ) -> None:
        super().__init__()
        if isinstance(levels, bool) or not isinstance(levels, int) or levels < 1:
            raise ValueError(f"scale_levels must be a positive integer, got {levels!r}")
        full = weight.shape
        on_axes = [features for features, is_axis in zip(full[:2], ends, strict=True) if is_axis]
        self.scales = _nodes(math.prod(on_axes) ** (1.0 / len(on_axes)), levels)
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for larger in (1.0, *self.scales[:-1]):
            rows, columns = (
                math.ceil(features * larger - SMALLEST_FACTOR) if is_axis else features
                for features, is_axis in zip(full[:2], ends, strict=True)
            )
            self.weights.append(nn.Parameter(weight.new_zeros(rows, columns, *full[2:])))
            if bias is not None:
                self.biases.append(nn.Parameter(bias.new_zeros(rows)))

    def at(self, scale: float) -> list[Level]:
        """Return the levels that count at a scale, by the hat functions along log s.

        Args:
            scale: The fraction of full size.
        """
        # Not by the lists' own index, which takes longer than the sums: this happens in every step.
        weights = tuple(self.weights._parameters.values())
        biases = tuple(self.biases._parameters.values()) or (None,) * len(weights)
        return [
            Level(cast(Tensor, weights[level]), biases[level], factor)
            for level, factor in _factors(scale, self.scales)
        ]


def _nodes(full: float, levels: int) -> tuple[float, ...]:
    """Return the scales that have corrections, largest first.

    Args:
        full: How many neurons there are at full size.
        levels: As in :class:`ScaleCorrections`.
    """
    coarse = [full / RATIO**level for level in range(1, levels + 1)]
    sizes = [size for size in coarse if size > FINE + SMALLEST_FACTOR]
    smallest = math.ceil(coarse[-1] - SMALLEST_FACTOR)
    sizes += range(min(FINE, math.ceil(full) - 1), smallest - 1, -1)
    return tuple(size / full for size in sizes or coarse[-1:])


@functools.lru_cache(maxsize=4096)
def _factors(scale: float, nodes: tuple[float, ...]) -> tuple[tuple[int, float], ...]:
    """Return the levels that count at a scale, and how much.

    A level's hat function is times √(1 / its scale). Steps of Adam have the same length whatever is
    learned, and a network learns the faster the fewer neurons it has, if it may.
    """
    ends = (1.0, *nodes)
    index = next((index for index, node in enumerate(ends) if node <= scale), len(ends))
    if index == 0:
        return ()
    if index == len(ends):
        hats: tuple[tuple[int, float], ...] = ((len(nodes) - 1, 1.0),)
    else:
        below = math.log(ends[index - 1] / scale) / math.log(ends[index - 1] / ends[index])
        hats = ((index - 2, 1.0 - below), (index - 1, below))
    return tuple(
        (level, hat / math.sqrt(nodes[level]))
        for level, hat in hats
        if level >= 0 and hat > SMALLEST_FACTOR
    )


def corrected(
    weight: Tensor, bias: Tensor | None, size: tuple[int, ...], levels: Sequence[Level]
) -> tuple[Tensor, Tensor | None]:
    """Return the beginning of a weight and of its bias with corrections added, differentiably.

    Args:
        weight: Shape: (out, in, ...).
        bias: Shape: (out,).
        size: How much of the first two dimensions is wanted.
        levels: The corrections, which count as far as they reach.

    Returns:
        Shapes: (size[0], size[1], ...), (size[0],).
    """
    if not levels:
        return beginning(weight, size), None if bias is None else beginning(bias, size[:1])
    factors = tuple([level.factor for level in levels])
    tensors = [weight, *[level.weight for level in levels]]
    if bias is None:
        result: Tensor = _Corrected.apply(size, factors, *tensors)  # type: ignore[no-untyped-call]
        return result, None
    tensors.append(bias)
    tensors += [level.bias for level in levels if level.bias is not None]
    both: tuple[Tensor, Tensor] = _Corrected.apply(size, factors, *tensors)  # type: ignore[no-untyped-call]
    return both


class _Corrected(torch.autograd.Function):
    # One step of autograd in place of two dozen slices and sums, which would cost more than the pass.

    @staticmethod
    def forward(
        ctx: Any, size: tuple[int, ...], factors: tuple[float, ...], *tensors: Tensor
    ) -> Tensor | tuple[Tensor, ...]:
        ctx.factors, ctx.shapes = factors, [tensor.shape for tensor in tensors]
        each = len(factors) + 1
        weight = _sum(tensors[:each], size, factors)
        if len(tensors) == each:
            return weight
        return weight, _sum(tensors[each:], size[:1], factors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        parts: list[Tensor | None] = [None, None]
        factors, shapes = (1.0, *ctx.factors), iter(ctx.shapes)
        for gradient in gradients:
            for factor in factors:
                parts.append(_spread(gradient, next(shapes), factor))
        return tuple(parts)


def _sum(tensors: Sequence[Tensor], size: Sequence[int], factors: Sequence[float]) -> Tensor:
    """Return the beginning of the first tensor, and added to it that of each other, times a factor.

    Args:
        tensors: The first is at least of that size.
        size: Of the first one or two dimensions.
        factors: Of all tensors but the first.
    """
    result = beginning(tensors[0], size)
    for index, (tensor, factor) in enumerate(zip(tensors[1:], factors, strict=True)):
        part = beginning(tensor, size)
        if part.shape != result.shape:
            result = result.clone() if index == 0 else result
            beginning(result, part.shape[: len(size)]).add_(part, alpha=factor)
        elif index == 0:
            result = torch.add(result, part, alpha=factor)
        else:
            result.add_(part, alpha=factor)
    return result


def _spread(gradient: Tensor, shape: torch.Size, factor: float) -> Tensor:
    """Return the gradient of a tensor of which a beginning, times a factor, was used."""
    part = gradient
    if part.shape != shape:
        for dimension in range(min(gradient.dim(), 2)):
            if part.shape[dimension] > shape[dimension]:
                part = part.narrow(dimension, 0, shape[dimension])
        if factor != 1.0:
            part = part * factor
        padding: list[int] = []
        for wanted, there in zip(reversed(shape), reversed(part.shape), strict=True):
            padding += (0, wanted - there)
        return F.pad(part, padding) if any(padding) else part
    return part if factor == 1.0 else part * factor


def beginning(tensor: Tensor, size: Sequence[int]) -> Tensor:
    """Return as much of a tensor's first dimensions as there is, at most a size; a view."""
    shape = tensor.shape
    for dimension, length in enumerate(size):
        if length < shape[dimension]:
            tensor = tensor.narrow(dimension, 0, length)
    return tensor
