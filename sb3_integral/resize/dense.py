"""Dense layers as plain tensors, and what every way to resize them looks like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

UNSIZED_PARAMETERS = 1
"""What the paper's rates count beside weights and biases, at every size: with it all 48 printed rates
come out, without it 44."""

Activation = Callable[[Tensor], Tensor]


class DenseLayer(NamedTuple):
    """Weight and bias of one layer. Shapes: (out, in), (out,)."""

    weight: Float[Tensor, "out in"]
    bias: Float[Tensor, " out"] | None


@runtime_checkable
class ResizeMethod(Protocol):
    """A way to give a dense network other hidden sizes."""

    def __call__(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        """Resize.

        Args:
            layers: The network at full size, first layer to last; it is not changed.
            sizes: The wanted size of each hidden layer.

        Returns:
            As many layers, of the wanted sizes unless the method is one that
            :class:`CountsParameters`. At the network's own sizes it is the identity.

        Raises:
            ValueError: If a size is above the full one and the method only takes neurons away.
        """
        ...


@runtime_checkable
class DataResizeMethod(Protocol):
    """A way to resize that looks at what the network reads, such as the demonstrations."""

    def fit(self, inputs: Float[Tensor, "batch in"], activation_fn: Activation) -> ResizeMethod:
        """Return the method for a first layer that reads such inputs. Shape: (samples, in)."""
        ...


@runtime_checkable
class CountsParameters(Protocol):
    """A way to resize whose layers are stored as something smaller than their shapes."""

    def parameter_count(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> int:
        """Count the weights and biases that have to be stored, for such arguments."""
        ...


class NeuronMap(NamedTuple):
    """How the neurons of a resized layer are made of the old ones.

    Attributes:
        incoming: Multiplies the layer's weight and bias from the left. Shape: (new, old).
        outgoing: Multiplies the next layer's weight from the right. Shape: (old, new).
    """

    incoming: Float[Tensor, "new old"]
    outgoing: Float[Tensor, "old new"]

    @classmethod
    def of_neurons(cls, kept: Tensor, old: int, factor: float = 1.0) -> NeuronMap:
        """Take neurons as they are; what they give to the next layer is multiplied by a factor."""
        selection = torch.eye(old)[kept.cpu()]
        return cls(selection, factor * selection.T)


def combine_neurons(layers: Sequence[DenseLayer], maps: Sequence[NeuronMap]) -> list[DenseLayer]:
    """Return layers, in tensors of their own, whose hidden neurons are made by one map each."""
    combined = []
    for i, (weight, bias) in enumerate(layers):
        if i > 0:
            weight = weight @ maps[i - 1].outgoing.to(weight)
        if i < len(maps):
            incoming = maps[i].incoming.to(weight)
            weight, bias = incoming @ weight, None if bias is None else incoming @ bias
        combined.append(DenseLayer(weight.clone(), None if bias is None else bias.clone()))
    return combined


def check_not_larger(size: int, layer: DenseLayer, what: str) -> None:
    """Raise a ValueError if a method that takes neurons away is asked to add some."""
    full = len(layer.weight)
    if size > full:
        raise ValueError(f"{what} cannot make a layer of {full} neurons larger, got size {size}")
