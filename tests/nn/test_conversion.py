"""From a discrete network to an integral one, and how well."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sb3_integral.nn import (
    KERNELS,
    QUADRATURES,
    CubicBSpline,
    CubicConvolution,
    IntegralLayer,
    IntegralNetwork,
    Midpoint,
    convert,
)


def mlp(*widths: int, activation: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    torch.manual_seed(0)
    modules: list[nn.Module] = []
    for i in range(len(widths) - 1):
        modules += [nn.Linear(widths[i], widths[i + 1]), activation()]
    return nn.Sequential(*modules[:-1])


def trained_norm(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Module:
    """Give a batch norm statistics and weights unlike those it starts with."""
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
    return norm


def cnn() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"),
        trained_norm(nn.BatchNorm2d(8)),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Sequential(nn.Conv2d(8, 10, 3, bias=False), trained_norm(nn.BatchNorm2d(10)), nn.SiLU()),
        nn.Flatten(),
        nn.Linear(40, 12),
        trained_norm(nn.BatchNorm1d(12)),
        nn.Dropout(0.5),
        nn.ReLU(),
        nn.Linear(12, 4),
    ).eval()


@pytest.mark.parametrize("permute", [True, False])
def test_converted_mlp_computes_what_it_did(permute: bool) -> None:
    # given
    module = mlp(17, 100, 100, 6)
    inputs = torch.randn(32, 17)
    # when
    network, errors = convert(module, permute=permute)
    # then
    assert isinstance(network, IntegralNetwork)
    assert network.sizes == (100, 100)
    assert len(errors) == 3
    assert max(errors) < 1e-6
    torch.testing.assert_close(network(inputs), module(inputs), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel": CubicBSpline()},
        {"grid_size": 150},
        {"grid_size": (150, 120)},
        {"kernel": CubicConvolution(a=-0.5), "grid_size": 111},
        {"quadrature": Midpoint(), "grid_size": 200},
    ],
    ids=str,
)
def test_grid_with_room_for_the_weights_is_exact(options: dict) -> None:
    # given
    module = mlp(17, 100, 100, 6)
    inputs = torch.randn(32, 17)
    # when
    network, errors = convert(module, permute=False, **options)
    # then
    assert max(errors) < 1e-5
    torch.testing.assert_close(network(inputs), module(inputs), rtol=0, atol=1e-4)


def smooth_mlp() -> nn.Sequential:
    """Return a network whose weights are smooth functions of where a neuron stands."""
    module = mlp(3, 40, 30, 2)
    with torch.no_grad():
        for layer in (module[0], module[2], module[4]):
            rows = torch.linspace(0, 5, layer.out_features)[:, None]
            columns = torch.linspace(0, 4, layer.in_features)
            layer.weight.copy_(torch.sin(rows + 1.5 * columns) / layer.in_features)
    return module


@pytest.mark.parametrize("make", [smooth_mlp, lambda: mlp(3, 40, 30, 2)], ids=["smooth", "random"])
def test_error_is_positive_on_a_smaller_grid_and_falls_as_it_grows(make) -> None:
    # when
    errors = [convert(make(), grid_size=grid, permute=False).errors for grid in (5, 10, 20)]
    # then for every layer
    for coarse, middle, fine in zip(*errors, strict=True):
        assert coarse > middle > fine > 0
        assert coarse <= 1


def test_smooth_weights_need_but_a_small_grid() -> None:
    # given
    module = smooth_mlp()
    inputs = torch.randn(32, 3, generator=torch.Generator().manual_seed(0))
    # when
    network, errors = convert(module, grid_size=15, permute=False)
    # then a border that repeats its last coefficient leaves a little
    assert max(errors) < 0.12
    assert min(convert(mlp(3, 40, 30, 2), grid_size=15, permute=False).errors) > 0.5
    torch.testing.assert_close(network(inputs), module(inputs), rtol=0, atol=0.02)


@torch.no_grad()
def residual(network: IntegralNetwork, module: nn.Sequential) -> float:
    """Return the squared distance of a network's discrete form to a module, over all parameters."""
    pairs = zip(network.discretize().parameters(), module.parameters(), strict=True)
    return sum(float((mine - other).square().sum()) for mine, other in pairs)


@pytest.mark.parametrize("kernel", KERNELS)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-4, 1e-2, 1.0]))
@settings(max_examples=15, deadline=None)
def test_fit_is_the_least_squares_optimum(kernel: str, seed: int, scale: float) -> None:
    # given a fit that leaves something
    module = mlp(3, 12, 10, 2).double()
    network = convert(module, grid_size=6, kernel=KERNELS[kernel], permute=False).network
    best = residual(network, module)
    assert best > 0.01
    # when λ is moved anywhere
    noise = torch.randn(
        network.lam_flat.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    with torch.no_grad():
        network.lam_flat += scale * noise
    # then
    assert residual(network, module) >= best


@pytest.mark.parametrize("quadrature", QUADRATURES.values(), ids=QUADRATURES)
@torch.no_grad()
def test_reported_error_is_what_the_fit_leaves_of_each_weight(quadrature) -> None:
    # given
    module = mlp(3, 12, 10, 2).double()
    # when
    network, errors = convert(module, grid_size=7, quadrature=quadrature, permute=False)
    # then
    for mine, other, error in zip(network.discretize()[::2], module[::2], errors, strict=True):
        left = torch.linalg.norm(mine.weight - other.weight) / torch.linalg.norm(other.weight)
        assert float(left) == pytest.approx(error, rel=1e-9)


@pytest.mark.parametrize("permute", [True, False])
def test_converted_cnn_with_batch_norm_computes_what_it_did(permute: bool) -> None:
    # given
    module = cnn()
    inputs = torch.randn(6, 3, 8, 8)
    # when
    network, errors = convert(module, permute=permute, seconds=0.05)
    # then
    assert network.sizes == (8, 10, 12)
    assert max(errors) < 1e-6
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(inputs), module(inputs), rtol=1e-4, atol=1e-4)
        assert network.resize((5, 14, 6))(inputs).shape == (6, 4)
    assert not any(isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) for part in network.modules())


@pytest.mark.parametrize("make", [lambda: mlp(4, 9, 8, 2), cnn], ids=["mlp", "cnn"])
def test_original_is_not_changed(make) -> None:
    # given a module in training mode
    module = make().train()
    before = copy.deepcopy(module.state_dict())
    # when
    network = convert(module, seconds=0.05).network
    with torch.no_grad():
        network.lam_flat.zero_()
    # then
    assert all(part.training for part in module.modules())
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    assert not any(isinstance(part, IntegralLayer) for part in module.modules())


@pytest.mark.parametrize(
    "part",
    [nn.Softmax(dim=1), nn.LayerNorm(8), nn.PReLU(8), nn.BatchNorm1d(8), nn.Bilinear(8, 8, 8)],
    ids=lambda part: type(part).__name__,
)
def test_module_that_does_not_do_the_same_at_every_size_is_refused_by_name(part: nn.Module) -> None:
    # given it behind an activation
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), part, nn.Linear(8, 2))
    # then
    with pytest.raises(ValueError, match=type(part).__name__):
        convert(module)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_layers_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"at least two linear or convolutional layers, got {count}"):
        convert(nn.Sequential(*[nn.Linear(4, 4) for _ in range(count)], nn.ReLU()))


def test_convolution_with_groups_is_refused() -> None:
    with pytest.raises(ValueError, match="groups=2"):
        convert(nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2)))


@pytest.mark.parametrize("grid", [0, 2.5, True, (4, 4), "a"], ids=repr)
def test_wrong_grid_is_refused(grid: object) -> None:
    with pytest.raises(ValueError, match="grid_size must be"):
        convert(mlp(3, 5, 2), grid_size=grid)
