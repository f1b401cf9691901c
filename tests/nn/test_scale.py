"""Coefficients that depend on the scale."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sb3_integral.nn import Axis, IntegralConv2d, IntegralLinear, IntegralNetwork


def _layer(levels: int = 4, dtype: torch.dtype = torch.float64) -> tuple[Axis, Axis, IntegralLinear]:
    torch.manual_seed(0)
    in_axis, out_axis = Axis(16, nested=True), Axis(16, nested=True)
    layer = IntegralLinear(in_axis, out_axis, dtype=dtype)
    for parameter in layer.add_scale_corrections(levels).parameters():
        nn.init.normal_(parameter)
    return in_axis, out_axis, layer


def test_corrections_are_nothing_at_first() -> None:
    axis = Axis(16, nested=True)
    layer = IntegralLinear(axis, 3)
    layer.add_scale_corrections(3)

    axis.resize(5)

    assert torch.equal(layer.discrete_parameters()[0], layer.weight[:, :5])


def test_at_full_size_the_weight_is_the_parameter() -> None:
    _, _, layer = _layer()

    weight, bias = layer.discrete_parameters()

    assert weight is layer.weight
    assert bias is layer.bias


def test_half_a_layer_by_hand() -> None:
    """Given 16 nodes, when sampled at 8, then its own corrections count, √2 times, and no other."""
    in_axis, out_axis, layer = _layer()
    in_axis.resize(8)
    out_axis.resize(8)

    weight, bias = layer.discrete_parameters()

    own = layer.corrections.scales.index(0.5)
    root = 2**0.5
    assert torch.allclose(weight, layer.weight[:8, :8] + root * layer.corrections.weights[own][:8, :8])
    assert torch.allclose(bias, layer.bias[:8] + root * layer.corrections.biases[own][:8])


def test_between_two_levels_both_count() -> None:
    """Given 16 nodes, when sampled at 8 x 16, so at 11.3 of 16, then 12 and 11 count by logarithms."""
    _, out_axis, layer = _layer()
    out_axis.resize(8)

    (twelve, factor_of_twelve), (eleven, factor_of_eleven) = layer.corrections.at((8 * 16) ** 0.5 / 16)

    scales = (12 / 16, 11 / 16)
    near = math.log(12 / (8 * 16) ** 0.5) / math.log(12 / 11)
    assert factor_of_twelve == pytest.approx((1 - near) / scales[0] ** 0.5)
    assert factor_of_eleven == pytest.approx(near / scales[1] ** 0.5)
    weight, _ = layer.discrete_parameters()
    expected = layer.weight[:8].clone()
    expected[:, :13] += factor_of_twelve * layer.corrections.weights[twelve][:8]
    expected[:, :12] += factor_of_eleven * layer.corrections.weights[eleven][:8]
    assert torch.allclose(weight, expected)


def test_levels_by_hand() -> None:
    """Given 64 nodes and five levels, then 1/√2, ..., and below 16 neurons each size, down to 11.3."""
    layer = IntegralLinear(Axis(64, nested=True), 3)

    corrections = layer.add_scale_corrections(5)

    sizes = [scale * 64 for scale in corrections.scales]
    assert sizes == pytest.approx([64 / 2**0.5, 32, 32 / 2**0.5, 16, 15, 14, 13, 12])
    # and each reaches to the next larger
    assert [weight.shape[1] for weight in corrections.weights] == [64, 46, 32, 23, 16, 15, 14, 13]


@given(st.floats(0.01, 2.0), st.integers(3, 40))
def test_hats_are_a_partition_of_unity_below_the_first_level(scale: float, nodes: int) -> None:
    corrections = IntegralLinear(Axis(nodes, nested=True), 3).add_scale_corrections(5)

    levels = corrections.at(scale)

    hats = sum(factor * corrections.scales[level] ** 0.5 for level, factor in levels)
    assert hats <= 1.0 + 1e-9
    if scale >= 1.0:
        assert levels == ()
    if scale <= corrections.scales[0]:
        assert hats == pytest.approx(1.0, abs=1e-6)


def test_below_the_last_level_it_goes_on() -> None:
    in_axis, out_axis, layer = _layer(levels=2)
    in_axis.resize(2)
    out_axis.resize(2)

    weight, _ = layer.discrete_parameters()

    factor = layer.corrections.scales[-1] ** -0.5
    assert torch.allclose(weight, layer.weight[:2, :2] + factor * layer.corrections.weights[-1][:2, :2])


@pytest.mark.parametrize("sizes", [(4, 4), (2, 2), (1, 3), (4, 2), (6, 2)])
def test_gradients(sizes: tuple[int, int]) -> None:
    """Given any pair of sizes, then first and second derivatives are right (TRPO needs both)."""
    in_axis, out_axis = Axis(4, nested=True), Axis(4, nested=True)
    layer = IntegralLinear(in_axis, out_axis, dtype=torch.float64)
    layer.add_scale_corrections(2)
    in_axis.resize(sizes[0])
    out_axis.resize(sizes[1])
    names = [name for name, _ in layer.named_parameters()]
    inputs = torch.randn(2, sizes[0], dtype=torch.float64)

    def run(*tensors: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, dict(zip(names, tensors, strict=True)), (inputs,)).pow(
            2
        )

    parameters = tuple(layer.parameters())
    assert torch.autograd.gradcheck(run, parameters)
    assert torch.autograd.gradgradcheck(run, parameters)


def test_convolutions_too() -> None:
    axis = Axis(8, nested=True)
    layer = IntegralConv2d(3, axis, 3)
    corrections = layer.add_scale_corrections(2)
    nn.init.ones_(corrections.weights[corrections.scales.index(0.5)])
    axis.resize(4)

    weight, _ = layer.discrete_parameters()

    assert torch.allclose(weight, layer.weight[:4] + 2**0.5)


def test_only_where_partitions_nest() -> None:
    with pytest.raises(ValueError, match="nest"):
        IntegralLinear(Axis(8), 2).add_scale_corrections(3)
    with pytest.raises(ValueError, match="nest"):
        IntegralLinear(4, 2).add_scale_corrections(3)


@pytest.mark.parametrize("levels", [0, -1, 2.5, True])
def test_levels_are_counted(levels: object) -> None:
    with pytest.raises(ValueError, match="positive integer"):
        IntegralLinear(Axis(8, nested=True), 2).add_scale_corrections(levels)  # type: ignore[arg-type]


@pytest.mark.parametrize("hooked", [False, True], ids=["engine", "layer by layer"])
def test_a_network_of_one_tensor_takes_corrected_layers(hooked: bool) -> None:
    # given the same layers alone and in a network
    def layers() -> nn.Sequential:
        torch.manual_seed(0)
        axis = Axis(8, nested=True)
        first, last = IntegralLinear(2, axis), IntegralLinear(axis, 1)
        for layer in (first, last):
            for parameter in layer.add_scale_corrections(2).parameters():
                nn.init.normal_(parameter)
        axis.resize(3)
        return nn.Sequential(first, nn.ReLU(), last)

    alone, network = layers(), IntegralNetwork(layers())
    if hooked:
        network.module[1].register_forward_hook(lambda *_: None)
    inputs = torch.randn(5, 2)
    # when
    outputs = [each(inputs) for each in (alone, network)]
    for output in outputs:
        output.square().sum().backward()
    # then
    assert torch.equal(*outputs)
    for mine, other in zip(network.module, alone, strict=True):
        if isinstance(mine, IntegralLinear):
            pairs = zip(mine.corrections.parameters(), other.corrections.parameters(), strict=True)
            for one, two in pairs:
                assert (one.grad is None) == (two.grad is None)
                assert one.grad is None or torch.equal(one.grad, two.grad)
    own = [alone[0].weight.grad, alone[0].bias.grad, alone[2].weight.grad, alone[2].bias.grad]
    assert torch.equal(network.lam_flat.grad, torch.cat([grad.flatten() for grad in own]))


@pytest.mark.filterwarnings("ignore:`torch.jit.script")  # torch's own derivatives for jacfwd use it
@pytest.mark.parametrize("size", [3, 8, 16, 20])
def test_torch_func_transforms_agree_with_autograd(size: int) -> None:
    # given
    in_axis, out_axis, layer = _layer()
    in_axis.resize(size)
    out_axis.resize(size)
    data = torch.randn(4, size, dtype=torch.float64)
    values = {name: p.detach() for name, p in layer.named_parameters()}

    def outputs(values: dict[str, torch.Tensor], data: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, values, (data,))

    def loss(values: dict[str, torch.Tensor], data: torch.Tensor) -> torch.Tensor:
        return outputs(values, data).square().sum()

    layer(data).square().sum().backward()
    # then
    gradients = torch.func.grad(loss)(values, data)
    rows = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(values, data[:, None])
    for name, parameter in layer.named_parameters():
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(gradients[name], expected)
        torch.testing.assert_close(rows[name].sum(0), expected)
    backwards = torch.func.jacrev(outputs)(values, data)
    forwards = torch.func.jacfwd(outputs)(values, data)
    for name in values:
        torch.testing.assert_close(backwards[name], forwards[name])


@pytest.mark.parametrize("size", [3, 16])
def test_layers_work_that_are_built_in_inference_mode(size: int) -> None:
    with torch.inference_mode():
        in_axis, out_axis, layer = _layer()
        in_axis.resize(size)
        out_axis.resize(size)
        expected = layer(torch.ones(2, size, dtype=torch.float64))
    with torch.no_grad():
        assert torch.equal(layer(torch.ones(2, size, dtype=torch.float64)), expected)


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
@pytest.mark.parametrize("size", [3, 16, 20])
def test_corrected_layers_can_be_compiled_and_exported(size: int) -> None:
    # given
    torch.compiler.reset()
    in_axis, out_axis, layer = _layer()
    in_axis.resize(size)
    out_axis.resize(size)
    data = torch.randn(4, size, dtype=torch.float64)
    # then
    torch.testing.assert_close(torch.compile(layer, backend="aot_eager")(data), layer(data))
    program = torch.export.export(layer, (data,), strict=False)
    torch.testing.assert_close(program.module()(data), layer(data))
