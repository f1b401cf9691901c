"""Permutation: the same function, and nearly the shortest path."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sb3_integral.nn import (
    Axis,
    IntegralConv2d,
    IntegralLayer,
    IntegralLinear,
    permute_axis,
    shortest_path,
    to_integral_layers,
    total_variation,
)

pytest.importorskip("fast_tsp", reason="ordering neurons needs the extra 'permutation'")


def length(vectors: torch.Tensor, order: torch.Tensor) -> float:
    return float(total_variation(vectors[order].double()))


def smooth_curve(count: int, seed: int) -> torch.Tensor:
    """Return vectors along a smooth curve that does not come near itself."""
    time = torch.linspace(0, 1, count, dtype=torch.float64)[:, None]
    generator = torch.Generator().manual_seed(seed)
    slopes = 1 + torch.rand(12, dtype=torch.float64, generator=generator)
    phases = 6 * torch.rand(12, dtype=torch.float64, generator=generator)
    return 2 * slopes * time + torch.sin(2 * time + phases)


def test_path_is_within_half_a_percent_of_the_best_known() -> None:
    # given
    vectors = torch.randn(100, 120, generator=torch.Generator().manual_seed(0))
    # when
    order = shortest_path(vectors)
    # then against a much longer search
    assert sorted(order.tolist()) == list(range(100))
    best = min(length(vectors, shortest_path(vectors, seconds)) for seconds in (1, 3))
    assert length(vectors, order) <= best * 1.005
    assert length(vectors, order) < 0.95 * length(vectors, torch.arange(100))


@given(count=st.integers(3, 60), seed=st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_order_of_a_shuffled_smooth_curve_is_recovered(count: int, seed: int) -> None:
    # given
    curve = smooth_curve(count, seed)
    shuffle = torch.randperm(count, generator=torch.Generator().manual_seed(seed + 1))
    vectors = curve[shuffle]
    # when
    order = shortest_path(vectors, seconds=0.05)
    # then up to reversal
    places = shuffle[order].tolist()
    assert places in (list(range(count)), list(range(count))[::-1])
    # and no order that the data came in is shorter
    assert length(vectors, order) <= length(vectors, torch.arange(count)) * (1 + 1e-9)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_vectors_stay_where_they_are(count: int) -> None:
    assert shortest_path(torch.randn(count, 4)).tolist() == list(range(count))


def test_equal_vectors_have_some_order() -> None:
    assert sorted(shortest_path(torch.ones(5, 3), seconds=0.05).tolist()) == list(range(5))


def test_permuted_mlp_computes_the_same_and_varies_less() -> None:
    # given
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(5, 20), nn.Tanh(), nn.Linear(20, 15), nn.Tanh(), nn.Linear(15, 3))
    inputs = torch.randn(8, 5)
    expected = plain(inputs).detach()
    before = plain[0].weight.detach().clone()
    axes = [Axis(20), Axis(15)]
    layers = to_integral_layers([plain[0], plain[2], plain[4]], axes)
    # when
    orders = [permute_axis(layers, axis, seconds=0.05) for axis in axes]
    # then
    for order, axis in zip(orders, axes, strict=True):
        assert sorted(order.tolist()) == list(range(axis.grid_size))
    torch.testing.assert_close(plain(inputs), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(plain[0].weight, before[orders[0]])
    assert not torch.equal(plain[0].weight, before)
    assert float(total_variation(plain[0].weight.detach())) < float(total_variation(before))


def test_permuted_cnn_computes_the_same() -> None:
    # given convolutions, and a dense layer over flattened channels
    torch.manual_seed(0)
    first, second, third = Axis(9), Axis(8), Axis(7)
    network = nn.Sequential(
        IntegralConv2d(3, first, 3),
        nn.ReLU(),
        IntegralConv2d(first, second, 3, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        IntegralLinear(second, third, in_repeat=16),
        nn.ReLU(),
        IntegralLinear(third, 2),
    )
    layers = [layer for layer in network if isinstance(layer, IntegralLayer)]
    inputs = torch.randn(4, 3, 8, 8)
    expected = network(inputs).detach()
    # when
    orders = [permute_axis(layers, axis, seconds=0.05) for axis in (first, second, third)]
    # then
    assert any(order.tolist() != sorted(order.tolist()) for order in orders)
    torch.testing.assert_close(network(inputs), expected, rtol=1e-5, atol=1e-6)


def test_axis_that_no_layer_is_on_is_refused() -> None:
    with pytest.raises(ValueError, match="no layer is on the axis"):
        permute_axis([IntegralLinear(Axis(4), 2)], Axis(4))
