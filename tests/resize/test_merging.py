"""Merging of similar neurons."""

import numpy as np
import pytest
import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor

from sb3_integral.resize import DenseLayer, KMeansMerging
from sb3_integral.resize.merging import _spread_start


def run(layers: list[DenseLayer], inputs: Tensor) -> Tensor:
    hidden = torch.nn.functional.linear(inputs, *layers[0]).relu()
    return torch.nn.functional.linear(hidden, *layers[1])


def test_equal_neurons_merge_without_loss() -> None:
    # given a network in which each neuron is there three times
    torch.manual_seed(0)
    distinct = DenseLayer(torch.randn(4, 3), torch.randn(4))
    layers = [
        DenseLayer(*(tensor.repeat_interleave(3, dim=0) for tensor in distinct if tensor is not None)),
        DenseLayer(torch.randn(2, 12), torch.randn(2)),
    ]
    inputs = torch.randn(10, 3)
    # when
    merged = KMeansMerging()(layers, [4])
    # then
    assert merged[0].weight.shape == (4, 3)
    torch.testing.assert_close(run(merged, inputs), run(layers, inputs))


def test_a_cluster_has_the_mean_of_what_comes_in_and_the_sum_of_what_goes_out() -> None:
    # given two pairs of neighbours
    layers = [
        DenseLayer(torch.tensor([[1.0], [100.0], [3.0], [104.0]]), torch.tensor([0.0, 2.0, 1.0, 4.0])),
        DenseLayer(torch.tensor([[1.0, 10.0, 2.0, 20.0]]), None),
    ]
    # when
    first, last = KMeansMerging()(layers, [2])
    # then
    order = first.weight[:, 0].argsort()
    assert first.bias is not None
    assert first.weight[order, 0].tolist() == [2.0, 102.0]
    assert first.bias[order].tolist() == [0.5, 3.0]
    assert last.weight[0, order].tolist() == [3.0, 30.0]
    assert last.bias is None


def test_the_same_seed_merges_the_same() -> None:
    layers = [DenseLayer(torch.randn(30, 5), None), DenseLayer(torch.randn(2, 30), None)]
    one, two = (KMeansMerging(seed=3)(layers, [7]) for _ in range(2))
    assert torch.equal(one[0].weight, two[0].weight)


@pytest.mark.parametrize(("neurons", "size"), [(9, 1), (30, 7), (40, 38)])
def test_a_start_is_what_scipy_draws(neurons: int, size: int) -> None:
    # given
    vectors = np.random.default_rng(neurons).normal(size=(neurons, 5))
    # when
    own, _ = kmeans2(
        vectors, _spread_start(vectors, size, np.random.default_rng(1)), minit="matrix", missing="warn"
    )
    # then
    by_scipy, _ = kmeans2(vectors, size, minit="++", rng=np.random.default_rng(1), missing="warn")
    np.testing.assert_array_equal(own, by_scipy)


def test_neurons_that_are_all_the_same_merge() -> None:
    layers = [DenseLayer(torch.ones(8, 3), torch.ones(8)), DenseLayer(torch.ones(2, 8), None)]
    merged = KMeansMerging()(layers, [3])
    assert [tuple(layer.weight.shape) for layer in merged] == [(3, 3), (2, 3)]
    torch.testing.assert_close(run(merged, torch.ones(1, 3)), run(layers, torch.ones(1, 3)))


def test_wide_layers_are_merged_too() -> None:
    generator = torch.Generator().manual_seed(0)
    layers = [
        DenseLayer(torch.randn(400, 30, generator=generator), None),
        DenseLayer(torch.randn(2, 400, generator=generator), None),
    ]
    assert KMeansMerging()(layers, [399])[0].weight.shape == (399, 30)
