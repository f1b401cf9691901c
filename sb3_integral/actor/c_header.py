"""The deterministic actor as one C99 header: static weights, no allocation, no library but libm."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecNormalize

from sb3_integral.actor import c_layers
from sb3_integral.actor.activations import C_TANH
from sb3_integral.actor.c_text import array, inward, literal
from sb3_integral.actor.description import Description, Notes, describe
from sb3_integral.actor.extract import Source, actor_spec
from sb3_integral.actor.flattening import flattened, is_flat
from sb3_integral.actor.heads import NEVER
from sb3_integral.actor.normalization import Statistics
from sb3_integral.actor.numpy_actor import NumpyActor
from sb3_integral.actor.quantized import Weights, check_weights
from sb3_integral.actor.spec import ActorSpec, Perceptron
from sb3_integral.actor.torch_module import torch_actor
from sb3_integral.atomic import atomic_file, check_file_target
from sb3_integral.escaping import c_comment
from sb3_integral.nn import Size

Array = np.ndarray[Any, Any]

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
"""What can stand at the beginning of names in C."""

LONGEST_COMMENT = 70
"""Characters of a space's text that the header shows."""

TOLERANCES: dict[Weights, float] = {"float32": 1e-4, "int8": 1e-4, "int4": 1e-4, "q15": 1e-3}
"""How far the self-test's actions may be off, relative to the largest action or bound, or to 1.

Another libm rounds activations another way; where inputs are rounded, it may take the next number.
"""


def export_c(
    source: Source,
    path: Path | str,
    name: str = "policy",
    size: Size | None = None,
    normalize: VecNormalize | None = None,
    weights: Weights = "float32",
    notes: Notes | None = None,
) -> Path:
    """Write the deterministic actor as a C header, atomically.

    It defines ``void <name>_act(const float *observation, float *action)``, for discrete actions
    ``int <name>_act(const float *observation)``, and for several of them
    ``void <name>_act(const float *observation, int *action)``. Where the policy takes action masks, a
    last argument ``const unsigned char *allowed`` has an entry for each choice; NULL allows all.
    ``int <name>_selftest(void)`` returns 0 where an example observation gives the action that it should.
    Observations are raw, arrays are in C's order, and actions are those of
    ``predict(deterministic=True)``. Dictionaries and choices are read as ``gymnasium.spaces.flatten``
    gives them. Observations are of type ``double`` where single precision would
    lose digits that the normalisation needs (:meth:`~sb3_integral.actor.ActorSpec.observation_dtype`).

    Args:
        source: As for :func:`~sb3_integral.actor.actor_spec`.
        path: The file.
        name: How names in the header begin.
        size: As for :func:`~sb3_integral.actor.actor_spec`.
        normalize: Likewise.
        weights: How weights are kept; :mod:`~sb3_integral.actor.quantized` says what the others cost.
        notes: What the header says besides.

    Returns:
        The path.

    Raises:
        ValueError: If the name is none in C; if images are observed; if a layer is neither dense
            nor an activation that :mod:`~sb3_integral.actor.activations` knows; if a weight or the
            example's action is not finite; or if weights or notes do not fit.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"expected letters, digits and underscores for a name in C, got {name!r}")
    check_weights(weights)
    check_file_target(path)
    spec = actor_spec(source, size, normalize, folded=weights == "float32")
    if spec.memory is not None and weights != "float32":
        raise ValueError(f"a recurrent policy has weights of float32, got {weights}")
    text = "\n".join(_header(spec, name, weights, notes)) + "\n"
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="ascii")
    return Path(path)


def _header(spec: ActorSpec, name: str, weights: Weights, notes: Notes | None) -> Iterator[str]:
    perceptron, head = spec.perceptron(folded=weights == "float32"), spec.head
    constants = dict(_constants(perceptron, spec, name, weights))
    act = NumpyActor(spec, weights) if spec.memory is None else torch_actor(spec).act
    described = describe(spec, notes, act, weights)
    observed, count = perceptron.widths[0], math.prod(head.shape)
    real = "double" if spec.observation_dtype() is np.float64 else "float"
    one_choice = head.c_type == "int" and not head.shape
    result, output = ("int", "") if one_choice else ("void", f", {head.c_type} *action")
    masks = ", const unsigned char *allowed" if spec.maskable else ""
    state = f", struct {name}_memory *memory" if perceptron.gates else ""
    yield from _comment(spec, perceptron, described, constants, real)
    guard = f"{name.upper()}_H"
    yield f"#ifndef {guard}\n#define {guard}\n\n#include <math.h>"
    yield "" if weights == "float32" else "#include <stdint.h>\n"
    yield f"#define {name.upper()}_OBSERVATIONS {observed}"
    yield f"#define {name.upper()}_ACTIONS {count}\n"
    yield from (array(constant, values) for constant, values in constants.items())
    if weights == "q15":
        yield c_layers.ROUND_INPUTS.format(name=name)
    body = "\n".join(_body(perceptron, name, real, weights))
    if f"{name}_tanh(" in body:
        yield C_TANH.format(tanh=f"{name}_tanh")
    if perceptron.gates:
        yield from c_layers.memory(name, perceptron.gates, perceptron.hidden)
    yield f"static inline {result} {name}_act(const {real} *observation{state}{output}{masks})"
    yield f"{{\n{body}"
    last = f"layer_{len(perceptron.layers)}"
    if masks:
        yield f"    for (j = 0; j < {spec.maskable}; ++j)\n        if (allowed && !allowed[j])"
        yield f"            {last}[j] = {literal(NEVER)};"
    yield from head.c(name, last, perceptron.widths[-1])
    yield "}\n"
    yield from _selftest(spec, name, real, described)
    yield f"\n#endif /* {guard} */"


def _comment(
    spec: ActorSpec,
    perceptron: Perceptron,
    described: Description,
    constants: dict[str, Array],
    real: str,
) -> Iterator[str]:
    """Yield the comment at the top: what is inside, what goes in and out, what it costs."""
    sizes, count = perceptron.widths, math.prod(spec.head.shape)
    one_choice = spec.head.c_type == "int" and not spec.head.shape
    returns = (
        "returned: the index of the best choice" if one_choice else f"{spec.head.c_type} action[{count}]"
    )
    parameters = sum(layer.weight.size + layer.bias.size for layer in perceptron.layers)
    flash = sum(values.nbytes for values in constants.values())
    has_own = perceptron.statistics is not None
    stack = 4 * (sum(sizes) if has_own else sum(sizes[1:]))
    stack += 4 * (_joined(perceptron) + perceptron.hidden) if perceptron.gates else 0
    stack += 2 * max(sizes[:-1]) if described.weights == "q15" else 0
    yield f"/* A deterministic policy, written by {described.library}, for C99 or newer.\n *"
    widths = " - ".join(map(str, sizes))
    yield f" * layers:      {widths} ({parameters} parameters, weights of {described.weights})"
    yield f" * takes:       {flash} bytes of constants in flash, {stack} bytes of arrays on the stack"
    seen, done = (_described(space) for space in (spec.observation_space, spec.action_space))
    yield f" * observation: const {real} observation[{sizes[0]}], raw, of {seen}"
    if not is_flat(spec.observation_space):
        yield " *              flat, as gymnasium.spaces.flatten gives it: choices are one-hot"
    yield f" * action:      {returns}, of {done}"
    if spec.maskable:
        yield f" * allowed:     const unsigned char allowed[{spec.maskable}], 0 forbids; NULL allows all"
    yield " * Nothing is allocated; two threads can call it at once. Activations may need -lm."
    if perceptron.gates:
        count = 2 * perceptron.gates * perceptron.hidden
        yield f" * memory:      the policy's state, {4 * count} bytes that the caller keeps and resets"
    if described.weights == "q15":
        yield " * An infinite input counts as NaN; smaller ones are rounded to 16 bits."
    yield " * NaN gives a float action of NaN, and is the largest choice; not with -ffast-math.\n *"
    for heading, text in described.lines():
        yield f" * {c_comment(heading)}: {c_comment(text)}"
    yield " */"


def _body(perceptron: Perceptron, name: str, real: str, weights: Weights) -> Iterator[str]:
    before = "observation"
    for index, width in enumerate(perceptron.widths):
        if index or perceptron.statistics is not None:
            yield f"    float layer_{index}[{width}];"
    if weights == "q15":
        yield f"    int16_t rounded[{max(perceptron.widths[:-1])}];\n    float unit;"
    if perceptron.gates:
        yield f"    float joined[{_joined(perceptron)}], shown[{perceptron.hidden}];"
    yield "    int i, j;"
    if perceptron.statistics is not None:
        yield from _normalized(perceptron.statistics, name, perceptron.widths[0], real)
        before = "layer_0"
    for index, layer in enumerate(perceptron.layers):
        if index < perceptron.gates:
            yield from c_layers.cells(name, index, layer, before, weights)
            before = "shown"
        else:
            yield from c_layers.statements(name, index, layer, before, weights)
            before = f"layer_{index + 1}"


def _joined(perceptron: Perceptron) -> int:
    """Return the most numbers that gates read."""
    return max(int(layer.weight.shape[1]) for layer in perceptron.layers[: perceptron.gates])


def _described(space: object) -> str:
    text = re.sub(r"\s+", " ", str(space))
    return c_comment(text if len(text) <= LONGEST_COMMENT else f"{text[: LONGEST_COMMENT - 3]}...")


def _constants(
    perceptron: Perceptron, spec: ActorSpec, name: str, weights: Weights
) -> Iterator[tuple[str, Array]]:
    for index, layer in enumerate(perceptron.layers):
        yield from c_layers.constants(name, index, layer, weights)
    if perceptron.statistics is not None:
        parts = perceptron.statistics.parts(spec.observation_dtype())
        for part, values in zip(("mean", "rest", "std"), parts, strict=True):
            if part != "rest" or values.any():
                yield f"{name}_{part}", values
    for part, bound in spec.head.bounds.items():
        yield f"{name}_{part}", inward(bound, up=part == "low")


def _normalized(statistics: Statistics, name: str, observed: int, real: str) -> Iterator[str]:
    yield f"    for (j = 0; j < {observed}; ++j) {{"
    has_rest = statistics.parts(np.float64 if real == "double" else np.float32)[1].any()
    rest = f" - {name}_rest[j]" if has_rest else ""
    yield f"        const {real} centred = observation[j] - {name}_mean[j]{rest};"
    yield f"        const {real} x = centred / {name}_std[j];"
    if statistics.limit is None:
        yield "        layer_0[j] = (float)x;\n    }"
    else:
        low, high = (literal(sign * statistics.limit, real) for sign in (-1.0, 1.0))
        yield f"        layer_0[j] = (float)(x < {low} ? {low} : x > {high} ? {high} : x);\n    }}"


def _selftest(spec: ActorSpec, name: str, real: str, described: Description) -> Iterator[str]:
    """Yield a function that acts on the example observation and compares."""
    kind, shape = spec.head.c_type, spec.head.shape
    action = np.ravel(described.example_action)
    if not np.isfinite(action).all():
        raise ValueError(f"the actor gives {action} for an example, expected finite numbers")
    example = described.example_observation
    observed = flattened(spec.observation_space, example)
    if real == "double":
        observed = np.ravel(example).astype(np.float64)
    wanted = action.astype(np.int32 if kind == "int" else np.float32)
    masks = ", (const unsigned char *)0" if spec.maskable else ""
    largest = max(1.0, float(np.abs(action).max()))
    for bound in spec.head.bounds.values():
        largest = max([largest, *np.abs(bound[np.isfinite(bound)]).ravel().tolist()])
    within = literal(TOLERANCES[described.weights] * min(largest, 1e30))
    tolerance = f", each within {within}" if kind == "float" else ""
    yield f"/* Returns 0 if an example observation gives the action that it should{tolerance},"
    yield " * and else the place, from 1, of the first number that is wrong. */"
    yield f"static inline int {name}_selftest(void)\n{{"
    yield f"    {array('observation', observed)}    {array('expected', wanted)}".rstrip()
    one_choice = kind == "int" and not shape
    state = ", &memory" if spec.memory is not None else ""
    call = f"{name}_act(observation{state}{'' if one_choice else ', action'}{masks})"
    if state:
        yield f"    struct {name}_memory memory;"
    if not one_choice:
        yield f"    {kind} action[{len(action)}];\n    int j;"
    if state:
        yield f"    {name}_reset(&memory);\n    {call};"
    if one_choice:
        yield f"    return {call} != expected[0];\n}}"
        return
    yield f"    {call};"
    yield f"    for (j = 0; j < {len(action)}; ++j)"
    wrong = "action[j] != expected[j]"
    if kind == "float":
        wrong = f"!(fabsf(action[j] - expected[j]) <= {within})"
    yield f"        if ({wrong})\n            return j + 1;\n    return 0;\n}}"
