"""A stack of dense layers as plain tensors: what every way of resizing reads and returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class DenseLayer(NamedTuple):
    """Weight and bias of one layer.

    Attributes:
        weight: Shape: (out, in).
        bias: Shape: (out,).
    """

    weight: Tensor
    bias: Tensor | None


def parameter_count(features: Sequence[int]) -> int:
    """Count the weights and biases of an MLP with the given features, input to output."""
    return sum((n_in + 1) * n_out for n_in, n_out in zip(features, features[1:], strict=False))


def compression_rate(
    in_features: int, sizes: Sequence[int], max_sizes: Sequence[int], out_features: int
) -> float:
    """Return the percentage of parameters that is gone, as Tables 1-4 of the paper count it.

    Every weight and bias of in x sizes x out is counted, against in x max_sizes x out.
    """
    kept = parameter_count((in_features, *sizes, out_features))
    full = parameter_count((in_features, *max_sizes, out_features))
    return 100.0 * (1.0 - kept / full)
