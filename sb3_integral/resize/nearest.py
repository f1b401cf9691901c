"""Neurons taken at even distances, as nearest-neighbour interpolation takes pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sb3_integral.resize.dense import DenseLayer
from sb3_integral.resize.pruning import select_neurons


@dataclass(frozen=True)
class Nearest:
    """Each neuron of the result is the one at its place in the full layer; some twice if it grows.

    Args:
        rescale: Multiply a layer's weight by (old inputs) / (new inputs), so that a sum over fewer
            neurons keeps its magnitude.
    """

    rescale: bool = False

    def __call__(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        """See :class:`~sb3_integral.resize.ResizeMethod`."""
        full = [len(layer.weight) for layer in layers[:-1]]
        kept = [
            ((torch.arange(size) + 0.5) * (old / size)).long()
            for old, size in zip(full, sizes, strict=True)
        ]
        first, *others = select_neurons(layers, kept)
        factors = [old / size if self.rescale else 1.0 for old, size in zip(full, sizes, strict=True)]
        return [
            first,
            *(DenseLayer(w * factor, b) for (w, b), factor in zip(others, factors, strict=True)),
        ]
