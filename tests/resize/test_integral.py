from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.policies import BasePolicy

from sb3_integral.nn import CubicConvolution, Trapezoidal
from sb3_integral.policies.layout import dense, find_layout
from sb3_integral.resize import DenseLayer, IntegralSampling

sizes = st.integers(1, 24)


def random_layers(*features: int, seed: int = 0) -> list[DenseLayer]:
    generator = torch.Generator().manual_seed(seed)
    return [
        DenseLayer(
            torch.randn(n_out, n_in, generator=generator), torch.randn(n_out, generator=generator)
        )
        for n_in, n_out in pairwise(features)
    ]


def actor_layers(policy: BasePolicy) -> list[DenseLayer]:
    net = find_layout(policy).actors[0]
    modules = [dense(policy, name) for name in (*net.hidden, *net.heads)]
    return [DenseLayer(module.weight.detach(), module.bias.detach()) for module in modules]


def test_three_neurons_sampled_at_two_by_hand() -> None:
    # given: nodes at 0, 1/2 and 1 that weigh 1/4, 1/2 and 1/4; samples at 0 and 1 that weigh 1/2
    layers = [
        DenseLayer(torch.tensor([[1.0, -1.0], [7.0, 7.0], [2.0, 0.5]]), torch.tensor([4.0, 9.0, 6.0])),
        DenseLayer(torch.tensor([[1.0, 5.0, 3.0]]), torch.tensor([8.0])),
    ]
    # when
    hidden, output = IntegralSampling()(layers, [2])
    # then: the neuron in the middle is gone, and the others weigh twice as much
    torch.testing.assert_close(hidden.weight, torch.tensor([[1.0, -1.0], [2.0, 0.5]]))
    torch.testing.assert_close(hidden.bias, torch.tensor([4.0, 6.0]))
    torch.testing.assert_close(output.weight, torch.tensor([[2.0, 6.0]]))
    torch.testing.assert_close(output.bias, torch.tensor([8.0]))


def test_one_neuron_stands_in_the_middle() -> None:
    # given: at the middle of four nodes the kernel gives -3/32, 19/32, 19/32, -3/32
    taps = torch.tensor([-3.0, 19.0, 19.0, -3.0]) / 32
    weights = torch.tensor([1.0, 2.0, 2.0, 1.0]) / 6
    first, second = torch.tensor([1.0, -2.0, 3.0, 5.0]), torch.tensor([2.0, 0.5, -1.0, 4.0])
    layers = [DenseLayer(first[:, None], first), DenseLayer(second[None], torch.zeros(1))]
    # when
    hidden, output = IntegralSampling()(layers, [1])
    # then
    torch.testing.assert_close(hidden.weight, (taps @ first).reshape(1, 1))
    torch.testing.assert_close(output.weight, ((second / weights) @ taps).reshape(1, 1))


@given(size=st.integers(1, 40))
def test_an_integral_over_equal_neurons_is_kept_at_every_size(size: int) -> None:
    # given: λ is constant along the hidden dimension
    rule = Trapezoidal()
    nodes = torch.as_tensor(rule.weights(rule.points(9)), dtype=torch.float32)
    layers = [
        DenseLayer(torch.ones(9, 1) * 0.5, torch.full((9,), 0.25)),
        DenseLayer(3.0 * nodes[None], torch.tensor([1.0])),
    ]
    # when
    hidden, output = IntegralSampling()(layers, [size])
    # then
    neurons = hidden.weight @ torch.ones(1) + hidden.bias
    torch.testing.assert_close(neurons, torch.full((size,), 0.75))
    torch.testing.assert_close(output.weight @ neurons + output.bias, torch.tensor([3.25]))


@given(size=st.integers(1, 40))
def test_hidden_weights_are_interpolated_by_the_kernel(size: int) -> None:
    # given
    layers = random_layers(4, 12, 3)
    points = torch.linspace(0.0, 1.0, size, dtype=torch.float64)
    points = points if size > 1 else points + 0.5
    matrix = CubicConvolution(a=-0.5).matrix(points, 12).float()
    # when
    hidden, _ = IntegralSampling(kernel=CubicConvolution(a=-0.5))(layers, [size])
    # then
    torch.testing.assert_close(hidden.weight, matrix @ layers[0].weight)
    torch.testing.assert_close(hidden.bias, matrix @ layers[0].bias)


@given(first=sizes, second=sizes)
def test_it_samples_as_the_integral_policy_does(
    make_policy: Callable[..., Any], first: int, second: int
) -> None:
    # given
    policy = make_policy()
    # when
    layers = IntegralSampling()(actor_layers(policy), (first, second))
    # then
    plain = actor_layers(policy.discretize((first, second)))
    for layer, expected in zip(layers, plain, strict=True):
        torch.testing.assert_close(layer.weight, expected.weight)
        torch.testing.assert_close(layer.bias, expected.bias)


def test_full_size_is_the_identity_in_tensors_of_its_own() -> None:
    # given
    layers = random_layers(4, 12, 9, 3)
    # when
    resized = IntegralSampling()(layers, (12, 9))
    # then
    for layer, new in zip(layers, resized, strict=True):
        assert torch.equal(new.weight, layer.weight)
        assert torch.equal(new.bias, layer.bias)
        assert new.weight.data_ptr() != layer.weight.data_ptr()
        assert new.bias.data_ptr() != layer.bias.data_ptr()


def test_the_layers_that_are_read_stay_as_they_were() -> None:
    # given
    layers, same = random_layers(4, 12, 9, 3), random_layers(4, 12, 9, 3)
    # when
    for new in IntegralSampling()(layers, (12, 5)):
        new.weight.zero_()
        new.bias.zero_()
    # then
    for layer, expected in zip(layers, same, strict=True):
        assert torch.equal(layer.weight, expected.weight)
        assert torch.equal(layer.bias, expected.bias)
        assert not layer.weight.requires_grad


def test_a_layer_without_bias_stays_without() -> None:
    # given
    layers = [layer._replace(bias=None) for layer in random_layers(4, 12, 3)]
    # when
    resized = IntegralSampling()(layers, [5])
    # then
    assert [layer.bias for layer in resized] == [None, None]
    assert [tuple(layer.weight.shape) for layer in resized] == [(5, 4), (3, 5)]
