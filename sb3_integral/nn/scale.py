"""Coefficients that depend on the scale: what F_W is at a size beside what it is at all of them.

A weight function that has to serve every size is a compromise at each. So F_W gets a third
coordinate, the fraction s of the grid's nodes that is sampled: F_W(x_out, x_in, s) is the sum of the
coefficients that hold at every scale and of corrections on a grid along log s, linear between its
nodes and zero at s = 1. A node's corrections reach no further than the partition at the next larger
node, so all of them together have about two and a half times as many elements as the weight itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RATIO = math.sqrt(2.0)
"""Between neighbouring scales."""

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
        levels: Number of nodes along the scale: at 1/√2 of full size, at half of it, and so on.

    Attributes:
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
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for level in range(levels):
            rows, columns = (
                math.ceil(features / RATIO**level) if is_axis else features
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
        # 0 at full size, 1 at the first level.
        place = min(max(-math.log(scale) / math.log(RATIO), 0.0), float(len(self.weights)))
        below = math.floor(place)
        hats = ((below - 1, 1.0 - (place - below)), (below, place - below))
        return [
            Level(self.weights[level], self.biases[level] if len(self.biases) else None, factor)
            for level, factor in hats
            if level >= 0 and factor > SMALLEST_FACTOR
        ]


def corrected(
    base: Tensor, size: Sequence[int], corrections: Sequence[Tensor], factors: Sequence[float]
) -> Tensor:
    """Return the beginning of a tensor with the beginnings of others added, differentiably.

    Args:
        base: Shape: (out, ...) or (out, in, ...).
        size: How much of the first dimensions is wanted.
        corrections: What is added where it reaches. Shapes: as ``base``, or smaller.
        factors: What each of them is multiplied by.

    Returns:
        Shape: ``size``, then the remaining dimensions of ``base``.
    """
    if not corrections:
        return _beginning(base, size)
    result: Tensor = _Corrected.apply(tuple(size), tuple(factors), base, *corrections)  # type: ignore[no-untyped-call]
    return result


class _Corrected(torch.autograd.Function):
    # One step of autograd in place of a dozen slices and sums, which would cost more than the pass.

    @staticmethod
    def forward(
        ctx: Any, size: tuple[int, ...], factors: tuple[float, ...], base: Tensor, *others: Tensor
    ) -> Tensor:
        ctx.factors, ctx.shapes = factors, [tensor.shape for tensor in (base, *others)]
        result = _beginning(base, size).clone(memory_format=torch.contiguous_format)
        for factor, other in zip(factors, others, strict=True):
            part = _beginning(other, size)
            _beginning(result, part.shape[: len(size)]).add_(part, alpha=factor)
        ctx.dimensions = len(size)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        padded = []
        for factor, shape in zip((1.0, *ctx.factors), ctx.shapes, strict=True):
            part = _beginning(gradient, shape[: ctx.dimensions])
            padding: list[int] = []
            for wanted, there in zip(reversed(shape), reversed(part.shape), strict=True):
                padding += [0, wanted - there]
            part = F.pad(part, padding) if any(padding) else part
            padded.append(part if factor == 1.0 else part * factor)
        return None, None, *padded


def _beginning(tensor: Tensor, size: Sequence[int]) -> Tensor:
    for dimension, length in enumerate(size):
        if length < tensor.shape[dimension]:
            tensor = tensor.narrow(dimension, 0, length)
    return tensor
