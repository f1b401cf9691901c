"""Reordering the hidden neurons of a network so that its weights vary least along each axis.

The total variation along an axis is the length of a path through its neurons, so the best order is
a travelling salesman's (paper, "Channels permutation"). The network computes what it did before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sb3_integral.nn.axis import Axis
from sb3_integral.nn.layer import IntegralLayer
from sb3_integral.requirements import require

LARGEST_DISTANCE = 65_535
"""The longest distance is scaled to this, because the solver uses 16-bit integers."""


def shortest_path(vectors: Float[Tensor, "n features"], seconds: float = 0.2) -> Int[Tensor, " n"]:
    """Order vectors so that the sum of L1 distances between neighbours is small.

    Args:
        vectors: One in each row.
        seconds: How long to search at most.

    Returns:
        A permutation of 0..n-1.

    Raises:
        ImportError: If fast-tsp is not installed.
    """
    require("permutation", "fast_tsp")
    import fast_tsp

    count = len(vectors)
    if count < 3:
        return torch.arange(count)
    distances = torch.cdist(vectors.double(), vectors.double(), p=1).cpu().numpy()
    # A tour through one more town that is near to all others is a path, cut there.
    towns = np.zeros((count + 1, count + 1), dtype=np.int64)
    towns[:count, :count] = np.rint(distances * (LARGEST_DISTANCE / max(distances.max(), 1e-300)))
    tour = fast_tsp.find_tour(towns, duration_seconds=seconds, stop_when_converged=True)
    start = tour.index(count)
    return torch.tensor(tour[start + 1 :] + tour[:start])


@torch.no_grad()
def permute_axis(
    layers: Sequence[IntegralLayer], axis: Axis, seconds: float = 0.2
) -> Int[Tensor, " {axis.grid_size}"]:
    """Reorder the neurons of one axis in place, over all weights that touch it.

    Args:
        layers: All layers of the network.
        axis: The axis, at equal grid and size.
        seconds: How long to search at most.

    Returns:
        The order: the new i-th neuron is the old ``order[i]``-th.

    Raises:
        ImportError: If fast-tsp is not installed.
        ValueError: If no layer is on the axis.
    """
    vectors = []
    for layer in layers:
        operator = layer.weight.view(layer.operator_shape(layer.weight.shape))
        if layer.out_axis is axis:
            vectors.append(operator.flatten(start_dim=1))
            if layer.bias is not None:
                vectors.append(layer.bias[:, None])
        if layer.in_axis is axis:
            vectors.append(operator.transpose(0, 1).flatten(start_dim=1))
    if not vectors:
        raise ValueError("no layer is on the axis, expected at least one")
    order = shortest_path(torch.cat(vectors, dim=1), seconds).to(vectors[0].device)
    for layer in layers:
        operator = layer.weight.view(layer.operator_shape(layer.weight.shape))
        if layer.out_axis is axis:
            operator.copy_(operator[order])
            if layer.bias is not None:
                layer.bias.copy_(layer.bias[order])
        if layer.in_axis is axis:
            operator.copy_(operator[:, order])
    return order
