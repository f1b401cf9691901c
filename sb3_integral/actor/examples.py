"""Observations to measure and to check an actor with: always the same, and not all zeros."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_integral.actor.normalization import Statistics

ORDINARY = 1e4
"""Bounds of an observation beyond this say nothing of the values that it has."""


def example_observation(
    space: spaces.Space[Any], statistics: Mapping[str | None, Statistics] | None = None
) -> Any:
    """Return one observation of a space; see :func:`example_observations`."""
    examples = example_observations(space, 1, statistics)
    if isinstance(space, spaces.Dict):
        return {name: values[0] for name, values in examples.items()}
    return examples[0]


def example_observations(
    space: spaces.Space[Any],
    batch: int,
    statistics: Mapping[str | None, Statistics] | None = None,
    name: str | None = None,
) -> Any:
    """Return a batch of observations that differ, spread over what the space or the statistics say.

    Args:
        space: The observations'.
        batch: How many.
        statistics: Those of the actor, by the names of a dictionary's parts.
        name: Of the part that this is.
    """
    if isinstance(space, spaces.Dict):
        return {key: example_observations(part, batch, statistics, key) for key, part in space.items()}
    if not (isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)):
        drawn_from = copy.deepcopy(space)
        drawn_from.seed(0)
        return np.stack([drawn_from.sample() for _ in range(batch)])
    shape = batch, *space.shape
    spread = np.linspace(-1.0, 1.0, math.prod(shape)).reshape(shape)
    own_statistics = (statistics or {}).get(name)
    if own_statistics is not None:
        return (own_statistics.mean + own_statistics.std * spread).astype(space.dtype)
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    is_ordinary = (np.abs(low) < ORDINARY) & (np.abs(high) < ORDINARY)
    low = np.where(is_ordinary, low, np.clip(-1.0, low, high))
    high = np.where(is_ordinary, high, np.clip(1.0, low, high))
    return (low + 0.5 * (spread + 1.0) * (high - low)).astype(space.dtype)
