"""Batches whose samples are of different sizes.

Where partitions nest, the network of a size is the full one without the neurons beyond that size. So a
batch of samples at different sizes is one pass of the full network whose hidden values are multiplied
by a mask.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from sb3_integral.nn.axis import Axis
    from sb3_integral.nn.scale import ScaleCorrections


class MixedSizes:
    """The sizes of the samples of each batch that is to come; see :meth:`~sb3_integral.nn.Axes.mixed`.

    Attributes:
        sizes: One size for each sample, for all axes; an axis that is smaller keeps all its neurons.
            None where batches have the axes' own size. Shape: (batch,).
    """

    def __init__(self) -> None:
        self.sizes: Int[Tensor, " batch"] | None = None
        self._masks: dict[tuple[int, torch.dtype, torch.device], Tensor] = {}

    def set(self, sizes: Int[Tensor, " batch"] | None) -> None:
        """Give the sizes of the samples of the next batches."""
        self.sizes = sizes
        self._masks.clear()

    @contextmanager
    def at(self, sizes: Int[Tensor, " batch"] | None) -> Iterator[None]:
        """Have batches of other sizes inside a ``with`` block; None for the axes' own size."""
        before = self.sizes
        self.set(sizes)
        try:
            yield
        finally:
            self.set(before)

    def sizes_of(self, n_samples: int) -> Int[Tensor, " samples"]:
        """Return the sizes of a batch, which may hold all samples several times, one after the other.

        CrossQ's networks take observations and next observations as one batch.

        Raises:
            ValueError: If the batch is no multiple of the sizes.
        """
        assert self.sizes is not None
        times, rest = divmod(n_samples, len(self.sizes))
        if rest or not times:
            raise ValueError(f"expected a batch of {len(self.sizes)} samples, got {n_samples}")
        return self.sizes if times == 1 else self.sizes.repeat(times)

    def masked(
        self, values: Float[Tensor, "batch features *rest"], axis: Axis, repeat: int = 1
    ) -> Float[Tensor, "batch features *rest"]:
        """Set the values of the neurons to zero that a sample does not have.

        Args:
            values: What was computed on the axis.
            axis: The axis, at full size.
            repeat: Features per neuron.
        """
        key = (axis.grid_size, values.dtype, values.device)
        mask = self._masks.get(key)
        if mask is None or len(mask) != len(values):
            neurons = torch.arange(axis.grid_size, device=values.device)
            sizes = self.sizes_of(len(values)).to(values.device)
            mask = self._masks[key] = (neurons < sizes[:, None]).to(values.dtype)
        if repeat > 1:
            mask = mask.repeat_interleave(repeat, dim=1)
        return values * (
            mask if values.dim() == 2 else mask.view(*mask.shape, *[1] * (values.dim() - 2))
        )

    def corrected(
        self,
        output: Float[Tensor, "batch out"],
        input: Float[Tensor, "batch in"],
        corrections: ScaleCorrections,
        axes: Sequence[Axis],
    ) -> Float[Tensor, "batch out"]:
        """Add what a dense layer's corrections contribute at the scale of each sample.

        Args:
            output: The layer's output without corrections.
            input: Its masked input.
            corrections: Its corrections.
            axes: The axes that it is on.
        """
        distinct, which = self.sizes_of(len(input)).to(input.device).unique(return_inverse=True)
        factors = input.new_zeros(len(distinct), len(corrections.shapes))
        for row, size in enumerate(distinct.tolist()):
            scales = [min(size, axis.max_size) / axis.grid_size for axis in axes]
            for level, factor in corrections.at(math.prod(scales) ** (1.0 / len(scales))):
                factors[row, level] = factor
        is_used = factors.any(dim=0).tolist()
        factors = factors[which]
        pairs = zip(corrections.weights, corrections.biases, strict=True)
        for level, (weight, bias) in enumerate(pairs):
            if is_used[level]:
                n_out, n_in, *rest = weight.shape
                read = input[:, : n_in * math.prod(rest)]
                part = F.linear(read, weight.flatten(1), bias if len(bias) else None)
                part = part * factors[:, level, None]
                output = output + F.pad(part, (0, output.shape[1] - n_out))
        return output
