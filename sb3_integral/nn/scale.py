"""Corrections of a weight that depend on the scale at which it is sampled.

A weight function that has to serve every size is a compromise at each. So F_W gets a third
coordinate, the fraction s of the grid's nodes that is sampled: F_W(x_out, x_in, s) is the sum of the
coefficients that hold at every scale and of corrections on a grid along log s, linear between its
nodes and zero at s = 1. Where sizes are few, below 16 neurons, each is a node: there the next size is
another network, and what is best for one is not best for the other. A node's corrections reach no
further than the partition at the next larger node, so all of them together have little more than twice
as many elements as the weight itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

RATIO = math.sqrt(2.0)
"""Ratio between neighbouring scales, for sizes above :data:`FINE`."""

FINE = 16
"""From this size down each size is a scale of its own."""

SMALLEST_FACTOR = 1e-9
"""Below it a hat function is zero but for rounding."""


class ScaleCorrections(nn.Module):
    """Corrections that are added to a weight and its bias below full size; zero at first.

    Args:
        weight: The weight as (out, in, ...). Its first two dimensions are those of the axes.
        bias: The bias, if there is one. Shape: (out,).
        ends: Whether the output, and the input, is an axis.
        levels: How far down scales have corrections of their own: to 1/√2 of full size, to half of it,
            and so on.

    Attributes:
        scales: The nodes along the scale, largest first.
        shapes: How far the corrections of each scale reach. Shapes: (out_k, in_k, ...).
        levels: The corrections of each scale as one flat parameter: the weight's, then the bias's.

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
        self.scales = scale_nodes(math.prod(on_axes) ** (1.0 / len(on_axes)), levels)
        self.shapes: list[torch.Size] = []
        self.levels = nn.ParameterList()
        for larger in (1.0, *self.scales[:-1]):
            rows, columns = (
                math.ceil(features * larger - SMALLEST_FACTOR) if is_axis else features
                for features, is_axis in zip(full[:2], ends, strict=True)
            )
            shape = torch.Size((rows, columns, *full[2:]))
            self.shapes.append(shape)
            n_biases = 0 if bias is None else rows
            self.levels.append(nn.Parameter(weight.new_zeros(shape.numel() + n_biases)))

    @property
    def weights(self) -> list[Float[Tensor, "out in *rest"]]:
        """Views of the corrections of the weight, largest scale first. Shapes: (out_k, in_k, ...)."""
        return [
            cast(Tensor, level)[: shape.numel()].view(shape)
            for level, shape in zip(self.levels, self.shapes, strict=True)
        ]

    @property
    def biases(self) -> list[Float[Tensor, " out"]]:
        """Views of the corrections of the bias, empty without one. Shapes: (out_k,)."""
        pairs = zip(self.levels, self.shapes, strict=True)
        return [cast(Tensor, level)[shape.numel() :] for level, shape in pairs]

    def at(self, scale: float) -> tuple[tuple[int, float], ...]:
        """Return the levels that count at a scale, and how much, by the hat functions along log s.

        A level's hat function is multiplied by √(1 / its scale). Adam takes steps of one length whatever
        is learned; this gives smaller networks a larger effective learning rate.

        Args:
            scale: The fraction of full size.
        """
        return tuple(
            (level, hat / math.sqrt(self.scales[level]))
            for level, hat in hat_functions(self.scales, scale)
        )


def hat_functions(nodes: Sequence[float], scale: float) -> tuple[tuple[int, float], ...]:
    """Return the hat functions along log s that are not zero at a scale, and their values.

    Args:
        nodes: The scales that have one, largest first. They are linear between nodes, zero at full
            size, and constant below the smallest node.
        scale: The fraction of full size.
    """
    ends = (1.0, *nodes)
    index = next((index for index, node in enumerate(ends) if node <= scale), len(ends))
    if index == 0:
        return ()
    if index == len(ends):
        return ((len(nodes) - 1, 1.0),)
    below = math.log(ends[index - 1] / scale) / math.log(ends[index - 1] / ends[index])
    found = ((index - 2, 1.0 - below), (index - 1, below))
    return tuple((level, hat) for level, hat in found if level >= 0 and hat > SMALLEST_FACTOR)


def scale_nodes(full: float, levels: int) -> tuple[float, ...]:
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
