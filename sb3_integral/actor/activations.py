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
        c: A C expression of the float ``x``. The braces hold the arguments as C literals.
    """

    arguments: tuple[str, ...]
    numpy: Callable[..., Array]
    c: str


def numpy_activation(module: nn.Module) -> Elementwise:
    """Return a function of NumPy arrays that computes a torch activation.

    Raises:
        ValueError: If the activation is not in :data:`ACTIVATIONS`.
    """
    rule = _rule(module)
    arguments = _arguments(module, rule)
    return partial(rule.numpy, **arguments) if arguments else rule.numpy


def c_activation(module: nn.Module) -> str:
    """Return a C expression of the float ``x`` that computes a torch activation.

    Raises:
        ValueError: If the activation is not in :data:`ACTIVATIONS`, or has one argument per neuron.
    """
    rule = _rule(module)
    arguments = _arguments(module, rule)
    if any(isinstance(value, np.ndarray) for value in arguments.values()):
        raise ValueError(f"C takes activations with one argument for all neurons, got {module!r}")
    return rule.c.format(**{name: literal(value) for name, value in arguments.items()})


def is_activation(module: nn.Module) -> bool:
    """Return whether a module is in :data:`ACTIVATIONS`."""
    return type(module) in ACTIVATIONS


def known_activations() -> str:
    """Return the names of the activations in :data:`ACTIVATIONS`, for messages."""
    return ", ".join(sorted(kind.__name__ for kind in ACTIVATIONS))


def _rule(module: nn.Module) -> Activation:
    if not is_activation(module):
        raise ValueError(f"expected one of {known_activations()}, got {module!r}")
    if isinstance(module, nn.GELU) and module.approximate == "tanh":
        return GELU_BY_TANH
    return ACTIVATIONS[type(module)]


def _arguments(module: nn.Module, rule: Activation) -> dict[str, Any]:
    return {name: _number(getattr(module, name)) for name in rule.arguments}


def _number(value: Any) -> Any:
    """Return an argument as a float; as an array where a tensor has one value for each neuron."""
    if not isinstance(value, Tensor):
        return float(value)
    return value.item() if value.numel() == 1 else value.detach().cpu().numpy().copy()


def _relu(x: Array) -> Array:
    return np.maximum(x, 0.0, out=x)


def _tanh(x: Array) -> Array:
    return np.tanh(x, out=x)


def _elu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0.0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def _selu(x: Array) -> Array:
    return np.float32(1.0507009873554805) * _elu(x, 1.6732632423543772)


def _celu(x: Array, alpha: float) -> Array:
    return np.where(x > 0.0, x, alpha * np.expm1(np.minimum(x, 0.0) / alpha))


def _sigmoid(x: Array) -> Array:
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def _silu(x: Array) -> Array:
    return x * _sigmoid(x)


def _leaky_relu(x: Array, negative_slope: float) -> Array:
    return np.where(x > 0.0, x, negative_slope * x)


def _prelu(x: Array, weight: float | Array) -> Array:
    return np.where(x > 0.0, x, weight * x)


def _softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    scaled = beta * x
    return np.where(scaled > threshold, x, np.logaddexp(scaled, np.float32(0.0)) / beta)


def _mish(x: Array) -> Array:
    return x * np.tanh(_softplus(x))


def _log_sigmoid(x: Array) -> Array:
    return -np.logaddexp(-x, np.float32(0.0))


def _gelu(x: Array) -> Array:
    from scipy.special import erf  # a policy without GELU needs no SciPy here

    return 0.5 * x * (1.0 + erf(x * 0.7071067811865476))


def _gelu_by_tanh(x: Array) -> Array:
    return 0.5 * x * (1.0 + np.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))


def _hardtanh(x: Array, min_val: float, max_val: float) -> Array:
    return np.minimum(np.maximum(x, min_val, out=x), max_val, out=x)


def _hardsigmoid(x: Array) -> Array:
    return _hardtanh(x + 3.0, 0.0, 6.0) / 6.0


def _threshold(x: Array, threshold: float, value: float) -> Array:
    return np.where(x <= threshold, np.float32(value), x)


def _softsign(x: Array) -> Array:
    return x / (1.0 + np.abs(x))


def _same(x: Array) -> Array:
    return x


ACTIVATIONS: dict[type[nn.Module], Activation] = {
    nn.ReLU: Activation((), _relu, "x < 0.0f ? 0.0f : x"),
    nn.Tanh: Activation((), _tanh, "tanhf(x)"),
    nn.ELU: Activation(("alpha",), _elu, "x > 0.0f ? x : {alpha} * expm1f(x)"),
    nn.SELU: Activation((), _selu, "x > 0.0f ? 1.05070099f * x : 1.05070099f * 1.67326324f * expm1f(x)"),
    nn.CELU: Activation(("alpha",), _celu, "x > 0.0f ? x : {alpha} * expm1f(x / {alpha})"),
    nn.SiLU: Activation((), _silu, "x / (1.0f + expf(-x))"),
    nn.Sigmoid: Activation((), _sigmoid, "1.0f / (1.0f + expf(-x))"),
    nn.LogSigmoid: Activation((), _log_sigmoid, "x > 0.0f ? -log1pf(expf(-x)) : x - log1pf(expf(x))"),
    nn.LeakyReLU: Activation(("negative_slope",), _leaky_relu, "x > 0.0f ? x : {negative_slope} * x"),
    nn.PReLU: Activation(("weight",), _prelu, "x > 0.0f ? x : {weight} * x"),
    nn.Softplus: Activation(
        ("beta", "threshold"),
        _softplus,
        "x * {beta} > {threshold} ? x : log1pf(expf({beta} * x)) / {beta}",
    ),
    nn.Mish: Activation((), _mish, "x > 20.0f ? x : x * tanhf(log1pf(expf(x)))"),
    nn.GELU: Activation((), _gelu, "0.5f * x * (1.0f + erff(x * 0.707106781f))"),
    nn.ReLU6: Activation(
        ("min_val", "max_val"),
        _hardtanh,
        "x < {min_val} ? {min_val} : x > {max_val} ? {max_val} : x",
    ),
    nn.Hardtanh: Activation(
        ("min_val", "max_val"),
        _hardtanh,
        "x < {min_val} ? {min_val} : x > {max_val} ? {max_val} : x",
    ),
    nn.Hardsigmoid: Activation(
        (), _hardsigmoid, "x < -3.0f ? 0.0f : x > 3.0f ? 1.0f : (x + 3.0f) / 6.0f"
    ),
    nn.Threshold: Activation(("threshold", "value"), _threshold, "x <= {threshold} ? {value} : x"),
    nn.Softsign: Activation((), _softsign, "x / (1.0f + fabsf(x))"),
    nn.Identity: Activation((), _same, "x"),
    nn.Dropout: Activation((), _same, "x"),  # an actor is in evaluation mode
}
"""Activations of one number each, by their class in torch. A subclass is another activation."""

GELU_BY_TANH = Activation(
    (), _gelu_by_tanh, "0.5f * x * (1.0f + tanhf(0.797884561f * (x + 0.044715f * x * x * x)))"
)
"""The form that ``nn.GELU(approximate="tanh")`` computes."""
