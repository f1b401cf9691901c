"""The deterministic actor as one C99 header: static weights, no allocation, no library but libm."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from stable_baselines3.common.vec_env import VecNormalize

from sb3_integral._version import __version__
from sb3_integral.actor.activations import c_activation
from sb3_integral.actor.c_text import array, inward, literal
from sb3_integral.actor.extract import Source, actor_spec
from sb3_integral.actor.heads import NEVER
from sb3_integral.actor.normalization import Statistics
from sb3_integral.actor.spec import ActorSpec, Layer, Perceptron
from sb3_integral.atomic import atomic_file, check_file_target
from sb3_integral.escaping import c_comment
from sb3_integral.nn import Size

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
"""What can stand at the beginning of names in C."""

LONGEST_COMMENT = 70
"""Characters of a space's text that the header shows."""


def export_c(
    source: Source,
    path: Path | str,
    name: str = "policy",
    size: Size | None = None,
    normalize: VecNormalize | None = None,
) -> Path:
    """Write the deterministic actor as a C header, atomically.

    It defines ``void <name>_act(const float *observation, float *action)``, for discrete actions
    ``int <name>_act(const float *observation)``, and for several of them
    ``void <name>_act(const float *observation, int *action)``. Where the policy takes action masks, a
    last argument ``const unsigned char *allowed`` has an entry for each choice; NULL allows all.
    Observations are raw, arrays are in C's order, and actions are those of
    ``predict(deterministic=True)``. Observations are of type ``double`` where single precision would
    lose digits that the normalisation needs (:meth:`~sb3_integral.actor.ActorSpec.observation_dtype`).
    All but the path and the name is as for :func:`~sb3_integral.actor.actor_spec`. Returns the path.

    Raises:
        ValueError: If the name is none in C; if observations are no vector; if a layer is neither dense
            nor an activation that :mod:`~sb3_integral.actor.activations` knows; or if a weight is NaN.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"expected letters, digits and underscores for a name in C, got {name!r}")
    check_file_target(path)
    text = "\n".join(_header(actor_spec(source, size, normalize), name)) + "\n"
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="ascii")
    return Path(path)


def _header(spec: ActorSpec, name: str) -> Iterator[str]:
    perceptron, head = spec.perceptron(), spec.head
    sizes = perceptron.widths
    observed, count = sizes[0], math.prod(head.shape)
    real = "double" if spec.observation_dtype() is np.float64 else "float"
    one_choice = head.c_type == "int" and not head.shape
    result, output = ("int", "") if one_choice else ("void", f", {head.c_type} *action")
    masks = ", const unsigned char *allowed" if spec.maskable else ""
    parameters = sum(layer.weight.size + layer.bias.size for layer in perceptron.layers)
    returns = (
        "returned: the index of the best choice" if one_choice else f"{head.c_type} action[{count}]"
    )
    yield f"/* A deterministic policy, written by sb3-integral {__version__}, for C99 or newer.\n *"
    widths = " - ".join(map(str, sizes))
    yield f" * layers:      {widths} ({parameters} parameters, {4 * parameters} bytes)"
    seen, done = (_described(space) for space in (spec.observation_space, spec.action_space))
    yield f" * observation: const {real} observation[{observed}], raw, of {seen}"
    yield f" * action:      {returns}, of {done}"
    if masks:
        yield f" * allowed:     const unsigned char allowed[{spec.maskable}], 0 forbids; NULL allows all"
    yield " * Nothing is allocated; two threads can call it at once. Activations may need -lm."
    yield " * NaN gives a float action of NaN, and is the largest choice; not with -ffast-math.\n */"
    guard = f"{name.upper()}_H"
    yield f"#ifndef {guard}\n#define {guard}\n\n#include <math.h>\n"
    yield f"#define {name.upper()}_OBSERVATIONS {observed}"
    yield f"#define {name.upper()}_ACTIONS {count}\n"
    yield from _constants(perceptron, spec, name)
    yield f"static inline {result} {name}_act(const {real} *observation{output}{masks})\n{{"
    yield from _body(perceptron, name, real)
    last = f"layer_{len(perceptron.layers)}"
    if masks:
        yield f"    for (j = 0; j < {spec.maskable}; ++j)\n        if (allowed && !allowed[j])"
        yield f"            {last}[j] = {literal(NEVER)};"
    yield from head.c(name, last, sizes[-1])
    yield f"}}\n\n#endif /* {guard} */"


def _body(perceptron: Perceptron, name: str, real: str) -> Iterator[str]:
    before = "observation"
    for index, width in enumerate(perceptron.widths):
        if index or perceptron.statistics is not None:
            yield f"    float layer_{index}[{width}];"
    yield "    int i, j;"
    if perceptron.statistics is not None:
        yield from _normalized(perceptron.statistics, name, perceptron.widths[0], real)
        before = "layer_0"
    for index, layer in enumerate(perceptron.layers):
        yield from _layer(f"{name}_weight_{index}", f"{name}_bias_{index}", layer, before, index + 1)
        before = f"layer_{index + 1}"


def _described(space: object) -> str:
    text = re.sub(r"\s+", " ", str(space))
    return c_comment(text if len(text) <= LONGEST_COMMENT else f"{text[: LONGEST_COMMENT - 3]}...")


def _constants(perceptron: Perceptron, spec: ActorSpec, name: str) -> Iterator[str]:
    for index, layer in enumerate(perceptron.layers):
        if not (np.isfinite(layer.weight).all() and np.isfinite(layer.bias).all()):
            raise ValueError("the actor has weights that are NaN or infinite, expected finite numbers")
        # By inputs, so that the inner loop runs over outputs and compilers vectorise it as it stands.
        yield array(f"{name}_weight_{index}", layer.weight.T)
        yield array(f"{name}_bias_{index}", layer.bias)
    if perceptron.statistics is not None:
        parts = perceptron.statistics.parts(spec.observation_dtype())
        for part, values in zip(("mean", "rest", "std"), parts, strict=True):
            yield array(f"{name}_{part}", values)
    for part, bound in spec.head.bounds.items():
        yield array(f"{name}_{part}", inward(bound, up=part == "low"))


def _normalized(statistics: Statistics, name: str, observed: int, real: str) -> Iterator[str]:
    yield f"    for (j = 0; j < {observed}; ++j) {{"
    yield f"        const {real} centred = observation[j] - {name}_mean[j] - {name}_rest[j];"
    yield f"        const {real} x = centred / {name}_std[j];"
    if statistics.limit is None:
        yield "        layer_0[j] = (float)x;\n    }"
    else:
        low, high = (literal(sign * statistics.limit, real) for sign in (-1.0, 1.0))
        yield f"        layer_0[j] = (float)(x < {low} ? {low} : x > {high} ? {high} : x);\n    }}"


def _layer(weight: str, bias: str, layer: Layer, before: str, index: int) -> Iterator[str]:
    outputs, inputs = layer.weight.shape
    own = f"layer_{index}"
    yield f"    for (j = 0; j < {outputs}; ++j)\n        {own}[j] = {bias}[j];"
    yield f"    for (i = 0; i < {inputs}; ++i) {{\n        const float input = {before}[i];"
    yield f"        const float *row = {weight} + i * {outputs};"
    yield f"        for (j = 0; j < {outputs}; ++j)\n            {own}[j] += row[j] * input;\n    }}"
    for activation in layer.activations:
        yield f"    for (j = 0; j < {outputs}; ++j) {{\n        const float x = {own}[j];"
        yield f"        {own}[j] = {c_activation(activation)};\n    }}"
