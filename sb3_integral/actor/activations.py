"""One table of activations: torch's classes, and what NumPy and C compute for them.

Arguments come from the module itself. The rule for NaN is torch's: an activation of NaN is NaN, in every
column of the table.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from sb3_integral.actor.c_text import literal

Array = np.ndarray[Any, Any]
Elementwise = Callable[[Array], Array]
"""Computes an activation; it may overwrite its argument."""


class Activation(NamedTuple):
    """What an activation is outside torch.

    Attributes:
        arguments: The attributes of the module that the other two take by name.
        numpy: Computes it from an array and the arguments; it may overwrite the array.
        c: A C expression of the float ``x``. The braces hold the arguments as C literals; in those of
            ``tanh`` stands the name of :data:`C_TANH`.
    """

    arguments: tuple[str, ...]
    numpy: Callable[..., Array]
    c: str


def numpy_activation(module: nn.Module) -> Elementwise:
    """Return a function of NumPy arrays that computes a torch activation, and can be pickled.

    Raises:
        ValueError: If the activation is not in :data:`ACTIVATIONS`.
    """
    name = _name(module)
    return partial(_compute, name, **_arguments(module, TABLE[name]))


def c_activation(module: nn.Module, tanh: str = "tanhf") -> str:
    """Return a C expression of the float ``x`` that computes a torch activation.

    Args:
        module: The activation.
        tanh: The function that the expression calls for a hyperbolic tangent.

    Raises:
        ValueError: If the activation is not in :data:`ACTIVATIONS`, or has one argument per neuron.
    """
    rule = TABLE[_name(module)]
    arguments = _arguments(module, rule)
    if any(isinstance(value, np.ndarray) for value in arguments.values()):
        raise ValueError(f"C takes activations with one argument for all neurons, got {module!r}")
    return rule.c.format(tanh=tanh, **{name: literal(value) for name, value in arguments.items()})


def is_activation(module: nn.Module) -> bool:
    """Return whether a module is in :data:`ACTIVATIONS`."""
    return type(module) in ACTIVATIONS


def known_activations() -> str:
    """Return the names of the activations in :data:`ACTIVATIONS`, for messages."""
    return ", ".join(sorted(kind.__name__ for kind in ACTIVATIONS))


def _name(module: nn.Module) -> str:
    if not is_activation(module):
        raise ValueError(f"expected one of {known_activations()}, got {module!r}")
    name = type(module).__name__
    return f"{name} by tanh" if getattr(module, "approximate", "none") == "tanh" else name


def _arguments(module: nn.Module, rule: Activation) -> dict[str, Any]:
    return {name: _number(getattr(module, name)) for name in rule.arguments}


def _number(value: Any) -> Any:
    """Return an argument as a float; as an array where a tensor has one value for each neuron."""
    if not isinstance(value, Tensor):
        return float(value)
    return value.item() if value.numel() == 1 else value.detach().cpu().numpy().copy()


def _compute(name: str, x: Array, **arguments: Any) -> Array:
    return TABLE[name].numpy(x, **arguments)


def _where_positive(x: Array, positive: Array, rest: Array) -> Array:
    return np.where(x > 0.0, positive, rest)


def _clip(x: Array, min_val: float, max_val: float) -> Array:
    return np.minimum(np.maximum(x, min_val, out=x), max_val, out=x)


def _elu(x: Array, alpha: float, scale: float = 1.0) -> Array:
    return _where_positive(x, x, alpha * np.expm1(np.minimum(x, 0.0) / scale))


def _softplus(x: Array, beta: float, threshold: float) -> Array:
    scaled = beta * x
    return np.where(scaled > threshold, x, np.logaddexp(scaled, np.float32(0.0)) / beta)


def _gelu(x: Array) -> Array:
    from scipy.special import erf  # a policy without GELU needs no SciPy here

    return 0.5 * x * (1.0 + erf(x * 0.7071067811865476))


ELU, SLOPED = "x > 0.0f ? x : {alpha} * expm1f(x)", "x > 0.0f ? x : {%s} * x"
CLIPPED = "x < {min_val} ? {min_val} : x > {max_val} ? {max_val} : x"
SOFTPLUS = "x * {beta} > {threshold} ? x : log1pf(expf({beta} * x)) / {beta}"
TANH_GELU = "0.5f * x * (1.0f + tanhf(0.797884561f * (x + 0.044715f * x * x * x)))"

C_TANH = """
/* The hyperbolic tangent as a quotient of polynomials, within 6 units in the last place. */
static inline float {tanh}(float value)
{{
    const float x = value < -9.01f ? -9.01f : value > 9.01f ? 9.01f : value, t = x * x;
    const float a = (1.34020546e-08f * t + 2.06485471e-05f) * t + 0.00349822736f;
    const float b = (7.7974904e-07f * t + 0.000328977852f) * t + 0.0258872857f;
    const float p = (a * t + 0.133833342f) * t + 1.0f, q = (b * t + 0.467166556f) * t + 1.0f;
    const float y = x * p / q;
    return y < -1.0f ? -1.0f : y > 1.0f ? 1.0f : y;
}}
"""
"""A tangent that compilers vectorise: libm's takes most of a small actor's time.

The coefficients are a fit to ``tanh(x) / x`` of the least relative error, 2.2e-8, up to 9.01, where the
nearest float of a tangent is 1.
"""

TABLE: dict[str, Activation] = {
    "ReLU": Activation((), lambda x: np.maximum(x, 0.0, out=x), "x < 0.0f ? 0.0f : x"),
    "Tanh": Activation((), lambda x: np.tanh(x, out=x), "{tanh}(x)"),
    "ELU": Activation(("alpha",), _elu, ELU),
    "SELU": Activation(
        (),
        lambda x: np.float32(1.0507009873554805) * _elu(x, 1.6732632423543772),
        "x > 0.0f ? 1.05070099f * x : 1.05070099f * 1.67326324f * expm1f(x)",
    ),
    "CELU": Activation(
        ("alpha",),
        lambda x, alpha: _elu(x, alpha, alpha),
        "x > 0.0f ? x : {alpha} * expm1f(x / {alpha})",
    ),
    "SiLU": Activation((), lambda x: x * (0.5 + 0.5 * np.tanh(0.5 * x)), "x / (1.0f + expf(-x))"),
    "Sigmoid": Activation((), lambda x: 0.5 + 0.5 * np.tanh(0.5 * x), "1.0f / (1.0f + expf(-x))"),
    "LogSigmoid": Activation(
        (),
        lambda x: -np.logaddexp(-x, np.float32(0.0)),
        "x > 0.0f ? -log1pf(expf(-x)) : x - log1pf(expf(x))",
    ),
    "LeakyReLU": Activation(
        ("negative_slope",),
        lambda x, negative_slope: _where_positive(x, x, negative_slope * x),
        SLOPED % "negative_slope",
    ),
    "PReLU": Activation(
        ("weight",), lambda x, weight: _where_positive(x, x, weight * x), SLOPED % "weight"
    ),
    "Softplus": Activation(("beta", "threshold"), _softplus, SOFTPLUS),
    "Mish": Activation(
        (),
        lambda x: x * np.tanh(_softplus(x, 1.0, 20.0)),
        "x > 20.0f ? x : x * tanhf(log1pf(expf(x)))",
    ),
    "GELU": Activation((), _gelu, "0.5f * x * (1.0f + erff(x * 0.707106781f))"),
    "GELU by tanh": Activation(
        (),
        lambda x: 0.5 * x * (1.0 + np.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))),
        TANH_GELU,
    ),
    "ReLU6": Activation(("min_val", "max_val"), _clip, CLIPPED),
    "Hardtanh": Activation(("min_val", "max_val"), _clip, CLIPPED),
    "Hardsigmoid": Activation(
        (),
        lambda x: _clip(x + 3.0, 0.0, 6.0) / 6.0,
        "x < -3.0f ? 0.0f : x > 3.0f ? 1.0f : (x + 3.0f) / 6.0f",
    ),
    "Threshold": Activation(
        ("threshold", "value"),
        lambda x, threshold, value: np.where(x <= threshold, np.float32(value), x),
        "x <= {threshold} ? {value} : x",
    ),
    "Softsign": Activation((), lambda x: x / (1.0 + np.abs(x)), "x / (1.0f + fabsf(x))"),
    "Identity": Activation((), lambda x: x, "x"),
    "Dropout": Activation((), lambda x: x, "x"),  # an actor is in evaluation mode
}
"""Activations of one number each, by the names of their classes in torch, and of GELU's other form."""

ACTIVATIONS = tuple(getattr(nn, name) for name in TABLE if " " not in name)
"""Their classes in torch. A subclass is another activation."""
