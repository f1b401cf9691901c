"""Dense layers as C: each sum stays in a register while the inputs are added up, in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from sb3_integral.actor.activations import c_activation
from sb3_integral.actor.memory import GATES
from sb3_integral.actor.quantized import LEAST_EXPONENT, Weights, rounded_weights
from sb3_integral.actor.spec import Layer

Array = np.ndarray[Any, Any]


class Sums(NamedTuple):
    """How C adds up the inputs of a layer with one kind of weights.

    Attributes:
        block: Outputs that are summed side by side. A Cortex-M4 has registers for 32 floats, or for a
            few integers of 64 bits; x86-64 has some for 64 floats.
        number: The type of a sum.
        start: What a sum ``{k}`` begins with.
        weight: The expression of a weight ``{k}``, in the byte ``{half}`` after ``{shift}`` bits.
        output: The expression of the output of a sum.
        stored: The type in which weights are stored.
        per_number: How many weights one of these holds.
    """

    block: int
    number: str
    start: str
    weight: str
    output: str
    stored: str
    per_number: int = 1


SUMS: dict[str, Sums] = {
    "float32": Sums(32, "float", "bias[{k}]", "row[{k}]", "s{k}", "float"),
    "int8": Sums(8, "float", "0.0f", "(float)row[{k}]", "s{k} * scale[{k}] + bias[{k}]", "int8_t"),
    "int4": Sums(
        *(8, "float", "0.0f", "(float)(((int)row[{half}] >> {shift} & 15) - 8)"),
        *("s{k} * scale[{k}] + bias[{k}]", "uint8_t", 2),
    ),
    "q15": Sums(
        *(4, "int64_t", "0", "(int32_t)row[{k}]", "(float)s{k} * unit * scale[{k}] + bias[{k}]"),
        "int16_t",
    ),
}
"""The arithmetic of :mod:`~sb3_integral.actor.quantized`, by the kind of weights."""

ROUND_INPUTS = f"""
/* Rounds a layer's inputs to 16 bits; returns what one unit is worth, NaN if one is not finite. */
static inline float {{name}}_round(const float *input, int count, int16_t *rounded)
{{{{
    float largest = 0.0f, units;
    int exponent, j;
    for (j = 0; j < count && largest == largest; ++j)
        if (!(fabsf(input[j]) <= largest))
            largest = fabsf(input[j]);
    if (largest - largest != 0.0f) {{{{
        for (j = 0; j < count; ++j)
            rounded[j] = 0;
        return largest - largest;
    }}}}
    (void)frexpf(largest, &exponent);
    exponent = exponent < {LEAST_EXPONENT} ? {LEAST_EXPONENT} : exponent;
    units = ldexpf(1.0f, 15 - exponent);
    for (j = 0; j < count; ++j) {{{{
        const float x = input[j] * units, y = x < 0.0f ? x - 0.5f : x + 0.5f;
        rounded[j] = (int16_t)(y >= 32767.0f ? 32767 : (int)y);
    }}}}
    return ldexpf(1.0f, exponent - 15);
}}}}
"""
"""A function of headers with 16-bit inputs."""


def constants(name: str, index: int, layer: Layer, weights: Weights) -> Iterator[tuple[str, Array]]:
    """Yield a layer's constants by name, in the order in which :func:`statements` reads them.

    Raises:
        ValueError: If a number is NaN or infinite.
    """
    if not (np.isfinite(layer.weight).all() and np.isfinite(layer.bias).all()):
        raise ValueError("the actor has weights that are NaN or infinite, expected finite numbers")
    values = layer.weight
    if weights != "float32":
        values, scale = rounded_weights(layer.weight, weights)
        yield f"{name}_scale_{index}", scale
    size = SUMS[weights].block
    blocks = [values[start : start + size].T for start in range(0, len(values), size)]
    blocks = [(_packed(block) if weights == "int4" else block).ravel() for block in blocks]
    yield f"{name}_weight_{index}", np.concatenate(blocks)
    yield f"{name}_bias_{index}", layer.bias


def _packed(block: Array) -> Array:
    """Put two weights into a byte, the first into its lower half. Shape: (in, out), (in, out / 2)."""
    odd = np.pad(block, ((0, 0), (0, block.shape[1] % 2))) + 8
    packed: Array = (odd[:, ::2] | odd[:, 1::2] << 4).astype(np.uint8)
    return packed


def statements(name: str, index: int, layer: Layer, before: str, weights: Weights) -> Iterator[str]:
    """Yield statements that compute a layer's outputs, called ``layer_{index + 1}``.

    Args:
        name: How names of constants begin.
        index: The layer's.
        layer: The layer.
        before: The array that it reads.
        weights: How its weights are kept.
    """
    outputs, inputs = layer.weight.shape
    buffer, size = f"layer_{index + 1}", SUMS[weights].block
    if weights == "q15":
        yield f"    unit = {name}_round({before}, {inputs}, rounded);"
        before = "rounded"
    whole = outputs // size * size
    if whole:
        yield f"    for (j = 0; j < {whole}; j += {size}) {{"
        yield from _block(name, index, size, inputs, before, weights)
    if outputs > whole:
        yield f"    j = {whole};\n    {{"
        yield from _block(name, index, outputs - whole, inputs, before, weights)
    for activation in layer.activations:
        yield f"    for (j = 0; j < {outputs}; ++j) {{\n        const float x = {buffer}[j];"
        yield f"        {buffer}[j] = {c_activation(activation, f'{name}_tanh')};\n    }}"


def _block(
    name: str, index: int, width: int, inputs: int, before: str, weights: Weights
) -> Iterator[str]:
    """Yield the rest of a block in C that sums so many outputs, beginning with output ``j``."""
    sums = SUMS[weights]
    read = "int16_t" if weights == "q15" else "float"
    per_input = -(-width // sums.per_number)
    before_block = f"j * {inputs}" if sums.per_number == 1 else f"j / {sums.per_number} * {inputs}"
    yield f"        const {sums.stored} *row = {name}_weight_{index} + {before_block};"
    if weights != "float32":
        yield f"        const float *scale = {name}_scale_{index} + j;"
    yield f"        const float *bias = {name}_bias_{index} + j;"
    yield from _in_rows(f"{sums.number} s{k} = {sums.start.format(k=k)};" for k in range(width))
    yield f"        for (i = 0; i < {inputs}; ++i, row += {per_input}) {{"
    # A compiler cannot vectorise over inputs that it must read one by one, which it would do with many
    # shuffles; so it does over outputs.
    yield f"            const {read} input = *(const volatile {read} *)&{before}[i];"
    weight = [sums.weight.format(k=k, half=k // 2, shift=k % 2 * 4) for k in range(width)]
    terms = (f"s{k} += {weight[k]} * input;" for k in range(width))
    yield from (f"    {line}" for line in _in_rows(terms))
    yield "        }"
    buffer = f"layer_{index + 1}"
    yield from _in_rows(f"{buffer}[j + {k}] = {sums.output.format(k=k)};" for k in range(width))
    yield "    }"


def _in_rows(texts: Iterable[str]) -> Iterator[str]:
    """Yield short statements, a few to a line."""
    line = "       "
    for text in texts:
        if len(line) + len(text) > 100:
            yield line
            line = "       "
        line = f"{line} {text}"
    yield line


def memory(name: str, gates: int, hidden: int) -> Iterator[str]:
    """Yield the type of a recurrent policy's state, and what brings it to an episode's start."""
    count = gates * hidden
    yield "/* What the policy remembers; its caller keeps it. */"
    yield f"struct {name}_memory {{\n    float hidden[{count}], cell[{count}];\n}};\n"
    yield "/* To be called at the start of each episode. */"
    yield f"static inline void {name}_reset(struct {name}_memory *memory)\n{{\n    int j;"
    yield f"    for (j = 0; j < {count}; ++j)\n        memory->hidden[j] = memory->cell[j] = 0.0f;\n}}\n"


def cells(name: str, index: int, layer: Layer, before: str, weights: Weights) -> Iterator[str]:
    """Yield statements that compute a layer of an LSTM: its gates, its state, and ``shown``.

    Args:
        name: How names of constants begin.
        index: The layer's.
        layer: The gates, which read the hidden state behind the layer's input.
        before: The array that it reads.
        weights: How its weights are kept.
    """
    hidden = len(layer.bias) // GATES
    read, first = layer.weight.shape[1] - hidden, index * hidden
    yield f"    for (j = 0; j < {read}; ++j)\n        joined[j] = {before}[j];"
    yield f"    for (j = 0; j < {hidden}; ++j)"
    yield f"        joined[{read} + j] = memory->hidden[{first} + j];"
    yield from statements(name, index, layer, "joined", weights)
    yield f"    for (j = 0; j < {hidden}; ++j) {{\n        const float *gate = layer_{index + 1} + j;"

    def sigmoid(gate: int) -> str:
        return f"(0.5f + 0.5f * {name}_tanh(0.5f * gate[{gate * hidden}]))"

    new = f"{sigmoid(0)} * {name}_tanh(gate[{2 * hidden}])"
    yield f"        const float cell = {sigmoid(1)} * memory->cell[{first} + j] + {new};"
    yield f"        memory->cell[{first} + j] = cell;"
    yield f"        shown[j] = {sigmoid(3)} * {name}_tanh(cell);"
    yield f"        memory->hidden[{first} + j] = shown[j];\n    }}"
