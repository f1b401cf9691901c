"""The integral MLP at every size, depth, kernel and quadrature."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sb3_integral.nn import (
    KERNELS,
    QUADRATURES,
    Axis,
    IntegralLinear,
    IntegralMLP,
    to_integral_layers,
)

kernels = st.sampled_from(sorted(KERNELS))
quadratures = st.sampled_from(sorted(QUADRATURES))


@st.composite
def networks(draw: st.DrawFn) -> IntegralMLP:
    """Draw an MLP of one to four hidden layers, its grids smaller or larger than these."""
    hidden = draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    grids = [draw(st.none() | st.integers(1, 60)) for _ in hidden]
    return IntegralMLP(
        3,
        hidden,
        2,
        activation_fn=draw(st.sampled_from([nn.ReLU, nn.Tanh, nn.SiLU])),
        grid_size=[full if grid is None else grid for full, grid in zip(hidden, grids, strict=True)],
        kernel=draw(kernels),
        quadrature=draw(quadratures),
    ).double()


@given(network=networks(), data=st.data())
@settings(max_examples=40, deadline=None)
def test_resized_network_computes_what_its_discrete_form_does(
    network: IntegralMLP, data: st.DataObject
) -> None:
    # given any sizes, below and above the full ones
    sizes = [data.draw(st.integers(1, 150)) for _ in network.axes]
    inputs = torch.randn(4, 3, dtype=torch.float64)
    # when
    plain = network.discretize(sizes)
    resized = network.resize(sizes)
    # then
    widths = [layer.out_features for layer in plain if isinstance(layer, nn.Linear)]
    assert widths == [*sizes, 2]
    assert network.sizes == tuple(sizes)
    torch.testing.assert_close(resized(inputs), plain(inputs))
    with torch.no_grad():
        torch.testing.assert_close(resized.eval()(inputs), plain(inputs))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("quadrature", QUADRATURES)
@pytest.mark.parametrize("grid", [7, 33])
def test_every_kernel_goes_with_every_quadrature(kernel: str, quadrature: str, grid: int) -> None:
    # given
    torch.manual_seed(0)
    network = IntegralMLP(3, [16, 12], 2, grid_size=grid, kernel=kernel, quadrature=quadrature).double()
    inputs = torch.randn(4, 3, dtype=torch.float64)
    for size in (1, 2, 9, 16, 40):
        # when
        plain = network.discretize(size)
        # then
        torch.testing.assert_close(network.resize(size)(inputs), plain(inputs))


@pytest.mark.parametrize("kernel", sorted(set(KERNELS) - {"b-spline"}))
def test_network_at_full_size_is_a_plain_one_of_the_same_seed(kernel: str) -> None:
    # given
    torch.manual_seed(5)
    network = IntegralMLP(4, [8, 6], 3, activation_fn=nn.Tanh, kernel=kernel)
    torch.manual_seed(5)
    plain = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3))
    # when
    inputs = torch.randn(5, 4)
    # then
    assert torch.equal(network(inputs), plain(inputs))


def test_network_has_the_size_it_is_built_with() -> None:
    # given
    network = IntegralMLP(4, (8, 6), 3, grid_size=(5, 9))
    # then
    assert network.sizes == network.max_sizes == (8, 6)
    assert [axis.grid_size for axis in network.axes] == [5, 9]
    assert [axis.grid_size for axis in IntegralMLP(4, (8, 6), 3, grid_size=7).axes] == [7, 7]
    assert network(torch.randn(2, 5, 4)).shape == (2, 5, 3)


@given(size=st.integers(1, 12), levels=st.integers(0, 4), activation=st.sampled_from([nn.Tanh, nn.SiLU]))
@settings(max_examples=30, deadline=None)
def test_nested_network_with_corrections_computes_what_its_discrete_form_does(
    size: int, levels: int, activation: type[nn.Module]
) -> None:
    # given corrections that have been learned
    network = IntegralMLP(3, [8, 8], 2, activation_fn=activation, nested=True, scale_levels=levels)
    for parameter in network.double().parameters():
        nn.init.normal_(parameter)
    inputs = torch.randn(4, 3, dtype=torch.float64)
    # when
    plain = network.discretize(size)
    # then
    torch.testing.assert_close(network.forward_at_sizes(inputs, [size])[0], plain(inputs))
    output = network.resize(size)(inputs)
    torch.testing.assert_close(output, plain(inputs))
    # and a small network is the beginning of the large one, but for its corrections
    names = {name.split(".")[-2] for name, _ in network.named_parameters() if "." in name}
    assert names == ({"levels"} if levels else set())
    if not levels and size < 8:
        assert torch.equal(plain[0].weight, network.module[0].weight[:size])
    # and it is saved, loaded and trained
    other = IntegralMLP(
        3, [8, 8], 2, activation_fn=activation, nested=True, scale_levels=levels
    ).double()
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(inputs), output)
    output.sum().backward()
    assert network.lam_flat.grad is not None


def test_levels_without_nesting_are_refused() -> None:
    with pytest.raises(ValueError, match="scale_levels=2 needs partitions that nest"):
        IntegralMLP(3, [8], 2, scale_levels=2)


def test_network_without_hidden_layers_is_linear() -> None:
    # given
    network = IntegralMLP(4, [], 3)
    inputs = torch.randn(2, 4)
    # then
    assert network.sizes == ()
    assert isinstance(network.discretize()[0], nn.Linear)
    assert torch.equal(network.discretize()(inputs), network(inputs))


def test_activation_is_made_anew_for_each_hidden_layer() -> None:
    # given an activation with a parameter
    network = IntegralMLP(4, (8, 6), 3, activation_fn=nn.PReLU)
    # when
    activations = [module for module in network.modules() if isinstance(module, nn.PReLU)]
    # then
    assert len(activations) == 2
    assert activations[0].weight is not activations[1].weight


@pytest.mark.parametrize("wrong", [[0], [-1], [2.5], [True], ["a"]], ids=str)
def test_wrong_sizes_are_refused(wrong: list) -> None:
    with pytest.raises(ValueError, match="hidden_sizes must be an integer of at least 1"):
        IntegralMLP(4, wrong, 3)
    with pytest.raises(ValueError, match="grid_size must be an integer of at least 1"):
        IntegralMLP(4, [8], 3, grid_size=wrong)
    network = IntegralMLP(4, [8], 3)
    with pytest.raises(ValueError, match="size must be an integer of at least 1"):
        network.resize(wrong)
    with pytest.raises(ValueError, match="size must be an integer of at least 1"):
        network.discretize(wrong)
    assert network.sizes == (8,)


def test_wrong_number_of_sizes_is_refused() -> None:
    with pytest.raises(ValueError, match="got 3 of them"):
        IntegralMLP(4, [8, 8], 3, grid_size=[4, 4, 4])
    with pytest.raises(ValueError, match="got 1 of them"):
        IntegralMLP(4, [8, 8], 3).resize([4])


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown kernel 'bicubic'"):
        IntegralMLP(4, [8], 3, kernel="bicubic")
    with pytest.raises(ValueError, match="unknown quadrature 'left'"):
        IntegralMLP(4, [8], 3, quadrature="left")


def test_integral_layers_share_parameters_and_axes() -> None:
    # given
    layers = [nn.Linear(3, 6), nn.Linear(6, 5), nn.Linear(5, 2)]
    axes = [Axis(6), Axis(5)]
    # when
    integral = to_integral_layers(layers, axes)
    # then
    assert all(type(layer) is IntegralLinear for layer in integral)
    assert [layer.in_axis for layer in integral] == [None, *axes]
    assert [layer.out_axis for layer in integral] == [*axes, None]
    for layer, plain in zip(integral, layers, strict=True):
        assert layer.weight is plain.weight
        assert layer.bias is plain.bias


@pytest.mark.parametrize("count", [0, 1, 3])
def test_wrong_number_of_axes_is_refused(count: int) -> None:
    # given
    layers = [nn.Linear(4, 4) for _ in range(3)]
    # then
    with pytest.raises(ValueError, match=f"3 layers have 2 axes, got {count}"):
        to_integral_layers(layers, [Axis(4)] * count)


def test_axis_that_fits_no_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="has a grid of 7 nodes, expected 4"):
        to_integral_layers([nn.Linear(3, 4), nn.Linear(4, 2)], [Axis(7)])
