"""Partitions that nest."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sb3_integral.nn import Axis, IntegralLinear, IntegralMLP, nested_order


@given(st.integers(1, 300))
def test_the_order_is_a_permutation(nodes: int) -> None:
    assert sorted(nested_order(nodes)) == list(range(nodes))


@given(st.integers(8, 300), st.data())
def test_every_beginning_is_spread_evenly(nodes: int, data: st.DataObject) -> None:
    """Given any beginning of the order, when it is sorted, then no gap is large."""
    size = data.draw(st.integers(2, nodes))

    places = sorted(nested_order(nodes)[:size])

    gaps = [b - a for a, b in zip([0, *places], [*places, nodes], strict=True)]
    # Of the first 2^k numbers of the sequence, each lies in an interval of its own.
    assert max(gaps) <= nodes / 2 ** (size.bit_length() - 1) * 2 + 1


def test_eight_nodes_by_hand() -> None:
    assert nested_order(8) == (0, 4, 2, 6, 1, 5, 3, 7)


@given(st.integers(1, 40), st.data())
def test_points_of_a_size_are_points_of_each_larger_one(small: int, data: st.DataObject) -> None:
    large = data.draw(st.integers(small, 40))
    axis = Axis(40, nested=True)

    few, many = axis.resize(small).points, axis.resize(large).points

    assert set(few.tolist()) <= set(many.tolist())
    assert len(few) == small


@pytest.mark.parametrize("size", [1, 3, 7, 12])
def test_a_small_layer_is_the_beginning_of_the_large_one(size: int) -> None:
    in_axis, out_axis = Axis(12, nested=True), Axis(9, nested=True)
    layer = IntegralLinear(in_axis, out_axis)

    in_axis.resize(size)
    out_axis.resize(min(size, 9))
    weight, bias = layer.discrete_parameters()

    assert torch.equal(weight, layer.weight[: min(size, 9), :size])
    assert torch.equal(bias, layer.bias[: min(size, 9)])


@pytest.mark.parametrize("size", [5, 16, 40])
def test_matrices_do_what_the_beginning_does(size: int) -> None:
    """Given a nested axis, then its matrices sample and integrate as the layers themselves do."""
    torch.manual_seed(0)
    mlp = IntegralMLP(3, (16,), 2)
    axis = Axis(16, nested=True)
    first, last = IntegralLinear(3, axis), IntegralLinear(axis, 2)
    inputs = torch.randn(5, 3)
    axis.resize(size)

    sampling, integration = axis.matrices(inputs)
    hidden = torch.relu(first(inputs))
    expected_hidden = first.weight if sampling is None else sampling @ first.weight

    assert torch.allclose(first.discrete_parameters()[0], expected_hidden)
    if integration is not None:
        assert torch.allclose(last.discrete_parameters()[0], last.weight @ integration)
    assert hidden.shape == (5, size)
    assert mlp(inputs).shape == (5, 2)


def test_above_the_grid_the_function_stays_the_same() -> None:
    """Given a nested axis, when it grows, then λ is interpolated between neighbours in space."""
    axis = Axis(9, nested=True, kernel="linear")
    layer = IntegralLinear(1, axis)
    with torch.no_grad():
        layer.weight.copy_(axis.points[:, None])
        layer.bias.zero_()

    axis.resize(17)

    assert torch.allclose(layer.discrete_parameters()[0][:, 0].double(), axis.points, atol=1e-6)


def test_lam_and_the_node_weights_fit_each_other() -> None:
    """Given λ = 1, when it is integrated at full size, then the integral is 1."""
    axis = Axis(10, nested=True)
    layer = IntegralLinear(axis, 1, bias=False)

    layer.lam = torch.ones(1, 10)

    assert layer(torch.ones(1, 10)).item() == pytest.approx(1.0)
    assert torch.allclose(layer.lam, torch.ones(1, 10))


def test_nested_points_cannot_be_moved() -> None:
    axis = Axis(8, nested=True)

    with pytest.raises(ValueError, match="nest"):
        axis.place([0.0, 0.3, 1.0])
    with pytest.raises(ValueError, match="nest"):
        axis.start_tuning()
