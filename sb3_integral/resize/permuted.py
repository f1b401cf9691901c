"""Neurons put in order before another method resizes the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from sb3_integral.nn import shortest_path
from sb3_integral.resize.dense import DenseLayer
from sb3_integral.resize.protocol import ResizeMethod
from sb3_integral.resize.pruning import select_neurons


@dataclass(frozen=True)
class Permuted:
    """Order each hidden layer's neurons by total variation, then resize.

    The order is a travelling salesman's path through all weights that touch a neuron; the network
    computes what it did. With :class:`~sb3_integral.resize.IntegralSampling` it is the paper's
    conversion of a trained network to an integral one, without training.

    Args:
        method: What resizes afterwards.
        seconds: How long to search for a path, per layer.
    """

    method: ResizeMethod
    seconds: float = 0.2

    def __call__(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        """See :class:`~sb3_integral.resize.ResizeMethod`.

        Raises:
            ImportError: If fast-tsp is not installed.
        """
        full = [len(layer.weight) for layer in layers[:-1]]
        if list(sizes) != full:
            layers = select_neurons(layers, [self._order(*pair) for pair in pairwise(layers)])
        return self.method(layers, sizes)

    def _order(self, incoming: DenseLayer, outgoing: DenseLayer) -> Tensor:
        parts = [incoming.weight, outgoing.weight.T]
        if incoming.bias is not None:
            parts.append(incoming.bias[:, None])
        return shortest_path(torch.cat(parts, dim=1), self.seconds)
