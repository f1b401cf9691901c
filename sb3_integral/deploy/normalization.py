"""VecNormalize's statistics of observations, brought into the policy that was trained on them."""

from __future__ import annotations

import copy
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

from sb3_integral.policies.anatomy import dissect, submodules
from sb3_integral.policies.plain import fold_features
from sb3_integral.policies.standardize import StandardizeExtractor

Policy = TypeVar("Policy", bound=BasePolicy)


@dataclass(frozen=True)
class Statistics:
    """How VecNormalize sees one array of observations: ``clip((observation - mean) / std)``.

    Attributes:
        mean: Shape: that of the observation.
        std: Likewise.
        clip: The largest absolute value after it.
    """

    mean: np.ndarray[Any, Any]
    std: np.ndarray[Any, Any]
    clip: float


def statistics_of(normalize: VecNormalize | None) -> dict[str | None, Statistics]:
    """Return the statistics of observations by their names; of the only array under None."""
    if normalize is None or not normalize.norm_obs:
        return {}
    rms: Any = normalize.obs_rms
    keys: list[str | None] = [None] if not isinstance(rms, dict) else list(normalize.norm_obs_keys or [])
    found = {}
    for key in keys:
        own = rms if key is None else rms[key]
        std = np.sqrt(own.var + normalize.epsilon)
        found[key] = Statistics(own.mean, std, float(normalize.clip_obs))
    return found


def fold_normalization(policy: Policy, normalize: VecNormalize | None) -> Policy:
    """Return a policy that acts on raw observations as another one does on normalised ones.

    The statistics go into the weights and biases of the layers that read the observations, so nothing
    is added. What does not fit in there is VecNormalize's clipping, by default at 10 standard
    deviations: beyond it the result differs.

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

    def affine(extractor: nn.Module) -> tuple[Tensor, Tensor] | None:
        return None if isinstance(extractor, StandardizeExtractor) else _affine(extractor, statistics)

    # In float64: a mean that is large beside its deviation must not cost the digits of the bias.
    exact = {name: t.double() if t.is_floating_point() else t for name, t in policy.state_dict().items()}
    folded = fold_features(policy, dissect(policy), exact, affine)
    for name, extractor in submodules(policy, StandardizeExtractor):
        scale, shift = _affine(extractor, statistics)
        folded[f"{name}.scale"] = exact[f"{name}.scale"] * scale
        folded[f"{name}.shift"] = exact[f"{name}.scale"] * shift + exact[f"{name}.shift"]
    result = copy.deepcopy(policy)
    result.load_state_dict(folded)
    return result


def check_statistics(space: spaces.Space[Any], statistics: dict[str | None, Statistics]) -> None:
    """Check that statistics are of a space's observations.

    Raises:
        ValueError: If they are not.
    """
    for name, own in statistics.items():
        inner = (
            space if name is None else space.spaces.get(name) if isinstance(space, spaces.Dict) else None
        )
        if inner is None or inner.shape != own.mean.shape:
            where = "" if name is None else f" of {name!r}"
            raise ValueError(
                f"the normalisation{where} is for observations of shape {own.mean.shape}, "
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
                f"normalisation cannot be folded into a {type(part).__name__}, expected observations "
                f"that dense layers read; ONNX and torch.export keep it"
            )
        own = statistics.get(name)
        if own is None:
            features = _width(extractor, name)
            scales.append(torch.ones(features, dtype=torch.float64))
            shifts.append(torch.zeros(features, dtype=torch.float64))
        else:
            scales.append(torch.from_numpy(1.0 / own.std).double().flatten())
            shifts.append(torch.from_numpy(-own.mean / own.std).double().flatten())
    return torch.cat(scales), torch.cat(shifts)


def _width(extractor: nn.Module, name: str | None) -> int:
    assert isinstance(extractor, CombinedExtractor)
    assert name is not None
    part = extractor.extractors[name]
    space: Any = extractor._observation_space
    return int(getattr(part, "features_dim", 0)) or get_flattened_obs_dim(space[name])
