"""Weights of lower rank: fewer numbers for as many neurons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sb3_integral.resize.dense import DenseLayer, check_not_larger


@dataclass(frozen=True)
class TruncatedSVD:
    """Replace weights by products of two thin factors, with the parameters that the sizes would have.

    A layer of out x in weights has rank·(out + in) numbers as two factors. All hidden neurons, and
    their biases, stay. The ranks are chosen greedily: the one that takes away the most of its layer's
    relative squared error per parameter is added as long as the whole has no more parameters than
    the network of the wanted sizes; a layer that would be no smaller as factors stays whole. Every
    layer has rank one at least, so below some size the result has more parameters than asked for:
    :meth:`parameter_count` says how many.

    The layers that are returned have the full shape: each weight is the product of its factors.
    """

    def __call__(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        """See :class:`~sb3_integral.resize.ResizeMethod`."""
        return [
            DenseLayer(_truncated(weight, rank), None if bias is None else bias.clone())
            for (weight, bias), rank in zip(layers, self.ranks(layers, sizes), strict=True)
        ]

    def parameter_count(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> int:
        """See :class:`~sb3_integral.resize.CountsParameters`."""
        costs = zip(map(_costs, layers), self.ranks(layers, sizes), strict=True)
        return sum(cost[rank] for cost, rank in costs)

    def ranks(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[int]:
        """Return the rank of each layer's weight: the smaller side of a layer that stays whole."""
        for layer, size in zip(layers[:-1], sizes, strict=True):
            check_not_larger(size, layer, "truncation")
        ends = (layers[0].weight.shape[1], *sizes, layers[-1].weight.shape[0])
        left = sum(
            n_out * (n_in + (layer.bias is not None))
            for layer, n_in, n_out in zip(layers, ends, ends[1:], strict=False)
        )
        costs, errors = list(map(_costs, layers)), [_relative_errors(one.weight) for one in layers]
        ranks = [min(cost) for cost in costs]
        left -= sum(cost[rank] for cost, rank in zip(costs, ranks, strict=True))
        while True:
            best, best_gain = None, -1.0
            for i, (cost, error, rank) in enumerate(zip(costs, errors, ranks, strict=True)):
                larger = min((r for r in cost if r > rank), default=rank)
                price = cost[larger] - cost[rank]
                if 0 < price <= left and (gain := (error[rank] - error[larger]) / price) > best_gain:
                    best, best_gain = (i, larger, price), gain
            if best is None:
                return ranks
            i, ranks[best[0]], price = best
            left -= price


def _costs(layer: DenseLayer) -> dict[int, int]:
    """Return how many numbers hold a layer with a weight of each rank that is worth it, ascending."""
    n_out, n_in = layer.weight.shape
    biases = 0 if layer.bias is None else n_out
    worth = range(1, (n_out * n_in - 1) // (n_out + n_in) + 1)
    costs = {rank: rank * (n_out + n_in) for rank in worth} | {min(n_out, n_in): n_out * n_in}
    return {rank: cost + biases for rank, cost in costs.items()}


def _relative_errors(weight: Float[Tensor, "out in"]) -> list[float]:
    """Return the squared error of each rank, 0 to full, relative to the weight's squared norm."""
    energy = torch.linalg.svdvals(weight.double()).square()
    left = energy.sum() - torch.cat([energy.new_zeros(1), energy.cumsum(0)])
    relative: list[float] = (left / energy.sum().clamp(min=1e-300)).tolist()
    return relative


def _truncated(weight: Float[Tensor, "out in"], rank: int) -> Float[Tensor, "out in"]:
    if rank == min(weight.shape):
        return weight.clone()
    u, s, v = torch.linalg.svd(weight.double(), full_matrices=False)
    product: Tensor = (u[:, :rank] * s[:rank]) @ v[:rank]
    return product.to(weight.dtype)
