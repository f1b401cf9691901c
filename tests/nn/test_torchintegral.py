"""Interchange with TorchIntegral, where that is installed."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sb3_integral.nn import (
    Axis,
    CubicBSpline,
    IntegralConv2d,
    IntegralLinear,
    IntegralMLP,
    IntegralNetwork,
    LinearInterpolation,
)
from sb3_integral.nn.torchintegral import from_torch_integral, to_torch_integral

needs_torch_integral = pytest.mark.skipif(
    importlib.util.find_spec("torch_integral") is None,
    reason="torch_integral is on no package index; see README",
)

TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}
"""Relative to the largest output."""


def difference(output: Tensor, reference: Tensor) -> float:
    return float((output - reference).abs().max() / reference.abs().max())


def theirs_of(module: nn.Module, inputs: Tensor, dims: dict[str, list[int]], **config: Any) -> Any:
    """Have TorchIntegral make a module continuous the way its users do."""
    from torch_integral import IntegralWrapper

    wrapper = IntegralWrapper(
        init_from_discrete=False,
        fuse_bn=False,
        verbose=False,
        parametrization_config={"scale": 1, "use_gridsample": True, **config},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = wrapper(module, list(inputs.shape), dims)
    return model.eval()


def resized(model: Any, size: int) -> Any:
    model.resize([size] * len(model.groups))
    return model


def their_linear() -> tuple[Any, Tensor]:
    inputs = torch.randn(8, 6)
    module = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 24), nn.Tanh(), nn.Linear(24, 3))
    dims = {"0.weight": [0], "0.bias": [0], "2.weight": [0, 1], "2.bias": [0], "4.weight": [1]}
    return theirs_of(module, inputs, dims), inputs


def their_convolution() -> tuple[Any, Tensor]:
    inputs = torch.randn(4, 3, 9, 7)
    module = nn.Sequential(
        nn.Conv2d(3, 32, (3, 2), padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 24, 3, stride=2, bias=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 16),
        nn.Tanh(),
        nn.Linear(16, 5),
    )
    dims = {"0.weight": [0], "0.bias": [0], "3.weight": [0, 1], "7.weight": [1]}
    return theirs_of(module, inputs, dims), inputs


def our_linear() -> tuple[IntegralNetwork, Tensor]:
    network = IntegralMLP(6, (32, 24), 3, activation_fn=nn.Tanh, grid_size=(20, 24))
    return network.eval(), torch.randn(8, 6)


def our_convolution() -> tuple[IntegralNetwork, Tensor]:
    first, second, third = Axis(32), Axis(24, grid_size=30), Axis(16)
    network = IntegralNetwork(
        nn.Sequential(
            IntegralConv2d(3, first, (3, 2), padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            IntegralConv2d(first, second, 3, bias=False),
            nn.ReLU(),
            nn.Flatten(),
            IntegralLinear(second, third, in_repeat=4),
            nn.Tanh(),
            IntegralLinear(third, 5),
        )
    )
    return network.eval(), torch.randn(4, 3, 9, 7)


@pytest.fixture(params=TOLERANCES, ids=str)
def tolerance(request: pytest.FixtureRequest) -> Iterator[float]:
    """Compute in this precision, and return what it leaves of equality.

    In single precision TorchIntegral finds a point between two λ only up to 1e-5 of their distance.
    """
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield TOLERANCES[request.param]
    torch.set_default_dtype(before)


@needs_torch_integral
@pytest.mark.parametrize("build", [their_linear, their_convolution])
@torch.no_grad()
def test_taken_over_computes_the_same_at_every_size(build: Any, tolerance: float) -> None:
    # Given a model of TorchIntegral, taken over
    model, inputs = build()
    network = from_torch_integral(model)
    for size in range(5, 201):
        # When both have a size, then they compute the same
        expected = resized(model, size)(inputs)
        assert difference(network.resize(size)(inputs), expected) < tolerance


@needs_torch_integral
@pytest.mark.parametrize("build", [our_linear, our_convolution])
@torch.no_grad()
def test_handed_over_computes_the_same_at_every_size(build: Any, tolerance: float) -> None:
    # Given a network of ours, handed over
    network, inputs = build()
    model = to_torch_integral(network)
    for size in range(5, 201):
        # When both have a size, then they compute the same
        expected = resized(model, size)(inputs)
        assert difference(network.resize(size)(inputs), expected) < tolerance


@needs_torch_integral
@torch.no_grad()
def test_handed_over_at_the_current_sizes(tolerance: float) -> None:
    # Given a network at sizes that differ from axis to axis
    network, inputs = our_convolution()
    network.resize((11, 40, 7))
    before = network.lam_flat.clone()
    # When it is handed over
    model = to_torch_integral(network)
    # Then the model is at these sizes, and the network is what it was
    assert difference(model(inputs), network(inputs)) < tolerance
    assert sorted(group.grid_size() for group in model.groups) == [7, 11, 40]
    assert network.sizes == (11, 40, 7)
    assert torch.equal(network.lam_flat, before)


@needs_torch_integral
@torch.no_grad()
def test_taken_over_at_the_current_sizes(tolerance: float) -> None:
    # Given a model at sizes that differ from group to group
    model, inputs = their_convolution()
    model.resize([11, 40])
    # When it is taken over
    network = from_torch_integral(model)
    # Then the network is at these sizes, and only its continuous layers are integral
    assert sorted(network.sizes) == [11, 40]
    assert difference(network(inputs), model(inputs)) < tolerance
    assert type(network.module.get_submodule("9")) is nn.Linear


@needs_torch_integral
@pytest.mark.parametrize("build", [our_linear, our_convolution])
@torch.no_grad()
def test_there_and_back(build: Any, tolerance: float) -> None:
    # Given a network of ours
    network, inputs = build()
    # When it goes to TorchIntegral and comes back
    back = from_torch_integral(to_torch_integral(network))
    # Then it has the same axes and λ, and computes the same
    assert back.max_sizes == network.max_sizes
    assert [axis.grid_size for axis in back.axes] == [axis.grid_size for axis in network.axes]
    torch.testing.assert_close(back.lam_flat, network.lam_flat, rtol=1e-6, atol=0.0)
    for size in (2, 5, 33, 200):
        assert difference(back.resize(size)(inputs), network.resize(size)(inputs)) < tolerance


@needs_torch_integral
@torch.no_grad()
def test_linear_interpolation_and_narrow_axes(tolerance: float) -> None:
    # Given what TorchIntegral's own wrapper does not make: another kernel, and an axis of three
    network = IntegralMLP(4, (3, 20), 2, kernel=LinearInterpolation()).eval()
    inputs = torch.randn(8, 4)
    # When it is handed over
    model = to_torch_integral(network)
    # Then both compute the same
    for size in (2, 3, 17, 200):
        assert difference(network.resize(size)(inputs), resized(model, size)(inputs)) < tolerance


@needs_torch_integral
@torch.no_grad()
def test_fewer_nodes_than_features(tolerance: float) -> None:
    # Given a model of TorchIntegral with half as many λ as features
    inputs = torch.randn(8, 6)
    module = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 2))
    model = theirs_of(module, inputs, {"0.weight": [0], "0.bias": [0], "2.weight": [1]}, scale=0.5)
    # When it is taken over, then the axis has these, and both compute the same
    network = from_torch_integral(model)
    assert [(axis.max_size, axis.grid_size) for axis in network.axes] == [(40, 20)]
    for size in (5, 40, 111):
        assert difference(network.resize(size)(inputs), resized(model, size)(inputs)) < tolerance


@needs_torch_integral
@pytest.mark.parametrize(
    ("dims", "config", "message"),
    [
        ({"0.weight": [0], "2.weight": [1]}, {"use_gridsample": False}, "0.weight is parametrised by"),
        ({"0.weight": [0, 1], "2.weight": [1]}, {}, "0.weight is integrated by None"),
    ],
    ids=["interpolation", "three-inputs"],
)
def test_what_has_no_equal_here_is_refused(dims: Any, config: Any, message: str) -> None:
    # Given a model that TorchIntegral samples or integrates otherwise
    inputs = torch.randn(2, 3)
    module = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    model = theirs_of(module, inputs, dims, **config)
    # When it is to be taken over, then the error says what
    with pytest.raises(ValueError, match=message):
        from_torch_integral(model)


@needs_torch_integral
def test_what_has_no_equal_there_is_refused() -> None:
    # Given networks that TorchIntegral cannot hold, when they are to be handed over, then errors say why
    with pytest.raises(ValueError, match="CubicBSpline"):
        to_torch_integral(IntegralMLP(3, (8,), 2, kernel=CubicBSpline()))
    with pytest.raises(ValueError, match="Simpson"):
        to_torch_integral(IntegralMLP(3, (8,), 2, quadrature="simpson"))
    with pytest.raises(ValueError, match="at least 2"):
        to_torch_integral(IntegralMLP(3, (8,), 2).resize(1))
    with pytest.raises(ValueError, match="float64"):
        to_torch_integral(IntegralMLP(3, (8,), 2).double())


@pytest.mark.parametrize(
    ("function", "argument"),
    [(from_torch_integral, nn.Identity()), (to_torch_integral, IntegralMLP(3, (8,), 2))],
    ids=["from", "to"],
)
def test_without_torchintegral_the_error_names_its_repository(
    function: Any, argument: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an environment without TorchIntegral
    monkeypatch.setitem(sys.modules, "torch_integral", None)
    # When it is needed, then the error says where to get it
    with pytest.raises(ImportError, match=r"github\.com/TheStageAI/TorchIntegral"):
        function(argument)
