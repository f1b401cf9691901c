"""Weights as whole numbers of a few bits, with one scale for a layer or for each of its outputs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

Per = Literal["tensor", "row"]
"""What has a scale of its own: a layer's weight, or each of its rows, which give one output each."""

BYTES_OF_FLOAT = 4
FEWEST_BITS, MOST_BITS = 2, 16


@dataclass(frozen=True)
class WeightFormat:
    """Whole numbers q of some bits that stand for weights q · scale, symmetric around zero.

    The largest weight is the largest number, 2^(bits-1) - 1, so -2^(bits-1) is not used and nothing
    is clipped. Biases stay float32. ``WeightFormat(8)`` and ``WeightFormat(4)`` are the weights of C
    headers with ``int8`` and ``int4``. ``WeightFormat(16)`` are those with ``q15``, which round a
    layer's inputs to 16 bits as well: :class:`~sb3_integral.actor.NumpyActor` does that.

    Args:
        bits: Of each number, 2 to 16.
        per: What has a scale of its own.

    Raises:
        ValueError: If either is something else.
    """

    bits: int
    per: Per = "row"

    def __post_init__(self) -> None:
        """Check the numbers and the names."""
        is_integer = isinstance(self.bits, int) and not isinstance(self.bits, bool)
        if not is_integer or not FEWEST_BITS <= self.bits <= MOST_BITS:
            raise ValueError(
                f"bits must be an integer from {FEWEST_BITS} to {MOST_BITS}, got {self.bits!r}"
            )
        if self.per not in get_args(Per):
            raise ValueError(f"expected a scale per {' or '.join(get_args(Per))}, got {self.per!r}")

    @classmethod
    def from_name(cls, name: str) -> WeightFormat:
        """Return the format of a name such as ``int4-tensor``.

        Raises:
            ValueError: If there is none such.
        """
        found = re.fullmatch(r"int([1-9]\d?)-(tensor|row)", name)
        if found is None:
            raise ValueError(f"expected a format such as int8-row or int4-tensor, got {name!r}")
        per: Per = "tensor" if found[2] == "tensor" else "row"
        return cls(int(found[1]), per)

    @property
    def name(self) -> str:
        """A name such as ``int8-row``."""
        return f"int{self.bits}-{self.per}"

    @property
    def limit(self) -> int:
        """The largest whole number."""
        return int(2 ** (self.bits - 1) - 1)

    def scales(self, weight: Float[Tensor, " out *rest"]) -> Float[Tensor, " scales"]:
        """Return what one unit is worth: of the whole weight, or of each of its rows."""
        largest = self._rows(weight.detach()).abs().amax(dim=1)
        # A row of zeros has any scale but zero, by which torch would divide.
        return (largest / self.limit).clamp_min(torch.finfo(weight.dtype).tiny)

    def rounded(self, weight: Float[Tensor, " out *rest"]) -> Float[Tensor, " out *rest"]:
        """Return the weight that the whole numbers stand for, by torch's ``fake_quantize`` kernels.

        Gradients pass straight through.
        """
        rows, scales = self._rows(weight), self.scales(weight)
        zeros = torch.zeros_like(scales, dtype=torch.int32)
        rounded: Tensor = torch.fake_quantize_per_channel_affine(
            rows, scales, zeros, 0, -self.limit, self.limit
        )
        return rounded.view_as(weight)

    def n_bytes(self, shape: Sequence[int]) -> int:
        """Return the bytes of a weight with its scales; what has a scale begins at a whole byte."""
        n_scales = shape[0] if self.per == "row" else 1
        return n_scales * (math.ceil(math.prod(shape) // n_scales * self.bits / 8) + BYTES_OF_FLOAT)

    def _rows(self, weight: Tensor) -> Tensor:
        """Return a weight as a matrix, with a row for each scale."""
        return weight.reshape(len(weight) if self.per == "row" else 1, -1)
