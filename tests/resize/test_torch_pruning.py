"""Torch-Pruning's group magnitude behind the protocol."""

from itertools import pairwise

import pytest
import torch

from sb3_integral.resize import DenseLayer, GroupMagnitudePruning, resize_method


def layers(hidden: int = 100) -> list[DenseLayer]:
    torch.manual_seed(0)
    features = (17, hidden, hidden, 6)
    return [
        DenseLayer(torch.randn(n_out, n_in), torch.randn(n_out)) for n_in, n_out in pairwise(features)
    ]


@pytest.mark.parametrize("size", [1, 5, 8, 18, 20, 57, 99])
def test_every_size_is_met(size: int) -> None:
    resized = GroupMagnitudePruning()(layers(), (size, size))
    assert [tuple(layer.weight.shape) for layer in resized] == [(size, 17), (size, size), (6, size)]


def test_full_size_is_the_identity() -> None:
    for same, layer in zip(GroupMagnitudePruning()(layers(), (100, 100)), layers(), strict=True):
        torch.testing.assert_close(same, layer, rtol=0.0, atol=0.0)


def test_the_neurons_of_small_weights_go() -> None:
    # given two neurons that hardly count, by what comes in and by what goes out
    incoming = DenseLayer(torch.tensor([[5.0], [0.01], [4.0], [0.02]]), torch.zeros(4))
    outgoing = DenseLayer(torch.tensor([[5.0, 0.01, 4.0, 0.02]]), torch.zeros(1))
    # when
    first, last = GroupMagnitudePruning()([incoming, outgoing], [2])
    # then
    assert first.weight[:, 0].tolist() == [5.0, 4.0]
    assert last.weight[0].tolist() == [5.0, 4.0]


def test_it_works_without_gradients_and_has_a_name() -> None:
    with torch.no_grad():
        resized = resize_method("prune-group")(layers(8), (3, 4))
    assert not any(layer.weight.requires_grad for layer in resized)


def test_growing_is_refused() -> None:
    with pytest.raises(ValueError, match="pruning cannot make a layer of 8 neurons larger, got size 9"):
        GroupMagnitudePruning()(layers(8), (9, 8))
