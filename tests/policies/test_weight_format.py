from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.ao.quantization import FakeQuantize, MinMaxObserver, PerChannelMinMaxObserver

from sb3_integral.actor.quantized import rounded_weights
from sb3_integral.policies import WeightFormat

WEIGHT = torch.tensor([[1.0, -0.6], [0.25, 0.1]])
FORMATS = st.builds(WeightFormat, st.integers(2, 16), st.sampled_from(["tensor", "row"]))
WEIGHTS = st.lists(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3), min_size=1, max_size=4
).map(torch.tensor)


@pytest.mark.parametrize(
    ("bits", "per", "scales", "wanted"),
    [
        # 1.0, -0.6, 0.25 and 0.1 are 7, -4.2, 1.75 and 0.7 sevenths.
        (4, "tensor", [1 / 7], [[1.0, -4 / 7], [2 / 7, 1 / 7]]),
        # In the second row 0.1 is 2.8 units of 0.25 / 7.
        (4, "row", [1 / 7, 0.25 / 7], [[1.0, -4 / 7], [0.25, 0.75 / 7]]),
        # Two bits are -1, 0 and 1.
        (2, "tensor", [1.0], [[1.0, -1.0], [0.0, 0.0]]),
        (2, "row", [1.0, 0.25], [[1.0, -1.0], [0.25, 0.0]]),
        # -0.6 is -76.2 units of 1 / 127; 0.25 is 31.75, and 0.1 is 12.7.
        (8, "tensor", [1 / 127], [[1.0, -76 / 127], [32 / 127, 13 / 127]]),
    ],
)
def test_weights_are_rounded_as_on_paper(bits: int, per: Any, scales: Any, wanted: Any) -> None:
    weights = WeightFormat(bits, per)
    torch.testing.assert_close(weights.scales(WEIGHT), torch.tensor(scales))
    torch.testing.assert_close(weights.rounded(WEIGHT), torch.tensor(wanted))


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("per", ["tensor", "row"])
@pytest.mark.parametrize("shape", [(6, 5), (4, 3, 2, 2)])
def test_the_scales_and_numbers_are_those_of_torchs_own_module(
    bits: int, per: Any, shape: tuple[int, ...]
) -> None:
    # given
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    weights = WeightFormat(bits, per)
    limits = {"quant_min": -weights.limit, "quant_max": weights.limit, "dtype": torch.qint8}
    of_torch = (
        FakeQuantize(MinMaxObserver, qscheme=torch.per_tensor_symmetric, **limits)
        if per == "tensor"
        else FakeQuantize(
            PerChannelMinMaxObserver, qscheme=torch.per_channel_symmetric, ch_axis=0, **limits
        )
    )
    # when
    wanted = of_torch(weight)
    # then
    torch.testing.assert_close(weights.scales(weight), of_torch.scale)
    torch.testing.assert_close(weights.rounded(weight), wanted)
    assert not of_torch.zero_point.any()


@pytest.mark.parametrize(("bits", "name"), [(8, "int8"), (16, "q15")])
def test_rows_are_rounded_as_in_c_headers(bits: int, name: Any) -> None:
    weight = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    in_c = rounded_weights(weight.numpy(), name)
    rounded = WeightFormat(bits).rounded(weight).numpy()
    np.testing.assert_allclose(rounded, in_c.values * in_c.scale[:, None], rtol=1e-6, atol=1e-9)


@given(weight=WEIGHTS, weights=FORMATS)
@example(torch.zeros(2, 3), WeightFormat(4))
@example(torch.tensor([[1e-45, -1e-45, 0.0]]), WeightFormat(8))
@example(torch.tensor([[3.4e38, -1.0, 0.0]]), WeightFormat(2, "tensor"))
def test_no_weight_is_off_by_more_than_half_a_unit(weight: torch.Tensor, weights: WeightFormat) -> None:
    # when
    rounded, scales = weights.rounded(weight).double(), weights.scales(weight).double()
    # then
    half = (0.5 + 1e-5 * weights.limit / 127) * scales.unsqueeze(1)
    assert bool(((rounded - weight.double()).abs() <= half).all())
    units = rounded / scales.unsqueeze(1)
    torch.testing.assert_close(units, units.round(), rtol=1e-6, atol=1e-6)
    assert units.round().abs().max() <= weights.limit


@given(weight=WEIGHTS, weights=FORMATS)
@example(torch.zeros(2, 3), WeightFormat(4))
def test_rounding_what_is_rounded_changes_nothing(weight: torch.Tensor, weights: WeightFormat) -> None:
    once = weights.rounded(weight)
    torch.testing.assert_close(weights.rounded(once), once, rtol=1e-6, atol=0.0)


def test_gradients_pass_straight_through() -> None:
    # given
    weight = WEIGHT.clone().requires_grad_()
    sent = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    for weights in (WeightFormat(2, "tensor"), WeightFormat(4), WeightFormat(16)):
        # when
        weights.rounded(weight).backward(sent)
        # then
        assert torch.equal(weight.grad, sent)
        weight.grad = None


@pytest.mark.parametrize(
    ("bits", "per", "shape", "wanted"),
    [
        (4, "tensor", (3, 5), 8 + 4),  # fifteen numbers, two to a byte
        (4, "row", (3, 5), 3 * (3 + 4)),  # five numbers in three bytes, three times
        (8, "tensor", (3, 5), 15 + 4),
        (8, "row", (3, 5), 15 + 12),
        (16, "row", (3, 5), 30 + 12),
        (3, "tensor", (3, 5), 6 + 4),  # 45 bits
        (4, "row", (2, 3, 2, 2), 2 * (6 + 4)),
    ],
)
def test_bytes_are_those_counted_by_hand(bits: int, per: Any, shape: Any, wanted: int) -> None:
    assert WeightFormat(bits, per).n_bytes(shape) == wanted


@given(weights=FORMATS)
def test_a_name_gives_the_format_back(weights: WeightFormat) -> None:
    assert WeightFormat.from_name(weights.name) == weights


def test_names_are_short() -> None:
    assert WeightFormat(8).name == "int8-row"
    assert WeightFormat(4, "tensor").name == "int4-tensor"


@pytest.mark.parametrize("bits", [1, 17, 0, -4, 4.0, True, "4", None])
def test_other_bits_are_refused(bits: Any) -> None:
    with pytest.raises(ValueError, match=r"integer from 2 to 16, got ") as error:
        WeightFormat(bits)
    assert repr(bits) in str(error.value)


def test_other_scales_are_refused() -> None:
    with pytest.raises(ValueError, match=r"tensor or row, got 'column'"):
        WeightFormat(8, "column")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["float32", "int8", "int08-row", "int8-column", "int8-row ", ""])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="int8-row or int4-tensor"):
        WeightFormat.from_name(name)
    with pytest.raises(ValueError, match="from 2 to 16, got 32"):
        WeightFormat.from_name("int32-row")
