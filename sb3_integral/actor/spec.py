"""The deterministic actor of a policy as data: what each back end computes, in its own way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

from sb3_integral.actor.activations import is_activation, known_activations
from sb3_integral.actor.heads import Head, Noise
from sb3_integral.actor.normalization import NEGLIGIBLE, Statistics
from sb3_integral.policies.standardize import StandardizeExtractor

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ActorSpec:
    """From a raw observation to the action of ``predict(deterministic=True)``, step by step.

    Attributes:
        observation_space: The policy's, images with their channels first.
        action_space: The policy's.
        statistics: How observations are normalised before SB3 preprocesses them, by their names; of the
            only array under None.
        normalize_images: Whether SB3 divides images by 255.
        extractor: From preprocessed observations to features.
        layers: From features to the output of the last layer.
        head: From that output to the action.
        noise: Added to the output, it draws an action from the policy's distribution; None where the
            distribution is not known.
    """

    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    statistics: Mapping[str | None, Statistics]
    normalize_images: bool
    extractor: nn.Module
    layers: nn.Sequential
    head: Head
    noise: Noise | None = None

    def observation_dtype(self, name: str | None = None) -> type[np.generic]:
        """Return the type in which an exported actor takes observations.

        Args:
            name: Of a dictionary's part; None for the only array.
        """
        space: Any = self.observation_space
        space = space if name is None else space[name]
        if not isinstance(space, spaces.Box):
            return np.int64
        statistics = self.statistics.get(name)
        if statistics is None:
            return np.uint8 if is_image_space(space) and space.dtype == np.uint8 else np.float32
        is_rounded = not np.can_cast(space.dtype, np.float32)
        return np.float64 if is_rounded and statistics.rounding > NEGLIGIBLE else np.float32

    def perceptron(self) -> Perceptron:
        """Return the actor as dense layers that read one vector, for back ends without torch.

        Whatever scales and shifts features is folded into the layer that reads them.

        Raises:
            ValueError: If the observation is no vector, or a layer is neither dense nor a known
                activation. The message has its name.
        """
        space = self.observation_space
        is_vector = isinstance(space, spaces.Box | spaces.MultiBinary) and not is_image_space(space)
        if not is_vector or type(self.extractor) not in FOLDED:
            raise ValueError(
                f"expected a FlattenExtractor and Box or MultiBinary observations, vectors that dense "
                f"layers read and no images, got {type(self.extractor).__name__} and {space}"
            )
        layers: list[Layer] = []
        pending: Affine | None = None
        for module in (self.extractor, *self.layers):
            if type(module) in FOLDED:
                pending = _composed(pending, FOLDED[type(module)](module))
            elif type(module) is nn.Linear:
                layers.append(_layer(module, pending))
                pending = None
            elif is_activation(module) and layers and pending is None:
                layers[-1] = layers[-1]._replace(activations=(*layers[-1].activations, module))
            else:
                raise ValueError(
                    f"cannot compute {type(module).__name__} here, expected dense layers and known "
                    f"activations, got {module!r} ({known_activations()})"
                )
        if pending is not None or not layers:
            raise ValueError("expected a dense layer in front of the action, got none")
        return Perceptron(self.statistics.get(None), tuple(layers))


class Layer(NamedTuple):
    """A dense layer and what is applied to each of its outputs, one after the other.

    Attributes:
        weight: Shape: (out, in).
        bias: Shape: (out,).
        activations: Modules that :mod:`~sb3_integral.actor.activations` knows.
    """

    weight: Array
    bias: Array
    activations: tuple[nn.Module, ...]


class Perceptron(NamedTuple):
    """An actor that is dense layers one behind the other.

    Attributes:
        statistics: How the observation is normalised; None if it is not.
        layers: At least one.
    """

    statistics: Statistics | None
    layers: tuple[Layer, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """The length of the observation, and how many outputs each layer has."""
        return self.layers[0].weight.shape[1], *(len(layer.bias) for layer in self.layers)


class Affine(NamedTuple):
    """Features are multiplied by a scale, and a shift is added. Shapes: (features,), float64."""

    scale: Array
    shift: Array


def _no_change(module: nn.Module) -> None:
    return None


def _standardization(module: Any) -> Affine:
    return Affine(_exact(module.scale), _exact(module.shift))


def _batch_norm(module: Any) -> Affine:
    return _normalization(
        module.running_mean, module.running_var, module.eps, module.weight, module.bias
    )


def _batch_renorm(module: Any) -> Affine:
    scale, bias = (module.scale, module.bias) if module.affine else (None, None)
    return _normalization(module.ra_mean, module.ra_var, module.eps, scale, bias)


def _normalization(mean: Any, variance: Any, eps: float, scale: Any, bias: Any) -> Affine:
    own = 1.0 / np.sqrt(_exact(variance) + eps)
    if scale is not None:
        own = own * _exact(scale)
    shift = -_exact(mean) * own
    return Affine(own, shift if bias is None else shift + _exact(bias))


FOLDED: dict[type[nn.Module], Callable[[Any], Affine | None]] = {
    FlattenExtractor: _no_change,
    nn.Flatten: _no_change,
    StandardizeExtractor: _standardization,
    nn.BatchNorm1d: _batch_norm,
}
"""Modules that the next dense layer absorbs, by class: each gives its scale and shift."""

try:
    from sb3_contrib.common.torch_layers import BatchRenorm1d
except ImportError:
    pass
else:
    FOLDED[BatchRenorm1d] = _batch_renorm


def _composed(first: Affine | None, second: Affine | None) -> Affine | None:
    if first is None or second is None:
        return first or second
    return Affine(first.scale * second.scale, first.shift * second.scale + second.shift)


def _layer(linear: nn.Linear, affine: Affine | None) -> Layer:
    weight = _exact(linear.weight)
    bias = np.zeros(len(weight)) if linear.bias is None else _exact(linear.bias)
    if affine is not None:
        bias = bias + weight @ affine.shift
        weight = weight * affine.scale
    return Layer(weight.astype(np.float32), bias.astype(np.float32), ())


def _exact(tensor: Any) -> Array:
    array: Array = tensor.detach().cpu().numpy().astype(np.float64)
    return array
