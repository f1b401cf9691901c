"""What all integral layers share: λ, a plain layer made integral, discrete parameters."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sb3_integral.nn import Axis, IntegralConv2d, IntegralLayer, IntegralLinear, Trapezoidal

sizes = st.integers(1, 20)


def node_weights(grid: int) -> torch.Tensor:
    return Trapezoidal().weights(Trapezoidal().points(grid))


def linear(in_axis: int | Axis, out_axis: int | Axis, in_repeat: int = 1) -> IntegralLinear:
    return IntegralLinear(in_axis, out_axis, dtype=torch.float64, in_repeat=in_repeat)


def conv(in_axis: int | Axis, out_axis: int | Axis) -> IntegralConv2d:
    return IntegralConv2d(in_axis, out_axis, (3, 2), dtype=torch.float64)


BUILDERS = [linear, lambda i, o: linear(i, o, in_repeat=4), conv]
every_layer = pytest.mark.parametrize("build", BUILDERS, ids=["linear", "linear-repeated", "conv"])


@every_layer
@given(grid=sizes, out=sizes)
@settings(max_examples=15, deadline=None)
def test_lam_that_is_set_is_read_again(build, grid: int, out: int) -> None:
    # given
    layer = build(Axis(grid), Axis(out))
    lam = torch.randn_like(layer.lam)
    # when
    layer.lam = lam
    # then
    torch.testing.assert_close(layer.lam, lam)
    assert lam.shape[:2] == (out, grid)


@every_layer
@given(grid=sizes)
@settings(max_examples=15, deadline=None)
def test_weight_is_lam_times_the_quadrature_weight_of_its_node(build, grid: int) -> None:
    # given
    layer = build(Axis(grid), 3)
    # when
    layer.lam = torch.ones_like(layer.lam)
    # then each input node holds its own weight, for every output and position
    operator = layer.weight.detach().view(layer.operator_shape(layer.weight.shape))
    expected = node_weights(grid).view(1, -1, *[1] * (operator.dim() - 2)).expand_as(operator)
    torch.testing.assert_close(operator, expected)


@every_layer
def test_lam_of_a_discrete_input_is_the_weight(build) -> None:
    # given
    layer = build(5, Axis(4))
    # then
    torch.testing.assert_close(layer.lam.flatten(), layer.weight.flatten())


@every_layer
def test_lam_is_set_in_place_and_needs_no_gradient_to_be(build) -> None:
    # given
    layer = build(Axis(4), Axis(5))
    weight = layer.weight
    # when
    layer.lam = torch.zeros_like(layer.lam)
    # then
    assert layer.weight is weight
    assert weight.requires_grad
    assert not weight.detach().any()


@every_layer
@given(in_grid=sizes, out_grid=sizes, in_size=sizes, out_size=sizes)
@settings(max_examples=15, deadline=None)
def test_discrete_parameters_are_sampled_and_integrated_lam(
    build, in_grid: int, out_grid: int, in_size: int, out_size: int
) -> None:
    # given
    ins, outs = Axis(in_size, grid_size=in_grid), Axis(out_size, grid_size=out_grid)
    layer = build(ins, outs)
    # when
    weight, bias = layer.discrete_parameters()
    # then Eq. 2 along the output, Eq. 2 and 3 along the input
    to_out = outs.kernel.matrix(outs.points, out_grid)
    to_in = ins.kernel.matrix(ins.points, in_grid)
    samples = torch.einsum("oO,iI,OI...->oi...", to_out, to_in, layer.lam)
    weights = ins.quadrature.weights(ins.points)
    expected = samples * weights.view(1, -1, *[1] * (samples.dim() - 2))
    torch.testing.assert_close(weight.flatten(), expected.flatten())
    torch.testing.assert_close(bias, to_out @ layer.bias)


@every_layer
def test_layer_between_discrete_dimensions_computes_with_its_own_parameters(build) -> None:
    # given
    layer = build(3, 4)
    # when
    weight, bias = layer.discrete_parameters()
    # then
    assert weight is layer.weight
    assert bias is layer.bias
    assert (layer.in_axis, layer.out_axis) == (None, None)


@every_layer
def test_layer_at_equal_grid_and_size_computes_with_its_own_parameters(build) -> None:
    # given
    layer = build(Axis(6), Axis(4))
    # when
    weight, bias = layer.discrete_parameters()
    # then nothing is computed
    assert weight is layer.weight
    assert bias is layer.bias


@every_layer
def test_layer_on_other_axes_is_of_the_same_kind(build) -> None:
    # given
    layer = build(Axis(6), Axis(4))
    ins, outs = Axis(6, grid_size=9), Axis(4, grid_size=2)
    # when
    other = layer.on_axes(ins, outs)
    # then
    assert type(other) is type(layer)
    assert (other.in_axis, other.out_axis) == (ins, outs)
    assert other.lam.shape == (2, 9, *layer.lam.shape[2:])
    assert other.weight.dtype == layer.weight.dtype
    assert (other.bias is None) == (layer.bias is None)


@every_layer
def test_axes_belong_to_the_network_and_not_to_the_layer(build) -> None:
    # given
    layer = build(Axis(6), Axis(4))
    # then
    assert list(layer.children()) == []
    assert set(layer.state_dict()) == {"weight", "bias"}
    assert isinstance(layer, IntegralLayer)


def test_integral_layers_are_torchs_layers() -> None:
    assert issubclass(IntegralLinear, nn.Linear)
    assert issubclass(IntegralConv2d, nn.Conv2d)


def test_layer_is_initialised_as_torchs_is() -> None:
    # given
    torch.manual_seed(3)
    layer = IntegralLinear(Axis(7), Axis(5))
    torch.manual_seed(3)
    plain = nn.Linear(7, 5)
    # then
    assert torch.equal(layer.weight, plain.weight)
    assert torch.equal(layer.bias, plain.bias)
