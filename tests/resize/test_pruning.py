"""Structured pruning, against cases small enough to compute by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sb3_integral.resize import (
    DenseLayer,
    Pruning,
    RandomScore,
    activation_influence,
    l1_norm,
    l2_norm,
    spectral_norm,
)

INCOMING = DenseLayer(
    torch.tensor([[3.0, 0.0], [2.0, 2.0], [0.5, 0.5], [0.0, 2.9]]), torch.tensor([1.0, 2.0, 3.0, 4.0])
)
OUTGOING = DenseLayer(torch.tensor([[0.1, 1.0, 10.0, 2.0]]), torch.tensor([5.0]))


def run(layers: list[DenseLayer], inputs: Tensor) -> Tensor:
    for i, (weight, bias) in enumerate(layers):
        inputs = torch.nn.functional.linear(inputs, weight, bias)
        inputs = inputs.relu() if i < len(layers) - 1 else inputs
    return inputs


@pytest.mark.parametrize(
    ("score", "kept"),
    [
        (l1_norm, [0, 1]),  # 3, 4, 1, 2.9
        (l2_norm, [0, 3]),  # 3, 2.83, 0.71, 2.9
        (spectral_norm, [2, 3]),  # 0.3, 2.83, 7.07, 5.8
    ],
)
def test_the_highest_scores_stay_in_their_order(score: Callable[..., Tensor], kept: list[int]) -> None:
    # when
    first, last = Pruning(score)([INCOMING, OUTGOING], [2])
    # then
    assert torch.equal(first.weight, INCOMING.weight[kept])
    assert first.bias is not None
    assert INCOMING.bias is not None
    assert torch.equal(first.bias, INCOMING.bias[kept])
    assert torch.equal(last.weight, OUTGOING.weight[:, kept])
    assert torch.equal(last.bias, OUTGOING.bias)


def test_random_neurons_depend_on_the_seed_alone() -> None:
    # given
    layers = [DenseLayer(torch.randn(50, 3), None), DenseLayer(torch.randn(2, 50), None)]

    def weight(seed: int) -> Tensor:
        return Pruning(RandomScore(seed))(layers, [10])[0].weight

    # then
    assert torch.equal(weight(1), weight(1))
    assert not torch.equal(weight(1), weight(2))


def test_a_constant_neuron_is_dropped_without_a_trace() -> None:
    # given a neuron of large weights that the data never move
    observations = torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
    layers = [
        DenseLayer(torch.tensor([[1.0, 0.0], [0.0, 99.0]]), torch.tensor([0.0, 7.0])),
        DenseLayer(torch.tensor([[1.0, 2.0]]), torch.tensor([0.5])),
    ]
    # when
    pruned = Pruning(activation_influence, observations)(layers, [1])
    # then its mean, 7 times 2, is in the bias
    assert torch.equal(pruned[0].weight, torch.tensor([[1.0, 0.0]]))
    assert torch.equal(pruned[1].bias, torch.tensor([14.5]))
    torch.testing.assert_close(run(pruned, observations), run(layers, observations))


def test_activation_pruning_is_the_identity_at_full_size() -> None:
    layers = [INCOMING, OUTGOING]
    for same, layer in zip(
        Pruning(activation_influence, torch.randn(5, 2))(layers, [4]), layers, strict=True
    ):
        torch.testing.assert_close(same, layer, rtol=0.0, atol=0.0)


def test_with_observations_what_is_dropped_leaves_its_mean() -> None:
    # given neurons whose L1 norms are 3, 4, 1 and 2.9
    inputs = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # when
    blind = Pruning(l1_norm)([INCOMING, OUTGOING], [2])
    seeing = Pruning(l1_norm).fit(inputs, torch.relu)([INCOMING, OUTGOING], [2])
    # then the last two go, whose values are 3.5 and 3.5, 4 and 6.9, and whose weights are 10 and 2
    assert torch.equal(seeing[1].weight, blind[1].weight)
    torch.testing.assert_close(seeing[1].bias, torch.tensor([5.0 + 10 * 3.5 + 2 * 5.45]))
    assert torch.equal(blind[1].bias, torch.tensor([5.0]))
    # and the outputs are right on average
    torch.testing.assert_close(
        run(seeing, inputs).mean(dim=0), run([INCOMING, OUTGOING], inputs).mean(dim=0)
    )


def test_the_activation_between_the_layers_decides_what_varies() -> None:
    # given a neuron that ReLU silences and tanh does not, and one that hardly counts afterwards
    inputs = torch.tensor([[1.0], [2.0], [3.0]])
    layers = [
        DenseLayer(torch.tensor([[-1.0], [1.0]]), torch.zeros(2)),
        DenseLayer(torch.tensor([[1.0, 0.1]]), torch.zeros(1)),
    ]
    # when
    by_relu = Pruning(activation_influence).fit(inputs, torch.relu)(layers, [1])
    by_tanh = Pruning(activation_influence).fit(inputs, torch.tanh)(layers, [1])
    # then
    assert by_relu[0].weight.tolist() == [[1.0]]
    assert by_tanh[0].weight.tolist() == [[-1.0]]
    # and the mean of what went is in the bias
    torch.testing.assert_close(by_tanh[1].bias, 0.1 * torch.tanh(inputs).mean(dim=0))


def test_it_asks_for_observations_and_for_finite_ones() -> None:
    with pytest.raises(ValueError, match=r"needs observations, expected fit\(inputs, activation_fn\)"):
        Pruning(activation_influence)([INCOMING, OUTGOING], [4])
    for inputs in (torch.empty(0, 2), torch.tensor([[1.0, float("nan")]])):
        with pytest.raises(ValueError, match="expected at least one sample and finite numbers only"):
            Pruning(activation_influence).fit(inputs, torch.relu)
        with pytest.raises(ValueError, match="expected at least one sample and finite numbers only"):
            Pruning().fit(inputs, torch.relu)


def test_growing_is_refused() -> None:
    with pytest.raises(ValueError, match="pruning cannot make a layer of 4 neurons larger, got size 5"):
        Pruning(activation_influence, torch.randn(5, 2))([INCOMING, OUTGOING], [5])
