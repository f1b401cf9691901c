"""Sampling all weights at once: the gradients of one flat parameter."""

import copy

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
    IntegralMLP,
    IntegralNetwork,
)


def mlp() -> IntegralMLP:
    torch.manual_seed(0)
    return IntegralMLP(2, [4, 3], 2, activation_fn=nn.Tanh, grid_size=[5, 3]).double()


def cnn() -> nn.Sequential:
    torch.manual_seed(0)
    first, second = Axis(4), Axis(5, grid_size=3, quadrature="midpoint")
    return nn.Sequential(
        IntegralConv2d(2, first, 2),
        nn.Tanh(),
        IntegralConv2d(first, second, 2, bias=False),
        nn.Tanh(),
        nn.Flatten(),
        IntegralLinear(second, 3, in_repeat=4),
    ).double()


def called(network: IntegralNetwork, data: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = torch.func.functional_call(network, {"lam_flat": flat}, (data,))
    return result


@pytest.mark.parametrize("sizes", [(4, 3), (2, 5), (7, 1)], ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_gradients_of_an_mlp_are_right_at_every_size(sizes: tuple[int, int], training: bool) -> None:
    # given
    network = mlp().train(training).resize(sizes)
    data = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    flat = network.lam_flat.detach().clone().requires_grad_()
    # then with respect to the input and to all parameters
    assert torch.autograd.gradcheck(lambda *x: called(network, *x), (data, flat))


@pytest.mark.parametrize("sizes", [(4, 3), (2, 5)], ids=str)
def test_second_derivatives_of_an_mlp_are_right(sizes: tuple[int, int]) -> None:
    # given
    network = mlp().resize(sizes)
    data = torch.randn(1, 2, dtype=torch.float64)
    flat = network.lam_flat.detach().clone().requires_grad_()
    # then
    assert torch.autograd.gradgradcheck(lambda x: called(network, data, x), flat)


@pytest.mark.parametrize("sizes", [(4, 5), (3, 4), (6, 2)], ids=str)
def test_gradients_of_a_cnn_are_right_at_every_size(sizes: tuple[int, int]) -> None:
    # given
    network = IntegralNetwork(cnn()).resize(sizes)
    data = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    flat = network.lam_flat.detach().clone().requires_grad_()
    # then
    assert torch.autograd.gradcheck(lambda *x: called(network, *x), (data, flat))


def test_gradients_with_respect_to_tuned_points_are_right() -> None:
    # given two axes that are tuned
    network = mlp().resize([4, 5])
    starts = [axis.start_tuning().log_gaps.detach().clone() for axis in network.axes]
    names = [f"axes.{i}.partition.log_gaps" for i in range(2)]
    data = torch.randn(2, 2, dtype=torch.float64)

    def output(*log_gaps: torch.Tensor) -> torch.Tensor:
        values = dict(zip(names, log_gaps, strict=True))
        result: torch.Tensor = torch.func.functional_call(network, values, (data,))
        return result

    # then; away from the even start, whose points may lie on nodes
    moved = [(start + 0.1 * torch.randn_like(start)).requires_grad_() for start in starts]
    assert torch.autograd.gradcheck(output, moved)


@given(sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)))
@settings(max_examples=15, deadline=None)
def test_packed_network_has_the_gradients_of_its_layers(sizes: tuple[int, int]) -> None:
    # given the same layers loose, and packed in a network
    loose = cnn()
    network = IntegralNetwork(copy.deepcopy(loose)).resize(sizes)
    axes = [loose[0].out_axis, loose[2].out_axis]
    for axis, size in zip(axes, sizes, strict=True):
        axis.resize(size)
    data = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    # when
    outputs = loose(data), network(data)
    for output in outputs:
        output.square().sum().backward()
    # then
    torch.testing.assert_close(*outputs)
    layers = [layer for layer in loose if isinstance(layer, IntegralLayer)]
    gradients = [p.grad.flatten() for layer in layers for p in layer.parameters()]
    torch.testing.assert_close(network.lam_flat.grad, torch.cat(gradients))


def test_layers_that_do_not_meet_the_loss_get_a_zero_gradient() -> None:
    # given two layers, of which only the first is run
    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            axis = Axis(4)
            self.first = IntegralLinear(2, axis, dtype=torch.float64)
            self.second = IntegralLinear(axis, 2, dtype=torch.float64)

        def forward(self, data: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = self.first(data)
            return output

    partial = IntegralNetwork(First()).resize(3)
    # when
    partial(torch.randn(5, 2, dtype=torch.float64)).sum().backward()
    # then
    used = 2 * 4 + 4
    assert bool(partial.lam_flat.grad[:used].any())
    assert not partial.lam_flat.grad[used:].any()


def test_frozen_network_passes_gradients_to_its_input_alone() -> None:
    # given
    network = mlp().requires_grad_(False).resize(3)
    data = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    # when
    network(data).sum().backward()
    # then
    assert bool(data.grad.any())
    assert network.lam_flat.grad is None
