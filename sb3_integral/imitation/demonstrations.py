"""Demonstrations: kept in imitation's on-disk format, read as plain tensors."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import torch
from gymnasium import spaces
from imitation.data.huggingface_utils import trajectories_to_dataset, trajectories_to_dict
from imitation.data.types import (
    DictObs,
    TrajectoryWithRew,
    concatenate_maybe_dictobs,
    maybe_unwrap_dictobs,
)
from torch import Tensor

from sb3_integral.atomic import atomic_folder
from sb3_integral.file_list import file_digest, listed_files
from sb3_integral.imitation.observations import (
    Observations,
    as_arrays,
    as_tensor,
    as_tensors,
    check_values,
    map_observations,
    named_parts,
)

MANIFEST = "sb3_integral.json"
"""Holds a digest of every file of a set: Arrow does not notice a stream that was cut or changed."""

SHARD_EPISODES = 64
"""Episodes that are held in memory while more are collected or written."""

KEY_PREFIX = "obs."
"""How the name of a column begins that holds one key of dictionaries of observations."""

FEW_STEPS = 1 << 18
"""Steps that are looked at in one go."""


@dataclasses.dataclass(frozen=True)
class Demonstrations:
    """State-action pairs of an expert, raw as the environment gave them.

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
            _check_finite(name, values)
        _check_finite("actions", self.actions)
        _check_finite("returns", self.returns, "episode")

    def __len__(self) -> int:
        """Number of transitions."""
        return len(self.actions)

    @classmethod
    def of(cls, episodes: Iterable[TrajectoryWithRew], limit: int | None = None) -> Demonstrations:
        """Return the transitions of episodes.

        Args:
            episodes: In order.
            limit: Take no more transitions than the first so many.

        Raises:
            ValueError: If there are none, or a number is NaN or infinite.
        """
        episodes = list(episodes)
        if not episodes:
            raise ValueError("got no episodes, expected at least one")
        parts: list[Any] = [episode.obs[:-1] for episode in episodes]
        observations = as_tensors(concatenate_maybe_dictobs(parts))
        return cls(
            map_observations(observations, lambda part: part[:limit]),
            torch.as_tensor(np.concatenate([episode.acts for episode in episodes])[:limit]),
            torch.tensor([float(episode.rews.sum()) for episode in episodes]),
        )

    def sample(self, n_samples: int, rng: np.random.Generator) -> np.ndarray | dict[str, np.ndarray]:
        """Return randomly chosen observations as an environment gives them, all if there are fewer."""
        chosen = torch.from_numpy(rng.permutation(len(self))[:n_samples])
        return as_arrays(map_observations(self.observations, lambda part: part[chosen]))

    def check_spaces(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> None:
        """Check that these are demonstrations for an environment.

        Raises:
            ValueError: If a shape or a key differs, or a discrete number is out of range.
        """
        parts = named_parts(self.observations)
        all_spaces: dict[str, spaces.Space[Any]] = {"observations": observation_space}
        if isinstance(observation_space, spaces.Dict):
            all_spaces = {f"observations[{key!r}]": part for key, part in observation_space.items()}
        if parts.keys() != all_spaces.keys():
            raise ValueError(
                f"demonstrations have {', '.join(parts)}, expected {', '.join(all_spaces)} "
                f"for {observation_space}"
            )
        for name, values in parts.items():
            check_values(name, values, all_spaces[name])
        check_values("actions", self.actions, action_space)


def save_episodes(episodes: Iterable[TrajectoryWithRew], path: Path) -> None:
    """Write episodes as imitation does (``imitation.data.serialize.load`` reads them), atomically.

    They are written as they come, :data:`SHARD_EPISODES` at a time, so that an iterator over any number
    of episodes, such as :func:`~sb3_integral.imitation.stream_episodes`, takes little memory.

    Args:
        episodes: What to write, in order.
        path: The folder.

    Raises:
        ValueError: If there are none, or a number in them is NaN or infinite; nothing is written.
        OSError: If a folder stands there that this function did not write, or that holds other files.
    """
    remaining = iter(episodes)
    with atomic_folder(path, MANIFEST) as partial, no_progress_bars():
        shards = partial / "shards"
        n_transitions = 0
        parts: list[Path] = []
        while shard := list(itertools.islice(remaining, SHARD_EPISODES)):
            check_episodes(shard, n_transitions)
            n_transitions += sum(map(len, shard))
            parts.append(shards / str(len(parts)))
            _as_dataset(shard).save_to_disk(str(parts[-1]))
            shard.clear()
        if not parts:
            raise ValueError("got no episodes, expected at least one")
        # Mapped into memory, the parts are copied without being read as a whole.
        whole = datasets.concatenate_datasets([datasets.load_from_disk(str(part)) for part in parts])
        whole.save_to_disk(str(partial))
        del whole
        shutil.rmtree(shards)


def load_demonstrations(path: Path) -> Demonstrations:
    """Read a folder of episodes that this library or imitation wrote.

    Infos are never decoded: imitation keeps them in a form that can run code when it is read.

    Args:
        path: The folder.

    Raises:
        ValueError: If it is not such a folder, if a file in it was cut or is damaged, or if a
            number is NaN or infinite.
    """
    if not path.is_dir():
        raise ValueError(f"{path} is no folder, expected one of episodes saved by imitation")
    _check_manifest(path)
    try:
        table = datasets.load_from_disk(str(path)).data.table
        of_keys = [name for name in table.column_names if name.startswith(KEY_PREFIX)]
        wanted = [*(of_keys or ["obs"]), "acts", "rews"]
        missing = set(wanted) - set(table.column_names)
        if missing:
            raise ValueError(f"columns {sorted(missing)} are missing")
        columns, returns = _read(table.select(wanted))
        actions = columns.pop("acts")
        observations = (
            {name.removeprefix(KEY_PREFIX): columns[name] for name in of_keys}
            if of_keys
            else columns["obs"]
        )
    except (
        OSError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        pa.ArrowException,
    ) as error:
        raise ValueError(
            f"{path} is no complete set of demonstrations, expected a folder "
            f"that imitation.data.serialize.save wrote: {error}"
        ) from error
    return Demonstrations(observations, actions, returns)


def check_episodes(episodes: Iterable[TrajectoryWithRew], first: int = 0) -> None:
    """Check that every episode has steps, and finite numbers, that at its end included.

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
            _check_finite(name, values, first=first)
        first += len(episode)


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Have Hugging Face's ``datasets`` write no progress bar for every episode inside a block."""
    disabled = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not disabled:
            datasets.enable_progress_bars()


def _check_finite(name: str, values: Tensor, place: str = "transition", first: int = 0) -> None:
    """Check that all values are finite; ``first`` is the number of the first of them."""
    if not values.is_floating_point():
        return
    for start in range(0, len(values), FEW_STEPS):  # what is computed is as large as what is looked at
        some = values[start : start + FEW_STEPS]
        finite = torch.isfinite(some.reshape(len(some), -1)).all(dim=1)
        if not finite.all():
            number = int(torch.nonzero(~finite)[0])
            raise ValueError(
                f"{name} of demonstrations must be finite numbers, "
                f"got {some[number].tolist()} at {place} {first + start + number}"
            )


def _as_dataset(episodes: list[TrajectoryWithRew]) -> datasets.Dataset:
    """Return episodes as imitation keeps them; dictionaries, which it does not keep, as columns."""
    if not any(isinstance(episode.obs, DictObs) for episode in episodes):
        return trajectories_to_dataset(episodes)
    all_parts = [named_parts(as_tensors(episode.obs), "") for episode in episodes]
    if any(parts.keys() != all_parts[0].keys() for parts in all_parts):
        keys = " and ".join(sorted({str(list(parts)) for parts in all_parts}))
        raise ValueError(f"observations of episodes must have the same keys, got {keys}")
    placeholders = [dataclasses.replace(episode, obs=np.zeros(len(episode) + 1)) for episode in episodes]
    columns = trajectories_to_dict(placeholders)
    del columns["obs"]
    observations = [maybe_unwrap_dictobs(episode.obs) for episode in episodes]
    of_keys = {f"{KEY_PREFIX}{key}": [part[key] for part in observations] for key in observations[0]}
    return datasets.Dataset.from_dict(of_keys | columns)


def _check_manifest(path: Path) -> None:
    if not (path / MANIFEST).exists():
        return
    for name, expected in listed_files(path, MANIFEST).items():
        file = path / name
        digest = file_digest(file)
        if digest != expected:
            raise ValueError(f"{file} was cut or changed: its SHA-256 is {digest}, expected {expected}")


def _read(table: pa.Table) -> tuple[dict[str, Tensor], Tensor]:
    """Copy the actions, the observations that have one, and the sums of rewards to tensors.

    A batch of episodes is read at a time: no more is held twice.
    """
    batches = table.to_batches()
    n_steps = sum(int(_lengths(batch.column("acts")).sum()) for batch in batches)
    columns = {name: torch.zeros(0) for name in table.column_names if name != "rews"}
    returns: list[np.ndarray[Any, Any]] = []
    filled = 0
    for batch in batches:
        stacked = {name: _stacked(batch.column(name)) for name in table.column_names}
        rewards, reward_ends = stacked.pop("rews")
        act_ends = stacked["acts"][1]
        if not np.array_equal(reward_ends, act_ends) or (np.diff(act_ends, prepend=0) < 1).any():
            raise ValueError("episodes do not have a reward for each action, and at least one")
        rows = slice(filled, filled + len(rewards))
        for name, (values, ends) in stacked.items():
            if filled == 0:
                columns[name] = torch.from_numpy(np.empty((n_steps, *values.shape[1:]), values.dtype))
            if values.shape[1:] != tuple(columns[name].shape[1:]):
                lengths = [*values.shape[1:], *columns[name].shape[1:]]
                raise ValueError(f"steps differ in shape: lengths {lengths}")
            target = columns[name].numpy()[rows]
            if name == "acts":
                target[...] = values
                continue
            # An episode has one observation more than actions: the one after its last step.
            if not np.array_equal(ends, act_ends + 1 + np.arange(len(act_ends))):
                raise ValueError("episodes do not have one observation more than actions")
            has_action = np.ones(len(values), dtype=bool)
            has_action[ends - 1] = False
            np.compress(has_action, values, axis=0, out=target)
        returns.append(np.add.reduceat(rewards, np.concatenate([[0], act_ends[:-1]])))
        filled = rows.stop
    return columns, torch.from_numpy(np.concatenate(returns)) if returns else torch.zeros(0)


def _lengths(episodes: pa.Array) -> np.ndarray[Any, Any]:
    return np.asarray(episodes.value_lengths())


def _stacked(episodes: pa.Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return a column of episodes as one array over all steps, and where each episode ends in it."""
    ends = np.cumsum(_lengths(episodes))
    steps = episodes.flatten()
    shape: list[int] = []
    while pa.types.is_list(steps.type) or pa.types.is_large_list(steps.type):
        lengths = np.unique(_lengths(steps))
        if len(lengths) != 1:
            raise ValueError(f"steps differ in shape: lengths {lengths.tolist()}")
        shape.append(int(lengths[0]))
        steps = steps.flatten()
    values = steps.to_numpy(zero_copy_only=False)
    return values.reshape(-1, *shape), ends
