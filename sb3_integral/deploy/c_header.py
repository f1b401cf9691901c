"""The deterministic actor as one C99 header: static weights, no allocation, no library but libm."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from sb3_integral._version import __version__
from sb3_integral.atomic import atomic_path
from sb3_integral.deploy.actor import Argmax, Clip, DeterministicActor, Unscale, deterministic_actor
from sb3_integral.deploy.normalization import Statistics, statistics_of
from sb3_integral.deploy.plain_sb3 import Source
from sb3_integral.nn import Size
from sb3_integral.policies import StandardizeExtractor

Array = np.ndarray[Any, Any]

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
"""What can stand at the beginning of names in C."""

ACTIVATIONS: dict[type[nn.Module], Callable[[Any], str]] = {
    nn.ReLU: lambda m: "x > 0.0f ? x : 0.0f",
    nn.Tanh: lambda m: "tanhf(x)",
    nn.ELU: lambda m: f"x > 0.0f ? x : {_literal(m.alpha)} * expm1f(x)",
    nn.SiLU: lambda m: "x / (1.0f + expf(-x))",
    nn.LeakyReLU: lambda m: f"x > 0.0f ? x : {_literal(m.negative_slope)} * x",
    nn.Sigmoid: lambda m: "1.0f / (1.0f + expf(-x))",
    nn.Softplus: lambda m: (
        f"x * {_literal(m.beta)} > {_literal(m.threshold)} ? x : "
        f"log1pf(expf({_literal(m.beta)} * x)) / {_literal(m.beta)}"
    ),
    nn.GELU: lambda m: (
        "0.5f * x * (1.0f + erff(x * 0.707106781f))"
        if m.approximate == "none"
        else "0.5f * x * (1.0f + tanhf(0.797884561f * (x + 0.044715f * x * x * x)))"
    ),
    nn.ReLU6: lambda m: "x < 0.0f ? 0.0f : x > 6.0f ? 6.0f : x",
    nn.Hardtanh: lambda m: (
        f"x < {_literal(m.min_val)} ? {_literal(m.min_val)} : "
        f"x > {_literal(m.max_val)} ? {_literal(m.max_val)} : x"
    ),
    nn.Identity: lambda m: "x",
}
"""What C computes for a torch activation of ``x``, by its class."""


@dataclass(frozen=True)
class Layer:
    """A dense layer and the expressions applied to each of its outputs, one after the other.

    Attributes:
        weight: Shape: (out, in).
        bias: Shape: (out,).
        activations: C expressions of ``x``.
    """

    weight: Array
    bias: Array
    activations: tuple[str, ...]


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
    ``void <name>_act(const float *observation, int *action)``. Observations are raw, arrays are in C's
    order, and actions are those of ``predict(deterministic=True)``.

    Args:
        source: A model, a policy, or a ResizablePolicy.
        path: The file.
        name: How the names in the header begin.
        size: One integer for all hidden layers, or one for each; that in force by default.
        normalize: Statistics that the policy was trained with, clipping included.

    Returns:
        The path.

    Raises:
        ValueError: If the name is none in C; if observations are no vector; if the actor has layers that
            are not dense, or activations that are not in :data:`ACTIVATIONS`; or if a weight is NaN.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"expected letters, digits and underscores for a name in C, got {name!r}")
    actor = deterministic_actor(source, size, normalize)
    text = "\n".join(_header(actor, name, statistics_of(normalize).get(None))) + "\n"
    with atomic_path(Path(path)) as partial:
        partial.write_text(text, encoding="utf-8")
    return Path(path)


def dense_layers(actor: DeterministicActor) -> list[Layer]:
    """Return the layers of an actor that is a perceptron.

    Raises:
        ValueError: If it is none, or has an activation that C is not told how to compute.
    """
    space = actor.observation_space
    is_vector = isinstance(space, spaces.Box | spaces.MultiBinary) and not is_image_space(space)
    is_flat = isinstance(actor.extractor, FlattenExtractor | StandardizeExtractor)
    if not is_vector or not is_flat:
        raise ValueError(
            f"a C header is for vectors that dense layers read, expected Box or MultiBinary "
            f"observations and no {type(actor.extractor).__name__}, got {space}"
        )
    layers: list[Layer] = []
    for module in actor.body:
        if isinstance(module, nn.Linear):
            weight = module.weight.numpy()
            bias = np.zeros(len(weight), np.float32) if module.bias is None else module.bias.numpy()
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise ValueError("the actor has weights that are NaN or infinite")
            layers.append(Layer(weight, bias, ()))
        elif type(module) in ACTIVATIONS and layers:
            *before, last = layers
            expressions = (*last.activations, ACTIVATIONS[type(module)](module))
            layers = [*before, Layer(last.weight, last.bias, expressions)]
        elif not isinstance(module, nn.Flatten):
            known = ", ".join(sorted(kind.__name__ for kind in ACTIVATIONS))
            raise ValueError(
                f"a C header cannot compute {type(module).__name__}, expected dense layers and {known}"
            )
    return layers


def _header(actor: DeterministicActor, name: str, statistics: Statistics | None) -> Iterator[str]:
    layers = dense_layers(actor)
    observed = layers[0].weight.shape[1]
    sizes = [observed, *(len(layer.bias) for layer in layers)]
    parameters = sum(layer.weight.size + layer.bias.size for layer in layers)
    act = actor.act
    shape = actor.action_space.shape or ()
    one_choice = isinstance(act, Argmax) and not shape
    result = "int" if one_choice else "void"
    number = "float" if isinstance(act, Clip) else "int"
    output = "" if one_choice else f", {number} *action"
    count = math.prod(shape)
    returns = "returned: the index of the best choice" if one_choice else f"{number} action[{count}]"
    yield f"/* A deterministic policy, written by sb3-integral {__version__}, for C99 or newer.\n *"
    widths = " - ".join(map(str, sizes))
    yield f" * layers:      {widths} ({parameters} parameters, {4 * parameters} bytes)"
    seen = _one_line(actor.observation_space)
    yield f" * observation: const float observation[{observed}], raw, of {seen}"
    yield f" * action:      {returns}, of {_one_line(actor.action_space)}"
    yield " * Nothing is allocated; two threads can call it at once. Activations may need -lm.\n */"
    guard = f"{name.upper()}_H"
    yield f"#ifndef {guard}\n#define {guard}\n\n#include <math.h>\n"
    yield f"#define {name.upper()}_OBSERVATIONS {observed}"
    yield f"#define {name.upper()}_ACTIONS {1 if one_choice else count}\n"
    for index, layer in enumerate(layers):
        # By inputs, so that the inner loop runs over outputs and compilers vectorise it as it stands.
        yield _array(f"{name}_weight_{index}", layer.weight.T)
        yield _array(f"{name}_bias_{index}", layer.bias)
    if statistics is not None:
        yield _array(f"{name}_mean", statistics.mean)
        yield _array(f"{name}_std", statistics.std)
    if isinstance(act, Clip):
        yield _array(f"{name}_low", act.low.numpy())
        yield _array(f"{name}_high", act.high.numpy())
    yield f"static inline {result} {name}_act(const float *observation{output})\n{{"
    for index, width in enumerate(sizes):
        if index or statistics is not None:
            yield f"    float layer_{index}[{width}];"
    yield "    int i, j;"
    before = "observation"
    if statistics is not None:
        low, high = _literal(-statistics.clip), _literal(statistics.clip)
        yield f"    for (j = 0; j < {observed}; ++j) {{"
        yield f"        const float x = (observation[j] - {name}_mean[j]) / {name}_std[j];"
        yield f"        layer_0[j] = x < {low} ? {low} : x > {high} ? {high} : x;\n    }}"
        before = "layer_0"
    for index, layer in enumerate(layers):
        yield from _layer(f"{name}_weight_{index}", f"{name}_bias_{index}", layer, before, index + 1)
        before = f"layer_{index + 1}"
    yield from _actions(act, name, before, sizes[-1])
    yield f"}}\n\n#endif /* {guard} */"


def _layer(weight: str, bias: str, layer: Layer, before: str, index: int) -> Iterator[str]:
    outputs, inputs = layer.weight.shape
    own = f"layer_{index}"
    yield f"    for (j = 0; j < {outputs}; ++j)\n        {own}[j] = {bias}[j];"
    yield f"    for (i = 0; i < {inputs}; ++i) {{\n        const float input = {before}[i];"
    yield f"        const float *row = {weight} + i * {outputs};"
    yield f"        for (j = 0; j < {outputs}; ++j)\n            {own}[j] += row[j] * input;\n    }}"
    for expression in layer.activations:
        yield f"    for (j = 0; j < {outputs}; ++j) {{\n        const float x = {own}[j];"
        yield f"        {own}[j] = {expression};\n    }}"


def _actions(act: nn.Module, name: str, output: str, width: int) -> Iterator[str]:
    if isinstance(act, Argmax):
        if not act.shape:
            yield f"    i = 0;\n    for (j = 1; j < {width}; ++j)"
            yield f"        if ({output}[j] > {output}[i])\n            i = j;\n    return i;"
            return
        start = 0
        for index, choices in enumerate(act.choices):
            yield f"    i = {start};\n    for (j = {start + 1}; j < {start + choices}; ++j)"
            yield f"        if ({output}[j] > {output}[i])\n            i = j;"
            yield f"    action[{index}] = i - {start};"
            start += choices
        return
    yield "    (void)i;"
    yield f"    for (j = 0; j < {width}; ++j) {{"
    if not isinstance(act, Clip):
        yield f"        action[j] = {output}[j] > 0.0f;\n    }}"
        return
    low, high = f"{name}_low[j]", f"{name}_high[j]"
    yield f"        const float x = {output}[j];"
    if isinstance(act, Unscale):
        yield f"        action[j] = {low} + 0.5f * (x + 1.0f) * ({high} - {low});\n    }}"
    else:
        yield f"        action[j] = x < {low} ? {low} : x > {high} ? {high} : x;\n    }}"


def _array(name: str, values: Array) -> str:
    flat = [_literal(value) for value in np.asarray(values, np.float32).ravel().tolist()]
    lines = [", ".join(flat[start : start + 6]) for start in range(0, len(flat), 6)]
    return f"static const float {name}[{len(flat)}] = {{\n    " + ",\n    ".join(lines) + "\n};\n"


def _literal(value: float) -> str:
    """Write a number so that C reads the same float32."""
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    text = f"{float(np.float32(value)):.9g}"
    return f"{text}f" if any(mark in text for mark in ".e") else f"{text}.0f"


def _one_line(space: object) -> str:
    text = re.sub(r"\s+", " ", str(space)).replace("*/", "")
    return text if len(text) <= 70 else f"{text[:67]}..."
