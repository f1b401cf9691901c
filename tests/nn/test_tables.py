"""Parameters gathered by index: what the layers sample, merged into one network."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from sb3_integral.nn import IntegralLinear, IntegralMLP
from sb3_integral.nn.tables import Plans, Table


def _network(bias: bool = True) -> tuple[IntegralMLP, list[IntegralLinear]]:
    torch.manual_seed(0)
    network = IntegralMLP(3, [8, 6], 2, nested=True, scale_levels=4).double()
    layers = [part for part in network.modules() if isinstance(part, IntegralLinear)]
    for layer in layers:
        for parameter in layer.corrections.parameters():
            nn.init.normal_(parameter)
    return network, layers


def _plans(network: IntegralMLP, layers: list[IntegralLinear], size: int) -> Plans:
    at = network.axes.placements(size)
    return tuple([layer.plan(at) for layer in layers])


def _flat(layers: list[IntegralLinear]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for layer in layers for tensor in layer.tensors()])


@given(size=st.integers(1, 6))
def test_a_network_is_what_its_layers_sample(size: int) -> None:
    # given
    network, layers = _network()
    table = Table.from_plans([_plans(network, layers, size)], [layer.tensors() for layer in layers])
    # when
    found = table.gather(_flat(layers))
    # then
    at = network.axes.placements(size)
    wanted = [tensor for layer in layers for tensor in layer.discrete_parameters(at)]
    torch.testing.assert_close(found, wanted)


def test_networks_are_merged_by_rows_and_then_by_blocks() -> None:
    # given
    network, layers = _network()
    sizes = (2, 3)
    plans = [_plans(network, layers, size) for size in sizes]
    # when
    table = Table.from_plans(plans, [layer.tensors() for layer in layers])
    first, first_bias, second, *_, last_bias = table.gather(_flat(layers))
    # then
    of_size = [
        [layer.discrete_parameters(network.axes.placements(size)) for layer in layers] for size in sizes
    ]
    torch.testing.assert_close(first, torch.cat([of_layer[0][0] for of_layer in of_size]))
    torch.testing.assert_close(second, torch.block_diag(*[of_layer[1][0] for of_layer in of_size]))
    biases = [torch.cat([of_layer[n][1] for of_layer in of_size]) for n in (0, 2)]
    torch.testing.assert_close([first_bias, last_bias], biases)


@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_gradients_are_those_of_autograd(sizes: list[int]) -> None:
    # given
    network, layers = _network()
    tensors = [layer.tensors() for layer in layers]
    table = Table.from_plans([_plans(network, layers, size) for size in sizes], tensors)
    flat = _flat(layers).detach().requires_grad_()
    found = table.gather(flat)
    gradients = [torch.randn_like(part) for part in found]
    # when
    ours = torch.zeros_like(flat)
    table.add_gradient(gradients, ours)
    # then
    (wanted,) = torch.autograd.grad(found, flat, gradients)
    torch.testing.assert_close(ours, wanted)


def test_only_the_scales_of_the_sizes_are_used() -> None:
    network, layers = _network()
    tensors = [layer.tensors() for layer in layers]
    table = Table.from_plans([_plans(network, layers, 6), _plans(network, layers, 5)], tensors)
    for layer, sources in zip(layers, table.sources, strict=True):
        plans = (layer.plan(network.axes.placements(size)) for size in (6, 5))
        assert sources == frozenset(source for plan in plans for source in plan.sources)
        assert len(sources) < len(layer.tensors())
