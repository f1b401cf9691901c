"""Weights of lower rank, within the parameters of a network of the wanted sizes."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sb3_integral.resize import CountsParameters, DenseLayer, TruncatedSVD


def layers(*features: int, bias: bool = True) -> list[DenseLayer]:
    torch.manual_seed(0)
    return [
        DenseLayer(torch.randn(n_out, n_in), torch.randn(n_out) if bias else None)
        for n_in, n_out in pairwise(features)
    ]


def parameter_count(features: tuple[int, ...]) -> int:
    return sum((n_in + 1) * n_out for n_in, n_out in pairwise(features))


def rank(weight: torch.Tensor) -> int:
    return int(torch.linalg.matrix_rank(weight.double(), rtol=1e-5))


def test_the_largest_singular_values_stay_by_hand() -> None:
    # given weights of singular values 5, 3, 2 and 1 between one input and one output
    middle = torch.diag(torch.tensor([3.0, 5.0, 1.0, 2.0]))
    network = [
        DenseLayer(torch.ones(4, 1), None),
        DenseLayer(middle, torch.tensor([1.0, 2.0, 3.0, 4.0])),
        DenseLayer(torch.ones(1, 4), torch.zeros(1)),
    ]
    # when the 3 x 3 network has 3 + (9 + 3) + (3 + 1) parameters: 6 for the middle, 8 a rank
    method = TruncatedSVD()
    resized = method(network, (3, 3))
    # then one rank is what every layer has at least, and the rows of one have no factors
    assert method.ranks(network, (3, 3)) == [1, 1, 1]
    torch.testing.assert_close(resized[1].weight, torch.diag(torch.tensor([0.0, 5.0, 0.0, 0.0])))
    assert torch.equal(resized[0].weight, network[0].weight)
    assert torch.equal(resized[2].weight, network[2].weight)
    assert resized[1].bias is not None
    assert torch.equal(resized[1].bias, torch.tensor([1.0, 2.0, 3.0, 4.0]))
    # and the numbers to store: 4, two factors of 4, biases, 4
    assert method.parameter_count(network, (3, 3)) == 4 + 8 + 4 + 4 + 1


def test_ranks_go_where_a_parameter_takes_away_most_error() -> None:
    # given two hidden layers: one all but of rank one, one whose singular values are equal
    torch.manual_seed(1)
    flat = torch.linalg.qr(torch.randn(20, 20)).Q
    steep = torch.outer(torch.randn(20), torch.randn(20)) + 1e-3 * flat
    network = [
        *layers(4, 20),
        DenseLayer(steep, torch.zeros(20)),
        DenseLayer(flat, torch.zeros(20)),
        *layers(20, 2),
    ]
    # when
    ranks = TruncatedSVD().ranks(network, (15, 15, 15))
    # then
    assert ranks[1] == 1
    assert ranks[2] > 5


@given(st.lists(st.integers(1, 100), min_size=2, max_size=2), st.sampled_from([(17, 6), (6, 3)]))
def test_there_are_no_more_parameters_than_at_that_size_unless_each_layer_has_rank_one(
    sizes: list[int], ends: tuple[int, int]
) -> None:
    # given
    n_in, n_out = ends
    network = layers(n_in, 100, 100, n_out)
    method = TruncatedSVD()
    # when
    ranks, count = method.ranks(network, sizes), method.parameter_count(network, sizes)
    # then
    assert count <= parameter_count((n_in, *sizes, n_out)) or ranks == [1, 1, 1]
    assert count <= parameter_count((n_in, 100, 100, n_out))
    assert [rank(layer.weight) for layer in method(network, sizes)] == ranks


def test_more_parameters_never_fit_worse() -> None:
    network = layers(17, 100, 100, 6)
    errors = [
        float((TruncatedSVD()(network, (size, size))[1].weight - network[1].weight).norm())
        for size in (100, 90, 70, 50, 30, 10, 5)
    ]
    assert errors[0] == 0.0
    assert errors == sorted(errors)
    assert errors[1] > 0.0


def test_layers_without_bias_and_of_nothing_are_taken() -> None:
    network = [*layers(3, 12, bias=False), DenseLayer(torch.zeros(12, 12), None), *layers(12, 2)]
    resized = TruncatedSVD()(network, (6, 6))
    assert resized[0].bias is None
    assert torch.equal(resized[1].weight, torch.zeros(12, 12))


def test_it_counts_what_it_stores_and_the_identity_stores_everything() -> None:
    network = layers(17, 100, 100, 6)
    assert isinstance(TruncatedSVD(), CountsParameters)
    assert TruncatedSVD().parameter_count(network, (100, 100)) == parameter_count((17, 100, 100, 6))


def test_growing_is_refused() -> None:
    with pytest.raises(
        ValueError, match="truncation cannot make a layer of 8 neurons larger, got size 9"
    ):
        TruncatedSVD()(layers(3, 8, 8, 2), (8, 9))
