"""Structured pruning: whole neurons are dropped, the others keep their weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sb3_integral.resize.dense import (
    Activation,
    DenseLayer,
    NeuronMap,
    check_not_larger,
    combine_neurons,
)

Score = Callable[[DenseLayer, DenseLayer, Tensor | None], Tensor]
"""Scores the neurons between two layers; the highest are kept. Shape of the result: (neurons,).

It takes both layers at full size, and the neurons' values where there are observations.
Shape of the values: (samples, neurons).
"""


def l1_norm(incoming: DenseLayer, *_: object) -> Float[Tensor, " neurons"]:
    """L1 norm of a neuron's incoming weights (Li et al. 2017)."""
    return incoming.weight.abs().sum(dim=1)


def l2_norm(incoming: DenseLayer, *_: object) -> Float[Tensor, " neurons"]:
    """L2 norm of a neuron's incoming weights."""
    return incoming.weight.square().sum(dim=1).sqrt()


def spectral_norm(
    incoming: DenseLayer, outgoing: DenseLayer, _: object = None
) -> Float[Tensor, " neurons"]:
    """Spectral norm of what a neuron adds to the product of both layers' weights.

    That is of rank one: outgoing column times incoming row, of norm |outgoing|·|incoming|.
    """
    return l2_norm(incoming) * outgoing.weight.square().sum(dim=0).sqrt()


def activation_influence(_: DenseLayer, outgoing: DenseLayer, values: Tensor | None) -> Tensor:
    """Standard deviation of a neuron's activation, times the norm of its outgoing weights.

    Raises:
        ValueError: If there are no observations.
    """
    if values is None:
        raise ValueError(
            "pruning by activations needs observations, expected fit(inputs, activation_fn) first "
            "or ResizablePolicy(policy, method, observations=...)"
        )
    return values.std(dim=0, correction=0) * outgoing.weight.square().sum(dim=0).sqrt()


@dataclass(frozen=True)
class RandomScore:
    """Neurons at random, the same each time."""

    seed: int = 0

    def __call__(self, incoming: DenseLayer, *_: object) -> Tensor:
        """See :data:`Score`."""
        generator = torch.Generator().manual_seed(self.seed)
        return torch.rand(len(incoming.weight), generator=generator)


@dataclass(frozen=True, eq=False)
class Pruning:
    """Keep the neurons of each hidden layer that score highest, in their order.

    With observations, one that is dropped leaves its mean contribution in the biases of the next layer.

    Args:
        score: Rates the neurons.
        observations: What the first layer reads. Shape: (samples, in).
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
        if len(inputs) == 0 or not inputs.isfinite().all():
            raise ValueError(
                f"expected at least one sample and finite numbers only, got {len(inputs)} samples and "
                f"{int((~inputs.isfinite()).sum())} numbers that are NaN or infinite"
            )
        return replace(self, observations=inputs, activation_fn=activation_fn)

    @torch.no_grad()
    def __call__(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        """See :class:`~sb3_integral.resize.ResizeMethod`."""
        values = self.observations
        maps, compensated = [], [layers[0]]
        for (incoming, outgoing), size in zip(pairwise(layers), sizes, strict=True):
            check_not_larger(size, incoming, "pruning")
            if values is not None:
                values = self.activation_fn(F.linear(values, *incoming))
            scores = self.score(incoming, outgoing, values)
            best = scores.argsort(descending=True, stable=True)[:size].sort().values
            bias = outgoing.bias
            if values is not None and bias is not None:
                bias = bias + outgoing.weight @ values.mean(dim=0).index_fill(0, best, 0.0)
            compensated.append(DenseLayer(outgoing.weight, bias))
            maps.append(NeuronMap.of_neurons(best, len(scores)))
        return combine_neurons(compensated, maps)
