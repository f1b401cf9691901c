"""A stack of dense layers as plain tensors: what every way of resizing reads and returns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

UNSIZED_PARAMETERS = 1
"""Parameters that the paper's rates count beside weights and biases, at every size."""


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
    return sum((n_in + 1) * n_out for n_in, n_out in pairwise(features))


def compression_rate(
    in_features: int, sizes: Sequence[int], max_sizes: Sequence[int], out_features: int
) -> float:
    """Return the percentage of parameters that is gone, as Tables 1-4 of the paper count it.

    Every weight and bias of in x sizes x out is counted, against in x max_sizes x out, and one
    parameter more that has no size: with it all 48 printed rates come out, without it 44.
    """
    kept = parameter_count((in_features, *sizes, out_features)) + UNSIZED_PARAMETERS
    full = parameter_count((in_features, *max_sizes, out_features)) + UNSIZED_PARAMETERS
    return 100.0 * (1.0 - kept / full)
