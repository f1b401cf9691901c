"""Similar neurons merged into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sb3_integral.resize.dense import DenseLayer, NeuronMap, check_not_larger, combine_neurons

MOST_WORK = 10**8
"""Products of coordinates that the distances of all starts may take, for one pass over the neurons."""


@dataclass(frozen=True)
class KMeansMerging:
    """Cluster the neurons of each hidden layer by k-means; each cluster becomes one neuron.

    It has the mean of their incoming weights and biases, and the sum of their outgoing weights: exact
    where the neurons of a cluster are equal.

    Args:
        seed: Seeds the starts of k-means.
        restarts: How often k-means starts; the least distortion is taken. Wide layers get fewer starts,
            so that none takes much longer than a second.
    """

    seed: int = 0
    restarts: int = 20

    def __call__(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        """See :class:`~sb3_integral.resize.ResizeMethod`."""
        maps: list[NeuronMap] = []
        for (weight, bias), size in zip(layers[:-1], sizes, strict=True):
            check_not_larger(size, DenseLayer(weight, bias), "merging")
            if maps:  # neurons are compared by what they read of the merged ones
                weight = weight @ maps[-1].outgoing.to(weight)
            members = F.one_hot(self._labels(weight, bias, size), size).float()
            maps.append(NeuronMap((members / members.sum(dim=0)).T, members))
        return combine_neurons(layers, maps)

    def _labels(self, weight: Tensor, bias: Tensor | None, size: int) -> Tensor:
        """Return the cluster of each neuron; no cluster is empty. Shape: (neurons,)."""
        from scipy.cluster.vq import ClusterError, kmeans2, vq

        if size == len(weight):
            return torch.arange(size)
        parts = [weight, *([] if bias is None else [bias[:, None]])]
        vectors = torch.cat(parts, dim=1).double().cpu().numpy()
        rng = np.random.default_rng(self.seed)
        best, least = np.arange(len(vectors)) % size, np.inf
        affordable = MOST_WORK // (vectors.size * size)
        for _ in range(max(1, min(self.restarts, affordable))):
            start = _spread_start(vectors, size, rng)
            try:
                centroids, labels = kmeans2(vectors, start, minit="matrix", missing="raise")
            except ClusterError:  # a cluster lost its last neuron
                continue
            distortion = vq(vectors, centroids)[1].sum()
            if distortion < least and len(np.unique(labels)) == size:
                best, least = labels, distortion
        return torch.from_numpy(best.astype(np.int64))


def _spread_start(
    vectors: np.ndarray[Any, Any], size: int, rng: np.random.Generator
) -> np.ndarray[Any, Any]:
    """Draw the first centroids by k-means++, one of the vectors each. Shape: (size, coordinates).

    They are the centroids that SciPy's ``minit="++"`` draws. SciPy measures all distances again for
    each centroid, which takes minutes for 400 neurons.
    """
    from scipy.spatial.distance import cdist

    chosen = [int(rng.integers(len(vectors)))]
    nearest = cdist(vectors[chosen], vectors, metric="sqeuclidean")[0]
    for _ in range(size - 1):
        shares = (nearest / nearest.sum()).cumsum() if nearest.any() else np.ones(1)
        chosen.append(int(np.searchsorted(shares, rng.uniform())))
        latest = cdist(vectors[chosen[-1:]], vectors, metric="sqeuclidean")[0]
        nearest = np.minimum(nearest, latest)
    return vectors[chosen]
