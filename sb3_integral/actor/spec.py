"""The deterministic actor of a policy as data: what each back end computes, in its own way."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float
from stable_baselines3.common.preprocessing import is_image_space
from torch import nn

from sb3_integral.actor.activations import is_activation, known_activations
from sb3_integral.actor.flattening import FLAT, SideBySide, flat_extractor
from sb3_integral.actor.heads import Head, Noise
from sb3_integral.actor.memory import GATES, Memory
from sb3_integral.actor.normalization import NEGLIGIBLE, Statistics
from sb3_integral.policies.standardize import StandardizeExtractor

Array = np.ndarray[Any, Any]

AFFINE: set[type[nn.Module]] = {*FLAT, SideBySide, nn.BatchNorm1d}
"""Modules that scale and shift each feature, or leave it as it is: the next dense layer absorbs them."""

try:
    from sb3_contrib.common.torch_layers import BatchRenorm1d
except ImportError:
    pass
else:
    AFFINE.add(BatchRenorm1d)


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
        maskable: How many choices an action mask may forbid; 0 where the policy takes no masks.
        noise: Added to the output, it draws an action from the policy's distribution; None where the
            distribution is not known.
        memory: Between the extractor and the layers of a recurrent policy.
    """

    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    statistics: Mapping[str | None, Statistics]
    normalize_images: bool
    extractor: nn.Module
    layers: nn.Sequential
    head: Head
    maskable: int = 0
    noise: Noise | None = None
    memory: Memory | None = None

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

    def perceptron(self, folded: bool = True) -> Perceptron:
        """Return the actor as dense layers that read one vector, for back ends without torch.

        Whatever scales and shifts features is folded into the layer that reads them. The vector is what
        :func:`~sb3_integral.actor.flattening.flattened` makes of an observation.

        Args:
            folded: Whether that holds for an extractor that standardises the only array too. If not, it
                becomes the perceptron's statistics, and rounded weights stand for numbers of one size.

        Raises:
            ValueError: If there are images among the observations, parts of a dictionary are normalised,
                or a layer is neither dense nor a known activation. The message has its name.
        """
        space = self.observation_space
        extractor = flat_extractor(space, self.extractor)
        if extractor is None or (isinstance(space, spaces.Dict) and self.statistics):
            normalized = " that is normalised" if self.statistics else ""
            raise ValueError(
                f"expected vectors that dense layers read, no images and no normalised dictionary, got "
                f"{type(self.extractor).__name__} and {space}{normalized}"
            )
        layers: list[Layer] = []
        pending: list[nn.Module] = []
        statistics = self.statistics.get(None)
        if not folded and statistics is None and isinstance(extractor, StandardizeExtractor):
            statistics, extractor = _statistics(extractor, space.shape or ()), nn.Flatten()
        gates: list[nn.Module] = [] if self.memory is None else list(self.memory.gates)
        for module in (extractor, *gates, *self.layers):
            if type(module) in AFFINE:
                pending.append(module)
            elif type(module) is nn.Linear:
                hidden = self.memory.hidden_size if self.memory is not None and module in gates else 0
                layers.append(_layer(pending, module, hidden))
                pending = []
            elif is_activation(module) and layers and not pending:
                layers[-1] = layers[-1]._replace(activations=(*layers[-1].activations, module))
            else:
                raise ValueError(
                    f"cannot compute {type(module).__name__} here, expected dense layers and known "
                    f"activations, got {module!r} ({known_activations()})"
                )
        if pending or not layers:
            raise ValueError("expected a dense layer in front of the action, got none")
        return Perceptron(statistics, tuple(layers), len(gates))


class Layer(NamedTuple):
    """A dense layer and the activations of its outputs."""

    weight: Float[np.ndarray, "out in"]
    bias: Float[np.ndarray, " out"]
    activations: tuple[nn.Module, ...]


class Perceptron(NamedTuple):
    """An actor that is dense layers one behind the other, and how its observations are normalised.

    The first of them may be the gates of LSTM layers, which read a hidden state behind their input.
    """

    statistics: Statistics | None
    layers: tuple[Layer, ...]
    gates: int = 0

    @property
    def hidden(self) -> int:
        """The length of a hidden state; 0 where there are no gates."""
        return len(self.layers[0].bias) // GATES if self.gates else 0

    @property
    def widths(self) -> tuple[int, ...]:
        """The length of the observation, and how many outputs each layer has."""
        observed = self.layers[0].weight.shape[1] - self.hidden
        return observed, *(len(layer.bias) for layer in self.layers)


def _statistics(extractor: StandardizeExtractor, shape: tuple[int, ...]) -> Statistics:
    """Return the statistics by which an extractor standardises. Shape: the observation's.

    They are of single precision, in which the extractor itself computes.
    """
    scale, shift = extractor.scale.double(), extractor.shift.double()
    mean, std = ((part.float().reshape(shape).numpy()) for part in (-shift / scale, 1.0 / scale))
    return Statistics(mean, std, math.inf)


@torch.no_grad()
def _layer(before: Sequence[nn.Module], linear: nn.Linear, hidden: int = 0) -> Layer:
    """Return a dense layer with the affine modules before it folded in, in double precision."""
    weight = linear.weight.double()
    bias = weight.new_zeros(len(weight)) if linear.bias is None else linear.bias.double()
    # A hidden state behind the input is not what the modules before scale.
    read = linear.in_features - hidden
    ends = torch.stack([torch.zeros(read), torch.ones(read)]).double()
    for module in before:
        ends = copy.deepcopy(module).double()(ends)
    shift, scale = weight.new_zeros(linear.in_features), weight.new_ones(linear.in_features)
    shift[:read], scale[:read] = ends[0], ends[1] - ends[0]
    return Layer((weight * scale).float().numpy(), (bias + weight @ shift).float().numpy(), ())
