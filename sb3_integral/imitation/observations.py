"""Observations as tensors: one, or for a space of dictionaries one for each key."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from gymnasium import spaces
from imitation.data.types import DictObs
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from torch import Tensor

Observations = Tensor | dict[str, Tensor]
"""Shapes: (n, *observation)."""

NUMBERS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
"""The spaces of which every element is an array of numbers."""


SMALLEST_IMAGE = 36
"""Pixels that SB3's CNN needs in each direction."""


def map_observations(observations: Observations, change: Callable[[Tensor], Tensor]) -> Observations:
    """Apply a function to each tensor of observations."""
    if isinstance(observations, dict):
        return {key: change(part) for key, part in observations.items()}
    return change(observations)


def named_parts(observations: Observations, name: str = "observations") -> dict[str, Tensor]:
    """Return the tensors of observations with their names for messages."""
    if isinstance(observations, dict):
        return {f"{name}[{key!r}]": part for key, part in observations.items()}
    return {name: observations}


def as_tensors(observations: np.ndarray | dict[str, np.ndarray] | DictObs) -> Observations:
    """Return an environment's observations, or imitation's, as tensors."""
    if isinstance(observations, DictObs):
        observations = observations.unwrap()
    if isinstance(observations, dict):
        return {key: as_tensor(part) for key, part in observations.items()}
    return as_tensor(observations)


def as_tensor(values: np.ndarray) -> Tensor:
    """Return an array as a tensor; torch wants to be able to write to it."""
    return torch.from_numpy(np.require(values, requirements="W"))


def as_arrays(observations: Observations) -> np.ndarray | dict[str, np.ndarray]:
    """Return observations as an environment gives them."""
    if isinstance(observations, dict):
        return {key: part.numpy() for key, part in observations.items()}
    return observations.numpy()


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
        if is_image_space(space) and not _is_readable_image(space):
            wrong = "images of this shape"
        if wrong is not None:
            raise ValueError(
                f"students do not take {wrong}{place}, got {space}; supported are Box, Discrete, "
                f"MultiDiscrete and MultiBinary observations, and a Dict of such; images need their "
                f"channels first, as VecTransposeImage has them, and {SMALLEST_IMAGE} x {SMALLEST_IMAGE} pixels at least"
            )
        _check_discrete("observations", space)
    if not isinstance(action_space, NUMBERS):
        raise ValueError(
            f"students do not take {type(action_space).__name__} actions, got {action_space}; supported "
            f"are Box, Discrete, MultiDiscrete and MultiBinary"
        )
    _check_discrete("actions", action_space)


def check_values(name: str, values: Tensor, space: spaces.Space) -> None:  # type: ignore[type-arg]
    """Check that values are elements of a space, except for the bounds of a Box.

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
    first, last = _ends(space)
    low, high = values.amin(dim=0).long(), values.amax(dim=0).long()
    if bool((low < first).any()) or bool((high > last).any()):
        got, wanted = (f"{_text(begin)} to {_text(end)}" for begin, end in ((low, high), (first, last)))
        raise ValueError(f"{name} of demonstrations range from {got}, expected {wanted}")


def _is_readable_image(space: spaces.Space) -> bool:  # type: ignore[type-arg]
    """Return whether SB3's CNN can read an image."""
    assert isinstance(space, spaces.Box)
    return is_image_space_channels_first(space) and min(space.shape[1:]) >= SMALLEST_IMAGE


def _check_discrete(what: str, space: spaces.Space) -> None:  # type: ignore[type-arg]
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete) and np.any(space.start != 0):
        raise ValueError(f"SB3's policies count discrete {what} from 0, got {space}")
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary) and len(space.shape) != 1:
        raise ValueError(f"SB3's policies take discrete {what} of one dimension, got {space}")


def _ends(space: spaces.Space) -> tuple[Tensor, Tensor]:  # type: ignore[type-arg]
    if isinstance(space, spaces.Discrete):
        return torch.as_tensor(int(space.start)), torch.as_tensor(int(space.start + space.n - 1))
    if isinstance(space, spaces.MultiDiscrete):
        start = torch.as_tensor(np.asarray(space.start, dtype=np.int64))
        return start, start + torch.as_tensor(np.asarray(space.nvec, dtype=np.int64)) - 1
    return torch.zeros(space.shape or ()).long(), torch.ones(space.shape or ()).long()


def _text(values: Tensor) -> str:
    return str(values.tolist())
