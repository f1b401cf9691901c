"""What the page has to know of two students: their parameters, and how the integral one is sampled."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from stable_baselines3.common.policies import BasePolicy
from torch import Tensor, nn

from sb3_integral.imitation import ACTIVATIONS
from sb3_integral.nn import IntegralLinear, nested_order
from sb3_integral.policies import StandardizeExtractor
from sb3_integral.policies.layout import find_layout

MOVING_ENVIRONMENTS = ("Acrobot-v1", "CartPole-v1")
"""Environments whose equations of motion the page has."""

SMALLEST = 5
"""Fewest neurons that the slider gives, as in the paper's tables."""


def moving_data(env_id: str, integral: BasePolicy, plain: BasePolicy) -> dict[str, Any] | None:
    """Return what the page needs, as JSON: parameters are base64 of 32-bit floats.

    Args:
        env_id: The environment.
        integral: A student whose partitions nest.
        plain: A student of the same hidden sizes.

    Returns:
        None where the page cannot show them: another environment or features extractor, layers of
        different widths, or an integral student that is sampled in another way.
    """
    if env_id not in MOVING_ENVIRONMENTS:
        return None
    layers = [_dense_layers(policy) for policy in (integral, plain)]
    widths = {layer.out_features for found in layers for layer in found[:-1]}
    axes = [layer.in_axis for layer in layers[0][1:] if isinstance(layer, IntegralLinear)]
    is_nested = len(axes) == len(layers[0]) - 1 > 0 and all(
        axis is not None and axis.nested and axis.grid_size == axis.max_size for axis in axes
    )
    activations = {_activation(policy) for policy in (integral, plain)}
    if len(widths) != 1 or not is_nested or len(activations) != 1 or None in activations:
        return None
    if not all(isinstance(each.features_extractor, StandardizeExtractor) for each in (integral, plain)):
        return None
    (full,) = widths
    return {
        "env": env_id,
        "full": full,
        "smallest": min(SMALLEST, full),
        "order": nested_order(full),
        "integral": _network(integral, layers[0], full),
        "plain": _network(plain, layers[1], full),
    }


def _dense_layers(policy: BasePolicy) -> list[Any]:
    layout = find_layout(policy).actors[0]
    return [policy.get_submodule(name) for name in (*layout.hidden, *layout.heads)]


def _activation(policy: BasePolicy) -> str | None:
    names = {kind: name for name, kind in ACTIVATIONS.items()}
    return names.get(getattr(policy, "activation_fn", nn.Module))


def _network(policy: BasePolicy, layers: list[Any], full: int) -> dict[str, Any]:
    extractor: Any = policy.features_extractor
    last = len(layers) - 1
    return {
        "full": full,
        "activation": _activation(policy),
        "scale": _packed(extractor.scale),
        "shift": _packed(extractor.shift),
        "layers": [
            {
                "reads": number > 0,
                "writes": number < last,
                "weight": _matrix(layer.weight),
                "bias": _packed(layer.bias),
                **_corrections(layer),
            }
            for number, layer in enumerate(layers)
        ],
    }


def _corrections(layer: Any) -> dict[str, Any]:
    corrections = getattr(layer, "corrections", None)
    pairs: Iterator[tuple[Tensor, Tensor]] = iter(())
    if corrections is not None:
        pairs = zip(corrections.weights, corrections.biases, strict=True)
    return {
        "scales": [] if corrections is None else list(corrections.scales),
        "corrections": [{"weight": _matrix(weight), "bias": _packed(bias)} for weight, bias in pairs],
    }


def _matrix(tensor: Tensor) -> dict[str, Any]:
    return {"shape": list(tensor.shape), "values": _packed(tensor)}


def _packed(tensor: Tensor) -> str:
    return base64.b64encode(tensor.detach().cpu().numpy().astype("<f4").tobytes()).decode("ascii")
