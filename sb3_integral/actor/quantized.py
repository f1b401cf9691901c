"""Weights as whole numbers with a scale for each output, and the arithmetic that C does with them.

``int8`` takes a quarter of the memory and ``int4`` an eighth, with two weights in a byte: inputs and
sums stay floats. ``q15`` has 16 bits for weights and for a layer's inputs, whose unit is the power of
two that the largest of them needs; sums are exact.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np

Array = np.ndarray[Any, Any]

Weights = Literal["float32", "int8", "int4", "q15"]
"""How the numbers of dense layers are kept."""

LIMITS: dict[str, tuple[int, type[np.signedinteger[Any]]]] = {
    "int8": (127, np.int8),
    "int4": (7, np.int8),
    "q15": (32767, np.int16),
}
"""The largest whole number, and the type that holds it."""

LEAST_EXPONENT = -100
"""Inputs below two to this power count as zero: their unit would leave the range of a float."""


class Rounded(NamedTuple):
    """A layer's weights as whole numbers. Shapes: (out, in), (out,)."""

    values: Array
    scale: Array

    def sums(self, x: Array) -> Array:
        """Return the layer's outputs without its bias. Shape: (..., in) to (..., out), float32."""
        if self.values.dtype == np.int8:
            sums: Array = np.dot(x, self.values.T.astype(np.float32)) * self.scale
            return sums
        rounded, unit = rounded_inputs(x)
        # The sums are whole numbers below 2 ** 53, so they are exact in any order.
        exact = np.dot(rounded, self.values.T.astype(np.float64))
        outputs: Array = exact.astype(np.float32) * unit * self.scale
        return outputs


def check_weights(weights: str) -> None:
    """Check the name of a kind of weights.

    Raises:
        ValueError: If there is none such.
    """
    if weights not in get_args(Weights):
        raise ValueError(f"expected weights of {' or '.join(get_args(Weights))}, got {weights!r}")


def rounded_weights(weight: Array, weights: Weights) -> Rounded:
    """Round the weights of a layer. Shape: (out, in)."""
    limit, dtype = LIMITS[weights]
    scale = (np.abs(weight).max(axis=1) / np.float32(limit)).astype(np.float32)
    scale = np.where(scale < np.finfo(np.float32).tiny, np.float32(1.0), scale)
    values = np.clip(np.rint(weight / scale[:, None]), -limit, limit).astype(dtype)
    return Rounded(values, scale)


def rounded_inputs(x: Array) -> tuple[Array, Array]:
    """Round inputs to 16 bits; return them, and what one unit is worth: NaN if one is not finite.

    Shapes: (..., in) to (..., in), float64, and (..., 1), float32.
    """
    largest = np.abs(x).max(axis=-1, keepdims=True)
    is_finite = np.isfinite(largest)
    exponent = np.maximum(np.frexp(np.where(is_finite, largest, 0.0))[1], LEAST_EXPONENT)
    scaled = np.where(is_finite, x, 0.0).astype(np.float32) * np.ldexp(np.float32(1.0), 15 - exponent)
    rounded = np.minimum(np.trunc(scaled + np.copysign(np.float32(0.5), scaled)), 32767.0)
    unit = np.where(is_finite, np.ldexp(np.float32(1.0), exponent - 15), np.float32(np.nan))
    return rounded.astype(np.float64), unit
