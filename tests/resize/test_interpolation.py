"""Weights interpolated along the hidden layers: bicubic, nearest and as an integral network's."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.policies import BasePolicy
from torch.nn import functional as F

from sb3_integral.nn import CubicConvolution, Trapezoidal
from sb3_integral.policies.layout import dense, find_layout
from sb3_integral.resize import Bicubic, DenseLayer, IntegralSampling, Nearest

sizes = st.integers(2, 24)


def random_layers(*features: int, seed: int = 0) -> list[DenseLayer]:
    generator = torch.Generator().manual_seed(seed)
    return [
        DenseLayer(
            torch.randn(n_out, n_in, generator=generator), torch.randn(n_out, generator=generator)
        )
        for n_in, n_out in pairwise(features)
    ]


def constant_layers(n_hidden: int) -> list[DenseLayer]:
    """One hidden layer whose neurons are all alike; each output sums all of them up."""
    return [
        DenseLayer(torch.full((n_hidden, 3), 0.5), torch.full((n_hidden,), 0.25)),
        DenseLayer(torch.ones(2, n_hidden), torch.zeros(2)),
    ]


@pytest.mark.parametrize("rescale", [False, True])
@given(first=sizes, second=sizes)
def test_weights_and_biases_are_what_torch_makes_of_images(
    rescale: bool, first: int, second: int
) -> None:
    # given
    layers = random_layers(4, 12, 9, 3)
    features = (4, first, second, 3)
    # when
    resized = Bicubic(rescale=rescale)(layers, (first, second))
    # then
    for i, (layer, new) in enumerate(zip(layers, resized, strict=True)):
        weight = F.interpolate(
            layer.weight[None, None], (features[i + 1], features[i]), mode="bicubic", antialias=True
        )[0, 0]
        bias = F.interpolate(
            layer.bias[None, None, None], (1, features[i + 1]), mode="bicubic", antialias=True
        )[0, 0, 0]
        factor = layer.weight.shape[1] / features[i] if rescale else 1.0
        torch.testing.assert_close(new.weight, weight * factor)
        torch.testing.assert_close(new.bias, bias)


def test_a_row_of_four_halved_by_hand() -> None:
    # given: Keys' cubic with a = -1/2 at distances 1/4, 1/4, 3/4 and 5/4, stretched by 2
    near, middle, far = 0.8671875, 0.2265625, -0.0703125
    taps = torch.tensor([near, near, middle, far]) / (2 * near + middle + far)
    values = torch.tensor([3.0, -1.0, 4.0, 1.5])
    expected = torch.stack([taps @ values, taps.flip(0) @ values])
    two_inputs = torch.stack([values, -values], dim=1)
    layers = [DenseLayer(two_inputs, values), DenseLayer(values[None], torch.zeros(1))]
    # when
    plain = Bicubic()(layers, [2])
    rescaled = Bicubic(rescale=True)(layers, [2])
    # then: only the layer that reads from fewer neurons is rescaled, by 4 / 2
    torch.testing.assert_close(plain[0].weight, torch.stack([expected, -expected], dim=1))
    torch.testing.assert_close(plain[0].bias, expected)
    torch.testing.assert_close(plain[1].weight, expected[None])
    torch.testing.assert_close(rescaled[0], plain[0])
    torch.testing.assert_close(rescaled[1].weight, 2.0 * expected[None])
    torch.testing.assert_close(rescaled[1].bias, plain[1].bias)


@pytest.mark.parametrize("n_columns", [1, 12])
def test_one_column_is_interpolated_as_a_column_among_others(n_columns: int) -> None:
    # given
    weight = torch.randn(9, n_columns, generator=torch.Generator().manual_seed(0))
    bias = torch.zeros(9)
    one_input = [DenseLayer(weight[:, :1], bias), DenseLayer(torch.ones(3, 9), torch.zeros(3))]
    hidden_one = [DenseLayer(torch.ones(n_columns, 4), torch.ones(n_columns)), DenseLayer(weight, bias)]
    # when
    if n_columns == 1:
        column = Bicubic()(one_input, [5])[0].weight
    else:
        column = Bicubic()([*hidden_one, one_input[1]], [1, 5])[1].weight
    # then: torch does it right where the same column stands twice
    narrow = F.interpolate(weight[None, None], (9, 1), mode="bicubic", antialias=True)
    expected = F.interpolate(narrow.expand(1, 1, 9, 2), (5, 2), mode="bicubic", antialias=True)
    torch.testing.assert_close(column, expected[0, 0, :, :1])


@given(size=st.integers(1, 40))
def test_rescaling_keeps_a_sum_over_equal_neurons_and_the_papers_way_does_not(size: int) -> None:
    # given
    layers = constant_layers(8)
    inputs = torch.tensor([1.0, 2.0, -0.5])

    def output(layers: list[DenseLayer]) -> torch.Tensor:
        (first, first_bias), (second, second_bias) = layers
        return second @ (first @ inputs + first_bias) + second_bias

    # when
    plain, rescaled = Bicubic()(layers, [size]), Bicubic(rescale=True)(layers, [size])
    # then
    torch.testing.assert_close(output(rescaled), output(layers))
    torch.testing.assert_close(output(plain), output(layers) * size / 8)


@pytest.mark.parametrize("rescale", [False, True])
def test_bicubic_at_full_size_is_the_identity_in_tensors_of_its_own(rescale: bool) -> None:
    # given
    layers = random_layers(4, 12, 9, 3)
    # when
    resized = Bicubic(rescale=rescale)(layers, (12, 9))
    # then
    for layer, new in zip(layers, resized, strict=True):
        assert torch.equal(new.weight, layer.weight)
        assert torch.equal(new.bias, layer.bias)
        assert new.weight.data_ptr() != layer.weight.data_ptr()
        assert new.bias.data_ptr() != layer.bias.data_ptr()


@pytest.mark.parametrize("rescale", [False, True])
def test_the_layers_that_are_read_stay_as_they_were(rescale: bool) -> None:
    # given
    layers, same = random_layers(4, 12, 9, 3), random_layers(4, 12, 9, 3)
    # when
    for new in Bicubic(rescale=rescale)(layers, (12, 5)):
        new.weight.zero_()
        new.bias.zero_()
    # then
    for layer, expected in zip(layers, same, strict=True):
        assert torch.equal(layer.weight, expected.weight)
        assert torch.equal(layer.bias, expected.bias)


def test_a_layer_without_bias_stays_without() -> None:
    # given
    layers = [layer._replace(bias=None) for layer in random_layers(4, 12, 3)]
    # when
    resized = Bicubic()(layers, [5])
    # then
    assert [layer.bias for layer in resized] == [None, None]
    assert [tuple(layer.weight.shape) for layer in resized] == [(5, 4), (3, 5)]


LAYERS = [
    DenseLayer(torch.arange(4.0)[:, None], torch.arange(4.0) + 10),
    DenseLayer(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([5.0])),
]


@pytest.mark.parametrize(
    ("size", "kept"), [(1, [2]), (2, [1, 3]), (3, [0, 2, 3]), (4, [0, 1, 2, 3]), (6, [0, 1, 1, 2, 3, 3])]
)
def test_the_neuron_at_each_place_is_taken(size: int, kept: list[int]) -> None:
    first, last = Nearest()(LAYERS, [size])
    assert first.weight[:, 0].tolist() == kept
    assert first.bias is not None
    assert (first.bias - 10).tolist() == kept
    assert (last.weight[0] - 1).tolist() == kept


def test_rescaling_keeps_the_magnitude_of_a_sum() -> None:
    first, last = Nearest(rescale=True)(LAYERS, [2])
    assert first.weight[:, 0].tolist() == [1.0, 3.0]
    assert last.weight[0].tolist() == [4.0, 8.0]
    assert last.bias is not None
    assert last.bias.tolist() == [5.0]


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


@given(first=st.integers(1, 24), second=st.integers(1, 24))
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


def test_the_layers_that_are_sampled_stay_as_they_were() -> None:
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


def test_a_layer_without_bias_is_sampled_without() -> None:
    # given
    layers = [layer._replace(bias=None) for layer in random_layers(4, 12, 3)]
    # when
    resized = IntegralSampling()(layers, [5])
    # then
    assert [layer.bias for layer in resized] == [None, None]
    assert [tuple(layer.weight.shape) for layer in resized] == [(5, 4), (3, 5)]
