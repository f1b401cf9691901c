"""Spectra and total variation, by hand and by what must stay."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_integral.nn import (
    Axis,
    IntegralConv2d,
    IntegralLinear,
    cut_high_frequencies,
    high_frequency_share,
    mean_spectrum,
    relative_variation,
    total_variation,
    truncate_spectrum,
)

shapes = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 4))


def cosine(frequency: int, columns: int) -> torch.Tensor:
    return torch.cos(2 * math.pi * frequency * torch.arange(columns, dtype=torch.float64) / columns)


@given(frequency=st.integers(0, 8), rows=st.integers(1, 5), amplitude=st.floats(0.1, 10))
@settings(max_examples=20, deadline=None)
def test_spectrum_of_a_cosine_peaks_at_its_frequency_alone(
    frequency: int, rows: int, amplitude: float
) -> None:
    # given
    weight = amplitude * cosine(frequency, 16).expand(rows, 16)
    # when
    spectrum = mean_spectrum(weight)
    # then the constant and the highest frequency have no mirror image to share with
    expected = torch.zeros(9).double()
    expected[frequency] = amplitude * (16 if frequency in (0, 8) else 8)
    torch.testing.assert_close(spectrum, expected, rtol=1e-9, atol=1e-9)


def test_spectrum_is_the_mean_over_rows_of_amplitudes() -> None:
    # given rows whose transforms are (6, 2i-2, -2), (0, 2, 0) and cancel where signs were kept
    weight = torch.tensor([[0.0, 1.0, 2.0, 3.0], [1.0, 0.0, -1.0, 0.0], [-1.0, 0.0, 1.0, 0.0]])
    # when
    spectrum = mean_spectrum(weight)
    # then
    expected = torch.tensor([6 / 3, (math.sqrt(8) + 2 + 2) / 3, 2 / 3])
    torch.testing.assert_close(spectrum, expected)


def test_variation_is_relative_to_the_weights_by_hand() -> None:
    # given weights of 10 / 6 on average, with neighbours 1, 0 and 5, and 1, 2, 2 and 3 apart
    weight = torch.tensor([[1.0, 2.0, 4.0], [0.0, 2.0, -1.0]])
    # then
    assert float(relative_variation(weight)) == pytest.approx((6 / 3) / (10 / 6))
    assert float(relative_variation(weight, dim=1)) == pytest.approx((8 / 4) / (10 / 6))
    assert float(relative_variation(-30 * weight)) == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("row", "variation", "share"),
    [
        ([3.0, 3.0, 3.0, 3.0], 0.0, 0.0),
        ([3.0, -3.0, 3.0, -3.0], 2.0, 1.0),
        ([1.0, 1.0, -1.0, -1.0], 2 / 3, 0.0),  # a quarter of a cycle per column is not above it
        ([2.0, 0.0, 2.0, 0.0], 2.0, 0.5),  # a constant, and as much that alternates
    ],
)
def test_roughness_of_rows_by_hand(row: list[float], variation: float, share: float) -> None:
    weight = torch.tensor([row, [2 * value for value in row]])
    assert float(relative_variation(weight, dim=1)) == pytest.approx(variation, abs=1e-6)
    assert float(high_frequency_share(weight)) == pytest.approx(share, abs=1e-6)


def test_roughness_of_white_noise() -> None:
    # given
    noise = torch.randn(400, 100, generator=torch.Generator().manual_seed(0))
    # then 49 of 100 frequencies are above a quarter of a cycle
    assert float(high_frequency_share(noise)) == pytest.approx(0.49, abs=0.01)
    for dim in (0, 1):
        assert float(relative_variation(noise, dim)) == pytest.approx(math.sqrt(2), abs=0.02)


def test_weights_of_zero_have_no_roughness() -> None:
    for number in (relative_variation, high_frequency_share):
        assert math.isnan(float(number(torch.zeros(3, 4))))


def test_total_variation_is_the_sum_of_steps() -> None:
    # given
    weight = torch.tensor([[1.0, 2.0, 4.0], [0.0, 2.0, -1.0]])
    # then
    assert float(total_variation(weight)) == 1 + 0 + 5
    assert float(total_variation(weight, dim=1)) == (1 + 2) + (2 + 3)
    assert float(total_variation(weight[:1])) == 0


@given(shape=shapes, dim=st.integers(0, 2))
@settings(max_examples=25, deadline=None)
def test_weight_with_all_its_frequencies_is_itself(shape: tuple[int, ...], dim: int) -> None:
    # given
    weight = torch.randn(shape, dtype=torch.float64)
    # then
    torch.testing.assert_close(truncate_spectrum(weight, shape[dim] // 2 + 1, dim), weight)


@given(shape=shapes, dim=st.integers(0, 2))
@settings(max_examples=25, deadline=None)
def test_weight_with_one_frequency_is_its_mean(shape: tuple[int, ...], dim: int) -> None:
    # given
    weight = torch.randn(shape, dtype=torch.float64)
    # then
    mean = weight.mean(dim=dim, keepdim=True).expand(shape)
    torch.testing.assert_close(truncate_spectrum(weight, 1, dim), mean)


@pytest.mark.parametrize("columns", [15, 16])
def test_truncation_keeps_what_is_low_and_cuts_what_is_high(columns: int) -> None:
    # given
    low, high = cosine(2, columns), cosine(3, columns)
    # when
    kept = truncate_spectrum((low + high)[None], 3, dim=1)
    # then
    torch.testing.assert_close(kept[0], low)


@pytest.mark.parametrize("keep", [-1, 0, 6])
def test_impossible_number_of_frequencies_is_refused(keep: int) -> None:
    with pytest.raises(ValueError, match=f"keep must be from 1 to 5, got {keep}"):
        truncate_spectrum(torch.zeros(8, 3), keep)


def layers() -> list[IntegralLinear | IntegralConv2d]:
    return [
        IntegralLinear(Axis(8), Axis(6), dtype=torch.float64),
        IntegralLinear(Axis(8), 3, dtype=torch.float64, in_repeat=2),
        IntegralLinear(3, Axis(7), dtype=torch.float64),
        IntegralConv2d(Axis(8), Axis(6), 2, dtype=torch.float64, bias=False),
    ]


@pytest.mark.parametrize("layer", layers(), ids=["both", "in", "out", "conv"])
def test_high_frequencies_of_lam_are_cut_along_each_axis(
    layer: IntegralLinear | IntegralConv2d,
) -> None:
    # given
    before, bias = layer.lam.clone(), None if layer.bias is None else layer.bias.detach().clone()
    # when
    cut_high_frequencies(layer, 2)
    # then
    expected = before.detach()
    if layer.out_axis is not None:
        expected = truncate_spectrum(expected, 2, 0)
    if layer.in_axis is not None:
        expected = truncate_spectrum(expected, 2, 1)
    torch.testing.assert_close(layer.lam.detach(), expected)
    assert not torch.equal(expected, before)
    if bias is not None:
        expected_bias = bias if layer.out_axis is None else truncate_spectrum(bias, 2)
        torch.testing.assert_close(layer.bias.detach(), expected_bias)


def test_nested_axes_are_cut_along_their_points_and_not_in_the_order_of_storage() -> None:
    # given the same functions on axes whose nodes are stored in another order
    even = IntegralLinear(Axis(8), Axis(6), dtype=torch.float64)
    nested = IntegralLinear(Axis(8, nested=True), Axis(6, nested=True), dtype=torch.float64)
    assert nested.in_axis is not None
    assert nested.out_axis is not None
    with torch.no_grad():
        nested.lam = nested.out_axis.stored(nested.in_axis.stored(even.lam, 1), 0)
        nested.bias.copy_(nested.out_axis.stored(even.bias, 0))
    # when
    cut_high_frequencies(even, 2)
    cut_high_frequencies(nested, 2)
    # then they still are the same
    lam = nested.in_axis.ascending(nested.out_axis.ascending(nested.lam, 0), 1)
    torch.testing.assert_close(lam, even.lam)
    torch.testing.assert_close(nested.out_axis.ascending(nested.bias, 0), even.bias)


@pytest.mark.parametrize("layer", layers(), ids=["both", "in", "out", "conv"])
def test_layer_with_more_than_all_frequencies_stays_itself(
    layer: IntegralLinear | IntegralConv2d,
) -> None:
    # given
    before = [parameter.detach().clone() for parameter in layer.parameters()]
    # when
    cut_high_frequencies(layer, 100)
    # then
    for parameter, value in zip(layer.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.detach(), value)


@pytest.mark.parametrize("keep", [0, -2])
def test_no_frequency_at_all_is_refused(keep: int) -> None:
    with pytest.raises(ValueError, match=f"keep must be at least 1, got {keep}"):
        cut_high_frequencies(layers()[0], keep)
