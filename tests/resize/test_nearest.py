"""Neurons at even distances."""

import pytest
import torch

from sb3_integral.resize import DenseLayer, Nearest

LAYERS = [
    DenseLayer(torch.arange(4.0)[:, None], torch.arange(4.0) + 10),
    DenseLayer(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([5.0])),
]


@pytest.mark.parametrize(
    ("size", "kept"), [(1, [2]), (2, [1, 3]), (3, [0, 2, 3]), (4, [0, 1, 2, 3]), (6, [0, 1, 1, 2, 3, 3])]
)
def test_the_neuron_at_each_place_is_taken(size: int, kept: list[int]) -> None:
    first, last = Nearest()(LAYERS, [size])
    assert first.weight[:, 0].tolist() == kept
    assert first.bias is not None
    assert (first.bias - 10).tolist() == kept
    assert (last.weight[0] - 1).tolist() == kept


def test_rescaling_keeps_the_magnitude_of_a_sum() -> None:
    first, last = Nearest(rescale=True)(LAYERS, [2])
    assert first.weight[:, 0].tolist() == [1.0, 3.0]
    assert last.weight[0].tolist() == [4.0, 8.0]
    assert last.bias is not None
    assert last.bias.tolist() == [5.0]
