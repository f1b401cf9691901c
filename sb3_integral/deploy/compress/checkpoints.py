"""The folder of a compression, in which everything finished is kept, so that it can be resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy

from sb3_integral.atomic import atomic_file, check_folder_target
from sb3_integral.imitation import Demonstrations, load_demonstrations, save_episodes
from sb3_integral.policies.kinds import is_actor_critic
from sb3_integral.policies.serialization import load_policy, save_policy

SETTINGS = "compression.json"
"""Holds what the folder was made with. A folder without it is not ours, and has to be empty."""

RETURNS = "returns.json"
"""Holds the returns of all episodes that were played for the comparison."""


class Checkpoints:
    """A folder that goes on where an interrupted compression stopped.

    Args:
        folder: The folder; created if it is not there.
        settings: Everything that the result depends on.

    Raises:
        ValueError: If the folder was made with other settings.
        OSError: If something else is there.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        file = folder / SETTINGS
        if not file.is_file():
            check_folder_target(folder, None)
        if file.is_file():
            try:
                before = dict(json.loads(file.read_text(encoding="utf-8")))
            except (ValueError, TypeError, RecursionError) as error:
                raise ValueError(
                    f"{file} was not written by a compression, expected another folder"
                ) from error
            differing = sorted(
                key for key in {*before, *settings} if before.get(key) != settings.get(key)
            )
            if differing:
                raise ValueError(
                    f"{folder} was made with another {' and '.join(differing)}, expected the same to go "
                    f"on, or another folder"
                )
        else:
            with atomic_file(file) as partial:
                partial.write_text(json.dumps(settings, indent=2), encoding="utf-8")
        self._returns = folder / RETURNS
        self.played: dict[str, list[float]] = {}
        if self._returns.is_file():
            self.played = json.loads(self._returns.read_text(encoding="utf-8"))

    def demonstrations(self, name: str, collect: Callable[[], list[Any]]) -> Demonstrations:
        """Return labelled episodes, collected now if they are not there yet."""
        path = self.folder / name
        if not path.is_dir():
            save_episodes(collect(), path)
        return load_demonstrations(path)

    def student(self, name: str, train: Callable[[], ActorCriticPolicy]) -> ActorCriticPolicy:
        """Return a student, trained now if it is not there yet."""
        path = self.folder / f"{name}.safetensors"
        if not path.is_file():
            save_policy(train(), path)
        policy = load_policy(path)
        assert is_actor_critic(policy)
        return policy

    def returns(
        self, name: str, count: int, play: Callable[[int, int], list[float]], batch: int
    ) -> list[float]:
        """Return the returns of the first episodes; those that were not played yet are played now.

        Args:
            name: Of whom.
            count: How many episodes.
            play: Plays the episodes from one number to another.
            batch: Episodes are played in multiples of this.
        """
        known = self.played.setdefault(name, [])
        while len(known) < count:
            known += play(len(known), len(known) + batch)
            with atomic_file(self._returns) as partial:
                partial.write_text(json.dumps(self.played), encoding="utf-8")
        return known[:count]


def digest(policy: BasePolicy) -> str:
    """Return a digest of a policy's parameters."""
    found = hashlib.sha256()
    for name, value in sorted(policy.state_dict().items()):
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
