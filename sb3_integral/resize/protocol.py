"""What every way to resize a dense network with no retraining looks like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from sb3_integral.resize.dense import DenseLayer


@runtime_checkable
class ResizeMethod(Protocol):
    """A way to give a dense network other hidden sizes."""

    def __call__(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        """Resize.

        Args:
            layers: The network at full size, first layer to last; it is not changed.
            sizes: The wanted size of each hidden layer: one fewer than there are layers.

        Returns:
            As many layers, of the wanted sizes unless the method is one that
            :class:`CountsParameters`. At the network's own sizes it is the identity.
        """
        ...


@runtime_checkable
class DataResizeMethod(Protocol):
    """A way to resize that looks at what the network reads, such as the demonstrations."""

    def fit(self, inputs: Tensor, activation_fn: Callable[[Tensor], Tensor]) -> ResizeMethod:
        """Return the method for a network that reads such inputs.

        Args:
            inputs: What the first layer reads. Shape: (samples, in).
            activation_fn: What is between the layers.
        """
        ...


@runtime_checkable
class CountsParameters(Protocol):
    """A way to resize whose layers are stored as something smaller than their shapes."""

    def parameter_count(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> int:
        """Count the weights and biases that have to be stored.

        Args:
            layers: The network at full size.
            sizes: The wanted size of each hidden layer.
        """
        ...
