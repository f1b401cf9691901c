"""Merging of similar neurons."""

import torch
from torch import Tensor

from sb3_integral.resize import DenseLayer, KMeansMerging


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
