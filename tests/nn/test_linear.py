"""The integral linear layer: made from a plain one, sizes, gradients, and convergence (Eq. 1)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sb3_integral.nn import (
    Axis,
    CubicConvolution,
    GaussLegendre,
    IntegralLinear,
    Midpoint,
    Quadrature,
    Simpson,
    Trapezoidal,
)

sizes = st.integers(1, 20)

# Fine enough for the interpolation of λ not to show beside the error of the quadrature: a multiple
# of every gap below, so that samples with both ends lie on nodes.
FINE_GRID = 2881


def integral_layer(size: int, quadrature: Quadrature) -> IntegralLinear:
    """Return a layer of three outputs whose weight is F_W(x_out, x_in) = exp(x_out x_in)."""
    axis = Axis(size, grid_size=FINE_GRID, kernel=CubicConvolution(a=-0.5), quadrature=quadrature)
    layer = IntegralLinear(axis, 3, bias=False, dtype=torch.float64)
    nodes = torch.linspace(0, 1, FINE_GRID, dtype=torch.float64)
    outputs = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    layer.lam = torch.exp(outputs[:, None] * nodes)
    return layer


def analytic_output() -> torch.Tensor:
    """Return the integral of exp(c x) cos(3 x) over [0, 1], for each of the three outputs c."""
    return torch.tensor(
        [(math.exp(c) * (c * math.cos(3) + 3 * math.sin(3)) - c) / (c**2 + 9) for c in (0.0, 1.0, 2.0)],
        dtype=torch.float64,
    )


def integration_error(size: int, quadrature: Quadrature) -> torch.Tensor:
    """Apply the layer to samples of F_I(x) = cos(3 x); return each output's error."""
    layer = integral_layer(size, quadrature)
    samples = torch.cos(3 * layer.in_axis.points)
    return (layer(samples) - analytic_output()).detach().abs()


@pytest.mark.parametrize(
    ("quadrature", "size", "finer", "cells", "order"),
    [
        (Trapezoidal(), 21, 41, 0, 2),
        (Trapezoidal(), 37, 181, 0, 2),
        (Midpoint(), 20, 40, 1, 2),
        (Simpson(), 17, 37, 0, 4),
        (Simpson(), 25, 49, 0, 4),
    ],
    ids=str,
)
def test_layer_converges_to_its_integral_with_the_quadratures_order(
    quadrature: Quadrature, size: int, finer: int, cells: int, order: int
) -> None:
    # when
    errors = [integration_error(n, quadrature) for n in (size, finer)]
    # then
    gaps = [n - 1 + cells for n in (size, finer)]
    measured = (errors[0] / errors[1]).log() / math.log(gaps[1] / gaps[0])
    torch.testing.assert_close(measured, torch.full_like(measured, order), rtol=0, atol=0.1)


def test_layer_with_gauss_legendre_needs_but_few_samples() -> None:
    assert float(integration_error(8, GaussLegendre()).max()) < 1e-8
    assert float(integration_error(3, GaussLegendre()).max()) > 1e-5


def test_layer_along_its_output_is_a_sampled_function() -> None:
    # given λ of F_W(x_out, j) = sin(4 x_out + j) on a fine grid
    axis = Axis(30, grid_size=2001, kernel=CubicConvolution(a=-0.5))
    layer = IntegralLinear(2, axis, bias=False, dtype=torch.float64)
    nodes = torch.linspace(0, 1, 2001, dtype=torch.float64)[:, None]
    layer.lam = torch.sin(4 * nodes + torch.arange(2))
    for size in (5, 30, 77):
        # when
        axis.resize(size)
        output = layer(torch.tensor([1.0, -2.0]).double())
        # then
        points = axis.points
        torch.testing.assert_close(output, torch.sin(4 * points) - 2 * torch.sin(4 * points + 1))


def test_layer_on_a_constant_gives_the_same_at_every_size() -> None:
    # given a layer whose weight and input do not vary along the axis
    for quadrature in (Trapezoidal(), Midpoint(), Simpson(), GaussLegendre()):
        axis = Axis(9, quadrature=quadrature)
        layer = IntegralLinear(axis, 2, dtype=torch.float64)
        layer.lam = torch.tensor([[3.0], [-2.0]]).double().expand(2, 9)
        for size in (1, 2, 5, 9, 40):
            # when
            output = layer(torch.ones(axis.resize(size).size).double())
            # then
            torch.testing.assert_close(output, layer.bias + torch.tensor([3.0, -2.0]).double())


@given(ins=sizes, outs=sizes, bias=st.booleans(), batch=st.lists(st.integers(1, 3), max_size=2))
@settings(max_examples=20, deadline=None)
def test_adopted_layer_shares_its_parameters_and_is_exact_at_full_size(
    ins: int, outs: int, bias: bool, batch: list[int]
) -> None:
    # given
    linear = nn.Linear(ins, outs, bias=bias)
    # when
    layer = IntegralLinear.from_linear(linear, Axis(ins), Axis(outs))
    # then
    assert layer.weight is linear.weight
    assert layer.bias is linear.bias
    data = torch.randn(*batch, ins)
    assert torch.equal(layer(data), linear(data))


@given(channels=st.integers(1, 8), repeat=st.integers(2, 6), outs=sizes)
@settings(max_examples=15, deadline=None)
def test_adopted_layer_of_flattened_channels_is_exact_at_full_size(
    channels: int, repeat: int, outs: int
) -> None:
    # given
    linear = nn.Linear(channels * repeat, outs)
    # when
    layer = IntegralLinear.from_linear(linear, Axis(channels), Axis(outs), in_repeat=repeat)
    # then
    data = torch.randn(3, channels * repeat)
    assert torch.equal(layer(data), linear(data))


@given(
    ins=sizes, outs=sizes, in_size=sizes, out_size=sizes, bias=st.booleans(), repeat=st.integers(1, 3)
)
@settings(max_examples=20, deadline=None)
def test_discretized_layer_is_plain_and_computes_the_same(
    ins: int, outs: int, in_size: int, out_size: int, bias: bool, repeat: int
) -> None:
    # given
    axes = Axis(ins).resize(in_size), Axis(outs).resize(out_size)
    layer = IntegralLinear(*axes, bias=bias, dtype=torch.float64, in_repeat=repeat)
    # when
    plain = layer.discretize()
    # then
    assert type(plain) is nn.Linear
    assert (plain.in_features, plain.out_features) == (in_size * repeat, out_size)
    assert (plain.bias is None) == (not bias)
    data = torch.randn(2, in_size * repeat, dtype=torch.float64)
    torch.testing.assert_close(plain(data), layer(data))


def test_discretized_layer_has_parameters_of_its_own() -> None:
    # given a layer at full size, where nothing is computed
    layer = IntegralLinear(Axis(4), Axis(5))
    before = [parameter.clone() for parameter in layer.parameters()]
    # when
    plain = layer.discretize()
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter += 1
    # then
    for parameter, value in zip(layer.parameters(), before, strict=True):
        assert torch.equal(parameter, value)


@pytest.mark.parametrize(("side", "position"), [("input", 0), ("output", 1)])
def test_axis_whose_grid_does_not_fit_is_refused(side: str, position: int) -> None:
    # given
    axes: list[Axis | None] = [None, None]
    axes[position] = Axis(6, grid_size=5)
    # then
    with pytest.raises(ValueError, match=f"the {side} axis has a grid of 5 nodes, expected 6"):
        IntegralLinear.from_linear(nn.Linear(6, 6), *axes)


def test_axis_whose_grid_does_not_fit_flattened_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="the input axis has a grid of 6 nodes, expected 2"):
        IntegralLinear.from_linear(nn.Linear(6, 6), Axis(6), in_repeat=3)


@pytest.mark.parametrize("in_size", [3, 5, 8])
@pytest.mark.parametrize("out_size", [1, 4, 7])
@pytest.mark.parametrize("repeat", [1, 2])
def test_gradients_are_right_at_resized_sizes(in_size: int, out_size: int, repeat: int) -> None:
    # given
    torch.manual_seed(0)
    axes = Axis(5).resize(in_size), Axis(4, grid_size=6).resize(out_size)
    layer = IntegralLinear(*axes, dtype=torch.float64, in_repeat=repeat)

    def output(data: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.func.functional_call(
            layer, {"weight": weight, "bias": bias}, (data,)
        )
        return result

    # then with respect to the input and to the parameters
    arguments = [torch.randn(2, in_size * repeat, dtype=torch.float64), layer.weight, layer.bias]
    assert torch.autograd.gradcheck(output, [t.detach().clone().requires_grad_() for t in arguments])


def test_repr_tells_the_ends() -> None:
    # given
    layer = IntegralLinear(Axis(8).resize(5), 3, bias=False)
    # then
    assert repr(layer) == ("IntegralLinear(in=Axis(size=5, max_size=8, grid_size=8), out=3, bias=False)")
