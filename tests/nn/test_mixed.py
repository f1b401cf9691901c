"""Batches whose samples are of different sizes."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sb3_integral.nn import Axis, IntegralConv2d, IntegralLinear, IntegralMLP

FULL = (20, 12)


def network(scale_levels: int, activation_fn: type[nn.Module] = nn.Sigmoid) -> IntegralMLP:
    """Return a network with parameters that are not zero, corrections included."""
    torch.manual_seed(0)
    mlp = IntegralMLP(3, FULL, 2, nested=True, scale_levels=scale_levels, activation_fn=activation_fn)
    with torch.no_grad():
        for parameter in mlp.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return mlp


def at(mlp: IntegralMLP, size: int) -> Any:
    return mlp.axes.resized(tuple(min(size, full) for full in FULL))


@pytest.mark.parametrize("scale_levels", [0, 6])
@given(sizes=st.lists(st.integers(1, 25), min_size=1, max_size=6))
def test_each_sample_is_computed_at_its_size(scale_levels: int, sizes: list[int]) -> None:
    """Given samples of several sizes, then each gets what the network of its size computes."""
    mlp = network(scale_levels)
    inputs = torch.randn(len(sizes), 3)

    with mlp.axes.mixed() as mixed:
        mixed.set(torch.tensor(sizes))
        together = mlp(inputs)

    for index, size in enumerate(sizes):
        with at(mlp, size):
            assert torch.allclose(mlp(inputs[index : index + 1])[0], together[index], atol=1e-5)


@pytest.mark.parametrize("scale_levels", [0, 6])
def test_gradients_are_the_sums_over_sizes(scale_levels: int) -> None:
    """Given a loss of a mixed batch, then its gradient is that of its samples one by one."""
    mlp = network(scale_levels)
    inputs, sizes = torch.randn(4, 3), [20, 3, 7, 12]

    with mlp.axes.mixed() as mixed:
        mixed.set(torch.tensor(sizes))
        mlp(inputs).square().sum().backward()
    together = [parameter.grad.clone() for parameter in mlp.parameters() if parameter.grad is not None]
    mlp.zero_grad()
    for index, size in enumerate(sizes):
        with at(mlp, size):
            mlp(inputs[index : index + 1]).square().sum().backward()
    one_by_one = [parameter.grad for parameter in mlp.parameters() if parameter.grad is not None]

    assert len(together) >= len(one_by_one) > 0
    expected = iter(one_by_one)
    for gradient in together:
        if gradient.any():
            assert torch.allclose(gradient, next(expected), atol=1e-4)


def test_an_image_keeps_the_channels_of_its_size() -> None:
    """Given convolutions and a dense layer behind them, then images of two sizes are two networks."""
    torch.manual_seed(0)
    channels = Axis(6, nested=True)
    first, last = IntegralConv2d(1, channels, 3), IntegralLinear(channels, 2, in_repeat=4)
    mlp = nn.Sequential(first, nn.Sigmoid(), nn.Flatten(), last)
    images = torch.randn(2, 1, 4, 4)
    axes = IntegralMLP(1, (), 1).axes
    axes.append(channels)

    with axes.mixed() as mixed:
        mixed.set(torch.tensor([2, 5]))
        together = mlp(images)

    for index, size in enumerate((2, 5)):
        with axes.resized(size):
            assert torch.allclose(mlp(images[index : index + 1])[0], together[index], atol=1e-6)


def test_without_sizes_all_samples_have_full_size() -> None:
    mlp, inputs = network(6), torch.randn(3, 3)
    expected = mlp(inputs)
    with mlp.axes.mixed() as mixed:
        assert torch.equal(mlp(inputs), expected)
        with mixed.at(torch.tensor([3, 3, 3])):
            assert not torch.allclose(mlp(inputs), expected)
        assert torch.equal(mlp(inputs), expected)


def test_the_axes_have_their_own_size_again() -> None:
    mlp = network(0)
    mlp.resize(5)
    with mlp.axes.mixed():
        assert mlp.sizes == FULL
    assert mlp.sizes == (5, 5)


def test_a_batch_may_hold_its_samples_twice() -> None:
    """Given sizes of three samples, when six come, then the sizes are those of each half."""
    mlp, inputs = network(0), torch.randn(3, 3)
    with mlp.axes.mixed() as mixed:
        mixed.set(torch.tensor([4, 9, 20]))
        once, twice = mlp(inputs), mlp(torch.cat([inputs, inputs]))
        assert torch.allclose(twice, torch.cat([once, once]), atol=1e-6)
        with pytest.raises(ValueError, match="expected a batch of 3 samples, got 4"):
            mlp(torch.randn(4, 3))


def test_even_partitions_are_refused() -> None:
    mlp = IntegralMLP(3, (8,), 2)
    with pytest.raises(ValueError, match="need partitions that nest"), mlp.axes.mixed():
        pass


def test_an_axis_that_nests_later_keeps_its_network() -> None:
    """Given even partitions, when they nest from now on, then nothing changes at full size."""
    torch.manual_seed(0)
    mlp, inputs = IntegralMLP(3, (8, 8), 2), torch.randn(4, 3)
    expected = mlp(inputs)

    for axis in mlp.axes:
        axis.nest()

    assert torch.equal(mlp(inputs), expected)
    mlp.resize(3)
    first = cast(IntegralLinear, cast(nn.Sequential, mlp.module)[0])
    assert torch.equal(first.discrete_parameters()[0], first.weight[:3])


def test_an_axis_with_fewer_nodes_than_neurons_cannot_nest_later() -> None:
    with pytest.raises(ValueError, match="neurons are the nodes of its grid"):
        Axis(8, grid_size=5).nest()
