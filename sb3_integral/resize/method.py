"""The protocol of every way to resize a dense network with no retraining, and their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from sb3_integral.resize.bicubic import Bicubic
from sb3_integral.resize.dense import DenseLayer
from sb3_integral.resize.integral import IntegralSampling


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


RESIZE_METHODS: dict[str, ResizeMethod] = {
    "bicubic": Bicubic(),
    "bicubic-rescaled": Bicubic(rescale=True),
    "integral": IntegralSampling(),
}
"""Methods by name: ``bicubic`` is the paper's, ``bicubic-rescaled`` its fair variant."""


def resize_method(method: ResizeMethod | str) -> ResizeMethod:
    """Return a method itself, or the one of that name.

    Raises:
        ValueError: If the name is unknown.
    """
    if not isinstance(method, str):
        return method
    if method not in RESIZE_METHODS:
        raise ValueError(
            f"unknown resize method {method!r}; known are {', '.join(sorted(RESIZE_METHODS))}"
        )
    return RESIZE_METHODS[method]
