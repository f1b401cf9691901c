"""Grid tuning: learning where to sample, and leaving everything else alone."""

import pytest
import torch
from torch import nn

from sb3_integral.nn import Axis, IntegralLinear, IntegralNetwork, tune_partitions

Batch = tuple[torch.Tensor, torch.Tensor]


def detailed_network(quadrature: str = "trapezoidal") -> IntegralNetwork:
    """Return a network whose weights have all their detail at the lower end of its axis."""
    torch.manual_seed(0)
    axis = Axis(100, kernel="linear", quadrature=quadrature)
    first = IntegralLinear(2, axis, dtype=torch.float64)
    second = IntegralLinear(axis, 1, dtype=torch.float64)
    x = torch.linspace(0, 1, 100, dtype=torch.float64)
    first.lam = torch.stack([3 * torch.exp(-x / 0.06), torch.sin(9 * torch.exp(-x / 0.1))], dim=1)
    second.lam = (1 + 4 * torch.exp(-x / 0.05))[None]
    return IntegralNetwork(nn.Sequential(first, nn.Tanh(), second))


def batches_of(network: IntegralNetwork, count: int) -> list[Batch]:
    """Return inputs and what the network makes of them at full size."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 2, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        return [(inputs, network(inputs))] * count


def loss(network: nn.Module, batch: Batch) -> torch.Tensor:
    return nn.functional.mse_loss(network(batch[0]), batch[1])


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_tuning_finds_where_the_detail_is(training: bool) -> None:
    # given a network far below its full size, sampled evenly
    network = detailed_network().train(training)
    batches = batches_of(network, 150)
    network.resize(6)
    even = network.axes[0].points.clone()
    with torch.no_grad():
        before = float(loss(network, batches[0]))
    # when
    losses = tune_partitions(network, network.axes, batches, loss, learning_rate=0.02)
    # then
    with torch.no_grad():
        after = float(loss(network, batches[0]))
    assert len(losses) == 150
    assert losses[0] == pytest.approx(before)
    assert after < 0.5 * before
    # and the samples moved to the detail, the ends excepted
    points = network.axes[0].points
    assert bool((points[1:-1] < even[1:-1]).all())
    assert (float(points[0]), float(points[-1])) == pytest.approx((float(even[0]), float(even[-1])))


def test_tuning_changes_nothing_but_the_points_and_keeps_these() -> None:
    # given a network of which one parameter is frozen
    network = detailed_network()
    network.extra = nn.Parameter(torch.ones(2), requires_grad=False)
    batches = batches_of(network, 5)
    network.resize(6)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    # when
    tune_partitions(network, network.axes, batches, loss)
    # then
    assert {name for name, _ in network.named_parameters()} == set(before)
    for name, value in network.named_parameters():
        assert torch.equal(value, before[name])
        assert value.requires_grad == (name != "extra")
        assert value.grad is None
    axis = network.axes[0]
    assert axis.size == 6
    assert not axis.is_even
    # and the points come back with the state
    fresh = detailed_network()
    fresh.extra = nn.Parameter(torch.ones(2), requires_grad=False)
    fresh.load_state_dict(network.state_dict())
    assert torch.equal(fresh.axes[0].points, axis.points)
    torch.testing.assert_close(fresh(batches[0][0]), network(batches[0][0]))


def test_tuned_network_has_a_discrete_form_at_its_points() -> None:
    # given
    network = detailed_network()
    batches = batches_of(network, 10)
    network.resize(6)
    tune_partitions(network, network.axes, batches, loss, learning_rate=0.1)
    # when
    plain = network.discretize()
    # then
    torch.testing.assert_close(plain(batches[0][0]), network(batches[0][0]))
    # and the points are still there
    assert not network.axes[0].is_even


def test_parameters_can_be_trained_again_after_an_exception() -> None:
    # given
    network = detailed_network().resize(6)

    def fails(_: nn.Module, __: object) -> torch.Tensor:
        raise RuntimeError("inside")

    # when
    with pytest.raises(RuntimeError, match="inside"):
        tune_partitions(network, network.axes, [0], fails)
    # then
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert network.axes[0].partition is None


def test_axes_of_fewer_than_three_samples_are_left_alone() -> None:
    # given one axis to tune beside one that has nothing to learn
    torch.manual_seed(0)
    small, large = Axis(8), Axis(9)
    network = IntegralNetwork(
        nn.Sequential(
            IntegralLinear(2, small), nn.Tanh(), IntegralLinear(small, large), IntegralLinear(large, 1)
        )
    )
    small.resize(2)
    large.resize(4)
    # when
    data = (torch.randn(16, 2), torch.randn(16, 1))
    tune_partitions(network, network.axes, [data] * 3, loss)
    # then
    assert small.is_even
    assert not large.is_even


@pytest.mark.parametrize("size", [1, 2])
def test_nothing_to_tune_is_refused(size: int) -> None:
    # given
    network = detailed_network().resize(size)
    # then
    with pytest.raises(ValueError, match="at least 3 samples"):
        tune_partitions(network, network.axes, [], loss)


@pytest.mark.parametrize("quadrature", ["simpson", "gauss-legendre"])
def test_quadrature_with_points_of_its_own_is_refused(quadrature: str) -> None:
    # given
    network = detailed_network(quadrature).resize(6)
    # when
    with pytest.raises(ValueError, match="needs its own points"):
        tune_partitions(network, network.axes, [], loss)
    # then
    assert network.axes[0].is_even
    assert network.lam_flat.requires_grad
