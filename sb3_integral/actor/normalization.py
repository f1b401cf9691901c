"""VecNormalize's statistics of observations, for the actor of the policy that was trained on them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor, nn

from sb3_integral.nn.copying import copied
from sb3_integral.policies.layout import find_layout, submodules
from sb3_integral.policies.plain import fold_features
from sb3_integral.policies.standardize import StandardizeExtractor

Array = np.ndarray[Any, Any]
Policy = TypeVar("Policy", bound=BasePolicy)
LARGEST = float(np.finfo(np.float32).max)
SMALLEST = float(np.finfo(np.float32).tiny)

NEGLIGIBLE = 1e-5
"""Standard deviations of an observation that it may be off by where single precision rounds it."""


class DrawbackWarning(UserWarning):
    """Warns that a converted policy is worse in some way than its source."""


@dataclass(frozen=True)
class Statistics:
    """How VecNormalize sees one array of observations: ``clip((observation - mean) / std)``.

    Attributes:
        mean: Shape: that of the observation.
        std: Likewise.
        clip: The largest absolute value after it.
    """

    mean: Array
    std: Array
    clip: float

    def __post_init__(self) -> None:
        """Check that single precision can express the numbers."""
        for name, values in (("mean", self.mean), ("standard deviation", self.std)):
            outside = values[~(np.abs(values) <= LARGEST)]
            if outside.size:
                raise ValueError(
                    f"the normalisation has {outside[0]} as its {name}, expected float32 numbers"
                )
        if not (self.std >= SMALLEST).all():
            raise ValueError(
                f"the normalisation has a standard deviation of {self.std.min()}, expected positive ones"
            )
        if not self.clip >= 0.0:
            raise ValueError(f"the normalisation clips to {self.clip}, expected a number of at least 0")

    @property
    def limit(self) -> float | None:
        """The largest absolute value in single precision; None if nothing is clipped."""
        return self.clip if self.clip <= LARGEST else None

    @property
    def rounding(self) -> float:
        """How many standard deviations single precision rounds an observation near the mean by."""
        return float((np.abs(self.mean) / self.std).max(initial=0.0)) * 2.0**-24

    def parts(self, dtype: type[np.generic]) -> tuple[Array, Array, Array]:
        """Return the mean as the sum of two arrays of a type, and the standard deviation.

        In single precision, one array would lose digits of a mean that is large beside its deviation.
        """
        high = self.mean.astype(dtype)
        return high, (self.mean - high).astype(dtype), self.std.astype(dtype)

    def apply(self, observation: Array) -> Array:
        """Normalise as VecNormalize does. Shape: (..., *observation), float32."""
        normalized = np.clip((observation - self.mean) / self.std, -self.clip, self.clip)
        return normalized.astype(np.float32)


def statistics_of(normalize: VecNormalize | None) -> dict[str | None, Statistics]:
    """Return the statistics of observations by their names; of the only array under None.

    Raises:
        ValueError: If a number is NaN, or out of the range of single precision.
    """
    if normalize is None or not normalize.norm_obs:
        return {}
    rms: Any = normalize.obs_rms
    keys: list[str | None] = [None] if not isinstance(rms, dict) else list(normalize.norm_obs_keys or [])
    found = {}
    for key in keys:
        moments = rms if key is None else rms[key]
        std = np.sqrt(moments.var + normalize.epsilon)
        found[key] = Statistics(np.asarray(moments.mean), np.asarray(std), float(normalize.clip_obs))
    return found


def fold_normalization(policy: Policy, normalize: VecNormalize | None) -> Policy:
    """Return a policy that acts on raw observations as another one does on normalised ones.

    The statistics go into the weights and biases of the layers that read the observations, so nothing
    is added. What does not fit in there is VecNormalize's clipping, by default at 10 standard
    deviations: beyond it the result differs. The result also computes in single precision where
    VecNormalize has twice the digits: a warning says so where a mean is large beside its deviation.

    Args:
        policy: Any policy that reads its observations by dense layers.
        normalize: The environment's wrapper; with None the policy itself is returned.

    Raises:
        ValueError: If a convolution reads what is normalised, or the statistics are of another space.
    """
    statistics = statistics_of(normalize)
    if not statistics:
        return policy
    check_statistics(policy.observation_space, statistics)
    rounding = max(measured.rounding for measured in statistics.values())
    if rounding > NEGLIGIBLE:
        warnings.warn(
            f"a mean of the normalisation is so large beside its standard deviation that the result "
            f"sees observations rounded to {rounding:.2g} standard deviations; ONNX, torch.export and C "
            f"keep every digit",
            DrawbackWarning,
            stacklevel=2,
        )

    def affine(extractor: nn.Module) -> tuple[Tensor, Tensor] | None:
        return None if isinstance(extractor, StandardizeExtractor) else _affine(extractor, statistics)

    # In float64: a mean that is large beside its deviation must not cost the digits of the bias.
    exact = {name: t.double() if t.is_floating_point() else t for name, t in policy.state_dict().items()}
    folded = fold_features(policy, find_layout(policy), exact, affine)
    for name, extractor in submodules(policy, StandardizeExtractor):
        scale, shift = _affine(extractor, statistics)
        folded[f"{name}.scale"] = exact[f"{name}.scale"] * scale
        folded[f"{name}.shift"] = exact[f"{name}.scale"] * shift + exact[f"{name}.shift"]
    result = copied(policy)
    result.load_state_dict(folded)
    return result


def check_statistics(space: spaces.Space[Any], statistics: dict[str | None, Statistics]) -> None:
    """Check that statistics are of a space's observations.

    Raises:
        ValueError: If they are not.
    """
    for name, measured in statistics.items():
        inner = (
            space if name is None else space.spaces.get(name) if isinstance(space, spaces.Dict) else None
        )
        if inner is None or inner.shape != measured.mean.shape:
            where = "" if name is None else f" of {name!r}"
            raise ValueError(
                f"the normalisation{where} is for observations of shape {measured.mean.shape}, "
                f"the policy's space is {space}"
            )


def _affine(extractor: nn.Module, statistics: dict[str | None, Statistics]) -> tuple[Tensor, Tensor]:
    """Return scale and shift of an extractor's features, float64. Shapes: (features,)."""
    parts: list[tuple[str | None, nn.Module]] = [(None, extractor)]
    if isinstance(extractor, CombinedExtractor):
        parts = list(extractor.extractors.items())
    scales, shifts = [], []
    for name, part in parts:
        is_flat = isinstance(part, nn.Flatten | FlattenExtractor | StandardizeExtractor)
        if name in statistics and not is_flat:
            raise ValueError(
                f"normalisation cannot be folded into {type(part).__name__}, expected observations "
                f"that dense layers read; ONNX and torch.export keep it"
            )
        measured = statistics.get(name)
        if measured is None:
            features = _width(extractor, name)
            scales.append(torch.ones(features, dtype=torch.float64))
            shifts.append(torch.zeros(features, dtype=torch.float64))
        else:
            scales.append(torch.from_numpy(1.0 / measured.std).double().flatten())
            shifts.append(torch.from_numpy(-measured.mean / measured.std).double().flatten())
    return torch.cat(scales), torch.cat(shifts)


def _width(extractor: nn.Module, name: str | None) -> int:
    assert isinstance(extractor, CombinedExtractor)
    assert name is not None
    part = extractor.extractors[name]
    space: Any = extractor._observation_space
    return int(getattr(part, "features_dim", 0)) or get_flattened_obs_dim(space[name])
