"""Neurons in order before they are resized."""

import torch

from sb3_integral.resize import Bicubic, DenseLayer, IntegralSampling, Permuted


def shuffled() -> tuple[list[DenseLayer], list[DenseLayer]]:
    """Return a network whose neurons vary smoothly, and the same with its neurons shuffled."""
    places = torch.linspace(0, 1, 24)
    layers = [
        DenseLayer(torch.stack([places, places.square()], dim=1), places - 0.5),
        DenseLayer(torch.stack([places.cos(), places], dim=0) / 24, torch.zeros(2)),
    ]
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    (weight, bias), (outgoing, last) = layers
    assert bias is not None
    return layers, [DenseLayer(weight[order], bias[order]), DenseLayer(outgoing[:, order], last)]


def run(layers: list[DenseLayer], inputs: torch.Tensor) -> torch.Tensor:
    hidden = torch.nn.functional.linear(inputs, *layers[0]).relu()
    return torch.nn.functional.linear(hidden, *layers[1])


def test_a_shuffled_network_is_resized_as_the_smooth_one() -> None:
    # given
    smooth, rough = shuffled()
    inputs = torch.randn(20, 2, generator=torch.Generator().manual_seed(1))
    for method in (Bicubic(rescale=True), IntegralSampling()):
        # when
        resized, expected = Permuted(method)(rough, [10]), method(smooth, [10])
        # then the path may have been walked either way, which is the same network
        torch.testing.assert_close(run(resized, inputs), run(expected, inputs), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(run(method(rough, [10]), inputs), run(expected, inputs), atol=1e-3)


def test_at_its_own_sizes_no_neuron_moves() -> None:
    _, rough = shuffled()
    same = Permuted(Bicubic())(rough, [24])
    assert torch.equal(same[0].weight, rough[0].weight)
