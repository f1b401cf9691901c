"""Observations as tensors, and the spaces that students take."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from imitation.data.types import DictObs, map_maybe_dict, maybe_unwrap_dictobs
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from torch import Tensor

Observations = Tensor | dict[str, Tensor]
"""One tensor, or one for each key of a dictionary. Shapes: (n, *observation)."""

NUMBERS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
"""The spaces of which every element is an array of numbers."""

SMALLEST_IMAGE = 36
"""Pixels that SB3's CNN needs in each direction."""


def as_tensor(values: np.ndarray) -> Tensor:
    """Return an array as a tensor; torch wants to be able to write to it."""
    return torch.from_numpy(np.require(values, requirements="W"))


def as_tensors(observations: np.ndarray | dict[str, np.ndarray] | DictObs) -> Observations:
    """Return an environment's observations, or imitation's, as tensors."""
    tensors: Observations = map_maybe_dict(as_tensor, maybe_unwrap_dictobs(observations))
    return tensors


def as_arrays(observations: Observations) -> np.ndarray | dict[str, np.ndarray]:
    """Return observations as an environment gives them."""
    arrays: np.ndarray | dict[str, np.ndarray] = map_maybe_dict(Tensor.numpy, observations)
    return arrays


def named_parts(values: Any, name: str = "observations") -> dict[str, Any]:
    """Return the parts of observations, or of their space, by their names in messages."""
    if isinstance(values, dict | spaces.Dict):
        return {f"{name}[{key!r}]": part for key, part in values.items()}
    return {name: values}


def check_student_spaces(observation_space: spaces.Space, action_space: spaces.Space) -> None:  # type: ignore[type-arg]
    """Check that a student can be built and cloned for an environment.

    Raises:
        ValueError: If one of the spaces is not supported; the message says what is.
    """
    parts = {"": observation_space}
    if isinstance(observation_space, spaces.Dict):
        parts = {f" at key {key!r}": part for key, part in observation_space.spaces.items()}
    for place, space in parts.items():
        wrong = None if isinstance(space, NUMBERS) else f"{type(space).__name__} observations"
        if isinstance(space, spaces.Box) and is_image_space(space):
            small = min(space.shape[1:]) < SMALLEST_IMAGE
            wrong = "images" if small or not is_image_space_channels_first(space) else None
        if wrong is not None:
            raise ValueError(
                f"students do not take {wrong}{place}, got {space}; supported are Box, Discrete, "
                f"MultiDiscrete and MultiBinary observations, and a Dict of such. Images need their "
                f"channels first, as VecTransposeImage has them, and at least {SMALLEST_IMAGE} pixels "
                f"in each direction"
            )
        _check_discrete("observations", space)
    if not isinstance(action_space, NUMBERS):
        raise ValueError(
            f"students do not take {type(action_space).__name__} actions, got {action_space}; supported "
            f"are Box, Discrete, MultiDiscrete and MultiBinary"
        )
    _check_discrete("actions", action_space)


def check_values(name: str, values: Tensor, space: spaces.Space) -> None:  # type: ignore[type-arg]
    """Check that values are elements of a space; the bounds of a Box are not looked at.

    Args:
        name: What they are, for the message.
        values: Shape: (n, *shape of the space).
        space: The space.

    Raises:
        ValueError: If a shape differs, or a discrete value is out of range or no integer.
    """
    if tuple(values.shape[1:]) != space.shape:
        raise ValueError(
            f"{name} of demonstrations have shape {tuple(values.shape[1:])}, "
            f"expected {space.shape} for {space}"
        )
    if isinstance(space, spaces.Box):
        return
    if values.is_floating_point() and bool((values != values.round()).any()):
        raise ValueError(f"{name} of demonstrations are no integers, expected elements of {space}")
    choices = {spaces.Discrete: "n", spaces.MultiDiscrete: "nvec"}.get(type(space))
    first = np.asarray(getattr(space, "start", 0))
    last = first + (np.asarray(getattr(space, choices)) if choices else 2) - 1
    low, high = (end.long().numpy() for end in (values.amin(dim=0), values.amax(dim=0)))
    if (low < first).any() or (high > last).any():
        got, wanted = (f"{a.tolist()} to {b.tolist()}" for a, b in ((low, high), (first, last)))
        raise ValueError(f"{name} of demonstrations range from {got}, expected {wanted}")


def _check_discrete(what: str, space: spaces.Space) -> None:  # type: ignore[type-arg]
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete) and np.any(space.start != 0):
        raise ValueError(f"SB3's policies count discrete {what} from 0, got {space}")
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary) and len(space.shape) != 1:
        raise ValueError(f"SB3's policies take discrete {what} of one dimension, got {space}")
