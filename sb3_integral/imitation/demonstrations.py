"""Demonstrations: what an expert observed and did, as tensors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from imitation.data.types import TrajectoryWithRew, concatenate_maybe_dictobs, map_maybe_dict
from torch import Tensor

from sb3_integral.imitation.observations import (
    Observations,
    as_arrays,
    as_tensor,
    as_tensors,
    check_values,
    named_parts,
)

STEPS_AT_ONCE = 1 << 18
"""Number of steps checked at a time. It bounds the memory of temporary tensors."""


@dataclass(frozen=True)
class Demonstrations:
    """An expert's observations and actions as the environment gave them, and its returns.

    Attributes:
        observations: Shape: (transitions, *observation); of each key, if they are dictionaries.
        actions: Shape: (transitions, *action).
        returns: Sum of rewards of each episode. Shape: (episodes,).
    """

    observations: Observations
    actions: Tensor
    returns: Tensor

    def __post_init__(self) -> None:
        """Check that there are as many observations as actions, and that every number is finite.

        Raises:
            ValueError: If there is no transition, an observation or action is missing, or a number is
                NaN or infinite.
        """
        parts = named_parts(self.observations)
        if len(self.actions) == 0 or not parts:
            raise ValueError("got demonstrations without a transition, expected at least one")
        for name, values in parts.items():
            if len(values) != len(self.actions):
                raise ValueError(
                    f"got {len(values)} {name} and {len(self.actions)} actions, "
                    f"expected one observation for each action"
                )
            check_finite(name, values)
        check_finite("actions", self.actions)
        check_finite("returns", self.returns, "episode")

    def __len__(self) -> int:
        """Number of transitions."""
        return len(self.actions)

    @classmethod
    def from_episodes(
        cls, episodes: Iterable[TrajectoryWithRew], limit: int | None = None
    ) -> Demonstrations:
        """Build demonstrations from the first ``limit`` transitions of episodes; from all by default.

        Raises:
            ValueError: If there are none, or a number is NaN or infinite.
        """
        episodes = list(episodes)
        if not episodes:
            raise ValueError("got no episodes, expected at least one")
        parts: list[Any] = [episode.obs[:-1] for episode in episodes]
        observations = as_tensors(concatenate_maybe_dictobs(parts))
        return cls(
            map_maybe_dict(lambda part: part[:limit], observations),
            torch.as_tensor(np.concatenate([episode.acts for episode in episodes])[:limit]),
            torch.tensor([float(episode.rews.sum()) for episode in episodes]),
        )

    def sample(self, n_samples: int, rng: np.random.Generator) -> np.ndarray | dict[str, np.ndarray]:
        """Return randomly chosen observations as an environment gives them, all if there are fewer."""
        chosen = torch.from_numpy(rng.permutation(len(self))[:n_samples])
        return as_arrays(map_maybe_dict(lambda part: part[chosen], self.observations))

    def check_spaces(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> None:
        """Check that these are demonstrations for an environment.

        Raises:
            ValueError: If a shape or a key differs, or a discrete number is out of range.
        """
        parts, part_spaces = named_parts(self.observations), named_parts(observation_space)
        if parts.keys() != part_spaces.keys():
            raise ValueError(
                f"demonstrations have {', '.join(parts)}, expected {', '.join(part_spaces)} "
                f"for {observation_space}"
            )
        for name, values in parts.items():
            check_values(name, values, part_spaces[name])
        check_values("actions", self.actions, action_space)


def check_episodes(episodes: Iterable[TrajectoryWithRew], first: int = 0) -> None:
    """Check that episodes are not empty and all values are finite, the last observation's too.

    Args:
        episodes: In order.
        first: The number of the first transition.

    Raises:
        ValueError: If one has not.
    """
    for episode in episodes:
        if len(episode) == 0:
            raise ValueError(f"got an episode without a step at transition {first}, expected one")
        parts = named_parts(as_tensors(episode.obs)) | {"actions": as_tensor(episode.acts)}
        for name, values in (parts | {"rewards": as_tensor(episode.rews)}).items():
            check_finite(name, values, first=first)
        first += len(episode)


def check_finite(name: str, values: Tensor, place: str = "transition", first: int = 0) -> None:
    """Check that all values are finite. ``first`` is the index of the first one, for messages.

    Raises:
        ValueError: If one is not, with its number.
    """
    if not values.is_floating_point():
        return
    for start in range(0, len(values), STEPS_AT_ONCE):
        some = values[start : start + STEPS_AT_ONCE]
        finite = torch.isfinite(some.reshape(len(some), -1)).all(dim=1)
        if not finite.all():
            number = int(torch.nonzero(~finite)[0])
            raise ValueError(
                f"{name} of demonstrations must be finite numbers, "
                f"got {some[number].tolist()} at {place} {first + start + number}"
            )
