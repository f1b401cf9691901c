"""The integral convolution: a plain one made integral with every option, sizes and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sb3_integral.nn import Axis, IntegralConv2d, IntegralLinear, IntegralNetwork

channels = st.integers(1, 8)
PADDING_MODES = ["zeros", "reflect", "replicate", "circular"]

OPTIONS = [
    {},
    {"stride": 2},
    {"stride": (1, 3), "padding": (2, 0)},
    {"padding": "same"},
    {"padding": "valid"},
    {"dilation": 2},
    {"dilation": (1, 2), "padding": 1, "stride": 2},
    {"bias": False},
    {"dilation": 2, "padding": "same"},
]


@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_adopted_convolution_is_exact_at_full_size(options: dict, mode: str) -> None:
    # given
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 5, 3, padding_mode=mode, **options)
    # when
    layer = IntegralConv2d.from_conv(plain, Axis(4), Axis(5))
    # then
    assert layer.weight is plain.weight
    assert layer.bias is plain.bias
    data = torch.randn(2, 4, 11, 10)
    assert torch.equal(layer(data), plain(data))


@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_discretized_convolution_is_plain_and_computes_the_same(options: dict, mode: str) -> None:
    # given a layer whose axes are resized, one below and one above its channels
    torch.manual_seed(0)
    axes = Axis(6).resize(4), Axis(3, grid_size=5).resize(7)
    layer = IntegralConv2d(*axes, (3, 5), padding_mode=mode, dtype=torch.float64, **options)
    # when
    plain = layer.discretize()
    # then
    assert type(plain) is nn.Conv2d
    assert (plain.in_channels, plain.out_channels) == (4, 7)
    data = torch.randn(2, 4, 11, 10, dtype=torch.float64)
    torch.testing.assert_close(plain(data), layer(data))
    assert plain.weight is not layer.weight


@given(ins=channels, outs=channels, in_size=channels, out_size=channels)
@settings(max_examples=20, deadline=None)
def test_convolution_of_one_pixel_is_a_linear_layer(
    ins: int, outs: int, in_size: int, out_size: int
) -> None:
    # given the same λ in both
    axes = Axis(ins).resize(in_size), Axis(outs).resize(out_size)
    convolution = IntegralConv2d(*axes, 1, dtype=torch.float64)
    linear = IntegralLinear(*axes, dtype=torch.float64)
    linear.lam = convolution.lam[:, :, 0, 0]
    with torch.no_grad():
        linear.bias.copy_(convolution.bias)
    # when
    data = torch.randn(3, in_size, dtype=torch.float64)
    # then
    torch.testing.assert_close(convolution(data[:, :, None, None])[:, :, 0, 0], linear(data))


@given(ins=channels, outs=channels, in_size=channels, out_size=channels)
@settings(max_examples=20, deadline=None)
def test_convolution_over_the_whole_picture_is_a_linear_layer_of_flattened_channels(
    ins: int, outs: int, in_size: int, out_size: int
) -> None:
    # given the same λ in both
    axes = Axis(ins).resize(in_size), Axis(outs).resize(out_size)
    convolution = IntegralConv2d(*axes, (2, 3), bias=False, dtype=torch.float64)
    linear = IntegralLinear(*axes, bias=False, dtype=torch.float64, in_repeat=6)
    linear.lam = convolution.lam.flatten(start_dim=2)
    # when
    picture = torch.randn(4, in_size, 2, 3, dtype=torch.float64)
    # then
    torch.testing.assert_close(convolution(picture)[:, :, 0, 0], linear(picture.flatten(1)))


@pytest.mark.parametrize(("ins", "outs"), [(None, None), (4, None), (None, 6), (4, 6)])
def test_either_end_may_stay_discrete(ins: int | None, outs: int | None) -> None:
    # given
    plain = nn.Conv2d(4, 6, 3)
    axes = [None if size is None else Axis(size) for size in (ins, outs)]
    # when
    layer = IntegralConv2d.from_conv(plain, *axes)
    # then
    data = torch.randn(1, 4, 5, 5)
    assert torch.equal(layer(data), plain(data))
    for axis in axes:
        if axis is not None:
            axis.resize(3)
    shape = layer(torch.randn(1, 4 if ins is None else 3, 5, 5)).shape
    assert shape[1] == (6 if outs is None else 3)


@pytest.mark.parametrize("groups", [2, 4])
def test_groups_are_refused(groups: int) -> None:
    with pytest.raises(ValueError, match=f"cannot be integral, got groups={groups}"):
        IntegralConv2d.from_conv(nn.Conv2d(4, 8, 3, groups=groups))


@pytest.mark.parametrize(("side", "position"), [("input", 0), ("output", 1)])
def test_axis_whose_grid_does_not_fit_is_refused(side: str, position: int) -> None:
    # given
    axes: list[Axis | None] = [None, None]
    axes[position] = Axis(6, grid_size=5)
    # then
    with pytest.raises(ValueError, match=f"the {side} axis has a grid of 5 nodes, expected 6"):
        IntegralConv2d.from_conv(nn.Conv2d(6, 6, 3), *axes)


@pytest.mark.parametrize(("in_size", "out_size"), [(3, 3), (2, 5), (6, 2)])
def test_gradients_are_right_at_resized_sizes(in_size: int, out_size: int) -> None:
    # given
    torch.manual_seed(0)
    axes = Axis(4).resize(in_size), Axis(3, grid_size=4).resize(out_size)
    layer = IntegralConv2d(*axes, 2, stride=2, padding=1, padding_mode="replicate", dtype=torch.float64)

    def output(data: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.func.functional_call(
            layer, {"weight": weight, "bias": bias}, (data,)
        )
        return result

    # then with respect to the input and to the parameters
    arguments = [torch.randn(1, in_size, 3, 3, dtype=torch.float64), layer.weight, layer.bias]
    assert torch.autograd.gradcheck(output, [t.detach().clone().requires_grad_() for t in arguments])


@given(size=st.integers(1, 12))
@settings(max_examples=15, deadline=None)
def test_cnn_with_flattened_channels_has_every_size(size: int) -> None:
    # given convolutions, then a dense layer over what they leave of the picture
    torch.manual_seed(0)
    first, second, third = Axis(6), Axis(5), Axis(8)
    network = IntegralNetwork(
        nn.Sequential(
            IntegralConv2d(3, first, 3),
            nn.ReLU(),
            IntegralConv2d(first, second, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            IntegralLinear(second, third, in_repeat=9),
            nn.Tanh(),
            IntegralLinear(third, 2),
        )
    ).double()
    data = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    # when
    plain = network.discretize(size)
    # then
    assert plain[5].in_features == size * 9
    torch.testing.assert_close(plain(data), network.resize(size)(data))
