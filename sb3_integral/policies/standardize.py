"""Observations brought to zero mean and unit variance inside the policy, by fixed statistics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor
from torch import Tensor, nn

SMALLEST_STD = 1e-6
"""A feature that varies less than this is constant: it is centred, not scaled."""

SAMPLES_AT_ONCE = 1 << 18
"""Samples that are held in double precision."""


class StandardizeExtractor(BaseFeaturesExtractor):
    """Flatten the observation and standardise it: ``observation * scale + shift``.

    The statistics are part of the state dict and are not trained. Until :meth:`fit` is called they
    change nothing. An ordinary policy that leaves this library has them folded into its first layer.

    Args:
        observation_space: The observations to expect.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, observation_space: spaces.Space) -> None:  # type: ignore[type-arg]
        features_dim = get_flattened_obs_dim(observation_space)
        super().__init__(observation_space, features_dim)
        self.register_buffer("scale", torch.ones(features_dim))
        self.register_buffer("shift", torch.zeros(features_dim))

    @torch.no_grad()
    def fit(self, observations: Tensor) -> None:
        """Take mean and standard deviation from observations.

        Args:
            observations: Shape: (samples, ...).

        Raises:
            ValueError: If a value is NaN or infinite.
        """
        parts = observations.flatten(start_dim=1).split(SAMPLES_AT_ONCE)
        mean = _sum(part.to(torch.float64) for part in parts) / len(observations)
        squares = _sum((part.to(torch.float64) - mean).square_() for part in parts)
        std = (squares / len(observations)).sqrt()
        if not (mean.isfinite().all() and std.isfinite().all()):
            raise ValueError("observations contain NaN or infinity, expected finite numbers only")
        scale = torch.where(std < SMALLEST_STD, torch.ones_like(std), 1.0 / std)
        self.scale.copy_(scale)
        self.shift.copy_(-mean * scale)

    def forward(self, observations: Tensor) -> Tensor:
        """Standardise. Shape: (batch, ...) to (batch, features)."""
        return torch.addcmul(self.shift, observations.flatten(start_dim=1), self.scale)


class StandardizeCombinedExtractor(CombinedExtractor):
    """SB3's ``CombinedExtractor`` with the Box observations that are no images standardised.

    Args:
        observation_space: The observations to expect.
    """

    def __init__(self, observation_space: spaces.Dict) -> None:
        super().__init__(observation_space)
        for key, space in observation_space.spaces.items():
            if isinstance(space, spaces.Box) and isinstance(self.extractors[key], nn.Flatten):
                self.extractors[key] = StandardizeExtractor(space)

    def fit(self, observations: Mapping[str, Tensor]) -> None:
        """Take means and standard deviations from observations.

        Args:
            observations: For each key. Shapes: (samples, ...).

        Raises:
            ValueError: If a value is NaN or infinite.
        """
        for key, extractor in self.extractors.items():
            if isinstance(extractor, StandardizeExtractor):
                extractor.fit(observations[key])

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """Return scale and shift of all features; 1 and 0 for those that are not standardised."""
        scales, shifts = [], []
        for key, extractor in self.extractors.items():
            if isinstance(extractor, StandardizeExtractor):
                scales.append(extractor.scale)
                shifts.append(extractor.shift)
            else:
                space: spaces.Space[Any] = self._observation_space[key]  # type: ignore[index]
                is_cnn = isinstance(extractor, BaseFeaturesExtractor)
                width: Any = extractor.features_dim if is_cnn else get_flattened_obs_dim(space)
                scales.append(torch.ones(width))
                shifts.append(torch.zeros(width))
        device = max((scale.device for scale in scales), key=str)
        return torch.cat([s.to(device) for s in scales]), torch.cat([s.to(device) for s in shifts])


def _sum(parts: Iterable[Tensor]) -> Tensor:
    return torch.stack([part.sum(dim=0) for part in parts]).sum(dim=0)
