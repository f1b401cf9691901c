"""Structured pruning: whole neurons are dropped, the others keep their weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from sb3_integral.resize.dense import DenseLayer

Score = Callable[[DenseLayer, DenseLayer], Tensor]
"""Scores the neurons between two layers; the highest are kept. Shape of the result: (neurons,)."""

Activation = Callable[[Tensor], Tensor]


def l1_norm(incoming: DenseLayer, _: DenseLayer) -> Tensor:
    """L1 norm of a neuron's incoming weights (Li et al. 2017)."""
    return incoming.weight.abs().sum(dim=1)


def l2_norm(incoming: DenseLayer, _: DenseLayer) -> Tensor:
    """L2 norm of a neuron's incoming weights."""
    return incoming.weight.square().sum(dim=1).sqrt()


def spectral_norm(incoming: DenseLayer, outgoing: DenseLayer) -> Tensor:
    """Spectral norm of what a neuron adds to the product of both layers' weights.

    That is of rank one: outgoing column times incoming row, of norm |outgoing|·|incoming|.
    """
    return l2_norm(incoming, outgoing) * outgoing.weight.square().sum(dim=0).sqrt()


@dataclass(frozen=True)
class RandomScore:
    """Neurons at random.

    Args:
        seed: Draws the same neurons each time.
    """

    seed: int = 0

    def __call__(self, incoming: DenseLayer, _: DenseLayer) -> Tensor:
        """See :data:`Score`."""
        generator = torch.Generator().manual_seed(self.seed)
        return torch.rand(len(incoming.weight), generator=generator)


@dataclass(frozen=True, eq=False)
class Pruning:
    """Keep the neurons of each hidden layer that score highest, in their order.

    With observations, one that is dropped leaves its mean contribution in the biases of the next layer.

    Args:
        score: What tells which those are, from the weights at full size.
        observations: What the first layer reads; None until :meth:`fit`. Shape: (samples, in).
        activation_fn: What is between the layers.
    """

    score: Score = l2_norm
    observations: Tensor | None = None
    activation_fn: Activation = torch.relu

    def fit(self, inputs: Tensor, activation_fn: Activation) -> Pruning:
        """See :class:`~sb3_integral.resize.DataResizeMethod`.

        Raises:
            ValueError: If there is no sample, or one is NaN or infinite.
        """
        return Pruning(self.score, _checked(inputs), activation_fn)

    def __call__(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        """See :class:`~sb3_integral.resize.ResizeMethod`.

        Raises:
            ValueError: If a size is above the full one.
        """
        return _pruned(
            layers,
            sizes,
            lambda one, other, _: self.score(one, other),
            self.observations,
            self.activation_fn,
        )


@dataclass(frozen=True, eq=False)
class ActivationPruning:
    """Keep the neurons whose activation varies most over observations, the rest become constants.

    A neuron's score is the standard deviation of its activation times the norm of its outgoing
    weights. One that is dropped leaves its mean contribution in the biases of the next layer.

    Args:
        observations: What the first layer reads, such as the demonstrations, standardised as in the
            network; None until :meth:`fit`. Shape: (samples, in).
        activation_fn: What is between the layers.
    """

    observations: Tensor | None = None
    activation_fn: Activation = torch.relu

    def fit(self, inputs: Tensor, activation_fn: Activation) -> ActivationPruning:
        """See :class:`~sb3_integral.resize.DataResizeMethod`.

        Raises:
            ValueError: If there is no sample, or one is NaN or infinite.
        """
        return ActivationPruning(_checked(inputs), activation_fn)

    def __call__(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        """See :class:`~sb3_integral.resize.ResizeMethod`.

        Raises:
            ValueError: If a size is above the full one, or there are no observations.
        """
        if self.observations is None:
            raise ValueError(
                "pruning by activations needs observations, expected fit(inputs, activation_fn) first "
                "or ResizablePolicy(policy, method, observations=...)"
            )
        return _pruned(layers, sizes, _influence, self.observations, self.activation_fn)


def _influence(_: DenseLayer, outgoing: DenseLayer, values: Tensor | None) -> Tensor:
    assert values is not None
    return values.std(dim=0, correction=0) * outgoing.weight.square().sum(dim=0).sqrt()


@torch.no_grad()
def _pruned(
    layers: Sequence[DenseLayer],
    sizes: Sequence[int],
    score: Callable[[DenseLayer, DenseLayer, Tensor | None], Tensor],
    values: Tensor | None,
    activation_fn: Activation,
) -> list[DenseLayer]:
    """Keep the neurons that score highest; the means of the others' values go into the biases."""
    kept, compensated = [], [layers[0]]
    for (incoming, outgoing), size in zip(pairwise(layers), sizes, strict=True):
        check_not_larger(size, len(incoming.weight), "pruning")
        if values is not None:
            values = activation_fn(torch.nn.functional.linear(values, *incoming))
        scores = score(incoming, outgoing, values)
        best = scores.argsort(descending=True, stable=True)[:size].sort().values
        bias = outgoing.bias
        if values is not None and bias is not None:
            dropped = torch.ones_like(scores, dtype=torch.bool)
            dropped[best] = False
            bias = bias + outgoing.weight[:, dropped] @ values.mean(dim=0)[dropped]
        compensated.append(DenseLayer(outgoing.weight, bias))
        kept.append(best)
    return select_neurons(compensated, kept)


def _checked(inputs: Tensor) -> Tensor:
    if len(inputs) == 0 or not inputs.isfinite().all():
        raise ValueError(
            f"expected at least one sample and finite numbers only, got {len(inputs)} samples and "
            f"{int((~inputs.isfinite()).sum())} numbers that are NaN or infinite"
        )
    return inputs


def check_not_larger(size: int, full: int, what: str) -> None:
    """Check that a method that drops neurons is not to add some.

    Raises:
        ValueError: If it is.
    """
    if size > full:
        raise ValueError(f"{what} cannot make a layer of {full} neurons larger, got size {size}")


def select_neurons(layers: Sequence[DenseLayer], kept: Sequence[Tensor]) -> list[DenseLayer]:
    """Return the layers with only some of their hidden neurons, in the order given."""
    selected = []
    for i, (weight, bias) in enumerate(layers):
        if i > 0:
            weight = weight[:, kept[i - 1]]
        if i < len(kept):
            weight = weight[kept[i]]
            bias = None if bias is None else bias[kept[i]]
        selected.append(DenseLayer(weight.clone(), None if bias is None else bias.clone()))
    return selected
