"""What every way to resize a dense network with no retraining looks like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

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
            As many layers. At the network's own sizes it is the identity.
        """
        ...
