"""What policies are built with as JSON: classes and values by name, from fixed tables."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, NatureCNN

from sb3_integral.nn import kernels, quadratures
from sb3_integral.nn.running import ELEMENTWISE
from sb3_integral.policies.registration import integral_policies
from sb3_integral.policies.standardize import StandardizeCombinedExtractor, StandardizeExtractor

CLASSES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        *ELEMENTWISE,
        *(FlattenExtractor, NatureCNN, CombinedExtractor),
        *(StandardizeExtractor, StandardizeCombinedExtractor),
        *(torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop, RMSpropTFLike),
    )
}
"""Classes that can be an argument of a policy in a file. A file names one of these or is refused."""

VALUES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        *(kernels.CubicConvolution, kernels.LinearInterpolation, kernels.CubicBSpline, kernels.LowPass),
        *(quadratures.Trapezoidal, quadratures.Midpoint, quadratures.Simpson, quadratures.GaussLegendre),
    )
}
"""Frozen dataclasses that can be an argument of a policy in a file, written by their fields."""

LARGEST_INTEGER = 2**20
"""No width, number of quantiles or the like is larger."""

Json = Any


def policy_classes() -> dict[str, type[BasePolicy]]:
    """Return the policies that a file can hold: the integral ones, and the plain one of each."""
    integral = {kind.__name__: kind for kinds in integral_policies().values() for kind in kinds}
    return integral | {f"plain {name}": kind.plain_class() for name, kind in integral.items()}


def value_to_json(value: Any) -> Json:
    """Write an argument of a policy as JSON.

    Raises:
        ValueError: If it is of a kind that no file can hold.
    """
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if value is None or isinstance(value, bool | str | int | float):
        return _checked_number(value)
    if isinstance(value, list):
        return [value_to_json(inner) for inner in value]
    if isinstance(value, tuple):
        return {"$tuple": [value_to_json(inner) for inner in value]}
    if isinstance(value, dict) and all(isinstance(k, str) and k[:1] != "$" for k in value):
        return {name: value_to_json(inner) for name, inner in value.items()}
    if isinstance(value, type) and CLASSES.get(value.__name__) is value:
        return {"$class": value.__name__}
    if VALUES.get(type(value).__name__) is type(value) and dataclasses.is_dataclass(value):
        fields = {f.name: value_to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"$value": type(value).__name__, **fields}
    known = ", ".join(sorted((*CLASSES, *VALUES)))
    raise ValueError(f"{value!r} cannot be written to a safe file, which holds numbers, text, {known}")


def value_from_json(content: Json) -> Any:
    """Read an argument of a policy from JSON.

    Raises:
        ValueError: If it is not what :func:`value_to_json` writes.
    """
    if isinstance(content, list):
        return [value_from_json(inner) for inner in content]
    if not isinstance(content, dict):
        return _checked_number(content)
    tags = [name for name in content if name.startswith("$")]
    if not tags:
        return {name: value_from_json(inner) for name, inner in content.items()}
    if tags == ["$tuple"] and len(content) == 1 and isinstance(content["$tuple"], list):
        return tuple(value_from_json(inner) for inner in content["$tuple"])
    if tags == ["$class"] and len(content) == 1:
        return _known(CLASSES, content["$class"])
    if tags == ["$value"]:
        fields = {k: value_from_json(v) for k, v in content.items() if k != "$value"}
        return _checked_fields(_known(VALUES, content["$value"])(**fields))
    raise ValueError(f"unknown argument of a policy {content!r}")


def _checked_number(value: Any) -> Any:
    """Return a value, which is no number that a file cannot hold."""
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        raise ValueError(f"{value} is too large for an argument of a policy in a file")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} cannot be an argument in a file, expected a finite number")
    return value


def _checked_fields(value: Any) -> Any:
    """Return a value, whose fields are of the kinds of their defaults: numbers, or kernels."""
    for field in dataclasses.fields(value):
        given = getattr(value, field.name)
        is_number = isinstance(given, int | float) and not isinstance(given, bool)
        if not (is_number if isinstance(field.default, float) else hasattr(given, "matrix")):
            raise ValueError(f"{field.name} of {type(value).__name__} cannot be {given!r}")
    return value


def _known(table: dict[str, type], name: Json) -> type:
    if not isinstance(name, str) or name not in table:
        raise ValueError(f"unknown class {name!r}; known are {', '.join(sorted(table))}")
    return table[name]
