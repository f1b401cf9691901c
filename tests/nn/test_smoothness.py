"""Penalties on roughness, by hand and by what they must not see."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_integral.nn import Axis, IntegralLinear, SmoothnessPenalty, nested_order


def layer_of(values: torch.Tensor, axis: Axis) -> IntegralLinear:
    """A layer from one number to an axis, whose λ are given in the order of its storage."""
    layer = IntegralLinear(1, axis)
    with torch.no_grad():
        layer.weight.copy_(values[:, None])
    return layer


def test_total_variation_is_the_mean_difference_between_neighbours() -> None:
    layer = layer_of(torch.tensor([0.0, 1.0, -1.0, 5.0]), Axis(4))
    penalty = SmoothnessPenalty(total_variation=0.5)([layer])
    assert penalty.item() == pytest.approx(0.5 * (1 + 2 + 6) / 3)


def test_an_axis_that_is_read_counts_by_the_weights_of_an_ordinary_network() -> None:
    # given λ that jump by 8 once, on an axis of four nodes
    layer = IntegralLinear(Axis(4), 1)
    layer.lam = torch.tensor([[0.0, 0.0, 8.0, 8.0]])
    # then
    assert SmoothnessPenalty(total_variation=1.0)([layer]).item() == pytest.approx(8 / 4 / 3)


@given(frequency=st.integers(0, 7), amplitude=st.floats(0.1, 10.0))
@settings(max_examples=20, deadline=None)
def test_the_spectrum_counts_by_the_square_of_the_frequency(frequency: int, amplitude: float) -> None:
    # given a cosine of half periods, which its mirror image continues
    places = (torch.arange(8) + 0.5) / 8
    values = amplitude * torch.cos(math.pi * frequency * places)
    # when
    penalty = SmoothnessPenalty(spectral=1.0)([layer_of(values, Axis(8))])
    # then it is the mean square times the square of its share of the highest frequency
    expected = values.square().mean().item() * (frequency / 8) ** 2
    assert penalty.item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("penalty", [SmoothnessPenalty(1.0, 0.0), SmoothnessPenalty(0.0, 1.0)])
@given(size=st.integers(2, 40), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_nodes_count_in_the_order_in_which_they_lie_whatever_the_storage(
    penalty: SmoothnessPenalty, size: int, seed: int
) -> None:
    values = torch.randn(size, generator=torch.Generator().manual_seed(seed))
    ascending = penalty([layer_of(values, Axis(size))])
    stored = values[list(nested_order(size))]
    nested = penalty([layer_of(stored, Axis(size, nested=True))])
    torch.testing.assert_close(nested, ascending)


def test_what_is_learned_from_it_is_smoother() -> None:
    # given
    torch.manual_seed(0)
    axes = [Axis(12, nested=True), Axis(10, nested=True)]
    layers = [IntegralLinear(3, axes[0]), IntegralLinear(*axes), IntegralLinear(axes[1], 2)]
    penalty = SmoothnessPenalty(total_variation=0.5, spectral=0.5)
    optimizer = torch.optim.Adam([layer.weight for layer in layers], lr=0.01)
    before = penalty(layers).item()
    # when
    for _ in range(100):
        optimizer.zero_grad()
        penalty(layers).backward()
        optimizer.step()
    # then
    assert penalty(layers).item() < 0.2 * before


@pytest.mark.parametrize("wrong", [-1.0, math.inf, math.nan])
@pytest.mark.parametrize("name", ["total_variation", "spectral"])
def test_a_weight_that_is_none_is_an_error(name: str, wrong: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a number of at least 0, got {wrong}"):
        SmoothnessPenalty(**{name: wrong})
