"""Neurons put in order before another method resizes the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from sb3_integral.nn import shortest_path
from sb3_integral.resize.dense import DenseLayer, NeuronMap, ResizeMethod, combine_neurons


@dataclass(frozen=True)
class Permuted:
    """Order each hidden layer's neurons by total variation, then resize.

    The order is a travelling salesman's path through all weights that touch a neuron; the network
    computes what it did. With :class:`~sb3_integral.resize.IntegralSampling` it is the paper's
    conversion of a trained network to an integral one, without training. It needs fast-tsp.

    Args:
        method: What resizes afterwards.
        seconds: How long to search for a path, per layer; the path is kept for other sizes. A hundred
            neurons take a twentieth of it to the path that is found again and again.
    """

    method: ResizeMethod
    seconds: float = 1.0

    def __call__(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        """See :class:`~sb3_integral.resize.ResizeMethod`."""
        full = [len(layer.weight) for layer in layers[:-1]]
        if list(sizes) != full:
            orders = [self._order(*pair) for pair in pairwise(layers)]
            layers = combine_neurons(layers, list(map(NeuronMap.of_neurons, orders, full)))
        return self.method(layers, sizes)

    def _order(self, incoming: DenseLayer, outgoing: DenseLayer) -> Tensor:
        parts = [incoming.weight, outgoing.weight.T]
        if incoming.bias is not None:
            parts.append(incoming.bias[:, None])
        vectors = torch.cat(parts, dim=1).detach().cpu().double()
        return _path(vectors.numpy().tobytes(), tuple(vectors.shape), self.seconds)


@lru_cache(maxsize=16)
def _path(vectors: bytes, shape: tuple[int, ...], seconds: float) -> Tensor:
    values = torch.frombuffer(bytearray(vectors), dtype=torch.float64).view(shape)
    order = shortest_path(values, seconds)
    # A path is as long backwards: one direction, so that the same weights give the same network.
    return order if order[0] <= order[-1] else order.flip(0)
