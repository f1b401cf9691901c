"""Observations as one vector, in the order in which SB3's extractors read them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim, is_image_space
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor
from torch import Tensor, nn

from sb3_integral.policies.standardize import StandardizeCombinedExtractor, StandardizeExtractor

Array = np.ndarray[Any, Any]

FLAT = (FlattenExtractor, nn.Flatten, StandardizeExtractor)
"""Extractors that leave numbers as they are, or scale and shift each."""

COMBINED = (CombinedExtractor, StandardizeCombinedExtractor)
"""Extractors of dictionaries, which put what others make of the parts beside each other."""


class SideBySide(nn.Module):
    """What a ``CombinedExtractor`` does with its parts when they are one vector already.

    Args:
        extractor: All its parts are read by one of :data:`FLAT`.
        space: Its observations.
    """

    def __init__(self, extractor: CombinedExtractor, space: spaces.Dict) -> None:
        super().__init__()
        self._widths = [get_flattened_obs_dim(space[key]) for key in extractor.extractors]
        self._parts = nn.ModuleList(extractor.extractors.values())

    def forward(self, features: Tensor) -> Tensor:
        """Scale and shift. Shape: (batch, features)."""
        split = features.split(self._widths, dim=1)
        return torch.cat([part(own) for part, own in zip(self._parts, split, strict=True)], dim=1)


def flat_extractor(space: spaces.Space[Any], extractor: nn.Module) -> nn.Module | None:
    """Return what an extractor does with flat observations; None if it is more than scale and shift."""
    parts = space.values() if isinstance(space, spaces.Dict) else [space]
    if any(isinstance(own, spaces.Box) and is_image_space(own) for own in parts):
        return None
    if not isinstance(space, spaces.Dict):
        return extractor if type(extractor) in FLAT else None
    if not isinstance(extractor, CombinedExtractor) or type(extractor) not in COMBINED:
        return None
    if any(type(own) not in FLAT for own in extractor.extractors.values()):
        return None
    return SideBySide(extractor, space)


def is_flat(space: spaces.Space[Any]) -> bool:
    """Return whether observations are numbers of one array, and none of them is a choice."""
    return isinstance(space, spaces.Box | spaces.MultiBinary)


def flattened(space: spaces.Space[Any], observation: Any) -> Array:
    """Return an observation, or a batch, as ``gymnasium.spaces.flatten`` does: choices are one-hot.

    Shape: (*observation) or (batch, *observation), of each part, to (features) or (batch, features).
    """
    if is_flat(space):
        array, dimensions = np.asarray(observation), len(space.shape or ())
        array = array.astype(np.float32, copy=False)
        return array if dimensions == 1 else array.reshape(*array.shape[: array.ndim - dimensions], -1)
    if isinstance(space, spaces.Dict):
        parts = [flattened(own, observation[name]) for name, own in space.items()]
    elif isinstance(space, spaces.MultiDiscrete):
        columns = np.moveaxis(np.asarray(observation), -1, 0)
        parts = [_one_hot(column, int(count)) for column, count in zip(columns, space.nvec, strict=True)]
    else:
        assert isinstance(space, spaces.Discrete)
        return _one_hot(observation, int(space.n))
    return np.concatenate(parts, axis=-1)


def _one_hot(choice: Any, count: int) -> Array:
    one_hot: Array = np.eye(count, dtype=np.float32)[np.asarray(choice).astype(int)]
    return one_hot
