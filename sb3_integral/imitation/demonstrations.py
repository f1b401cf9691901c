"""Demonstrations: kept in imitation's on-disk format, read as plain tensors."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
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
from imitation.data import serialize
from imitation.data.types import TrajectoryWithRew
from torch import Tensor

from sb3_integral.atomic import atomic_folder

MANIFEST = "sb3_integral.json"
"""Holds a digest of every file of a set: Arrow does not notice a stream that was cut or changed."""

SHARD_EPISODES = 64
"""Episodes that are held in memory while more are collected or written."""

FEW_STEPS = 1 << 18
"""Steps that are looked at in one go."""


@dataclasses.dataclass(frozen=True)
class Demonstrations:
    """State-action pairs of an expert, raw as the environment gave them.

    Attributes:
        observations: Shape: (transitions, *observation).
        actions: Shape: (transitions, *action).
        returns: Sum of rewards of each episode. Shape: (episodes,).
    """

    observations: Tensor
    actions: Tensor
    returns: Tensor

    def __post_init__(self) -> None:
        """Check that every number is finite.

        Raises:
            ValueError: If there is no transition, or a number is NaN or infinite.
        """
        if len(self.observations) == 0:
            raise ValueError("got demonstrations without a transition, expected at least one")
        for name in ("observations", "actions", "returns"):
            place = "episode" if name == "returns" else "transition"
            _check_finite(name, getattr(self, name), place)

    def check_spaces(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> None:
        """Check that these are demonstrations for an environment.

        Raises:
            ValueError: If a shape differs, or a discrete action is out of range.
        """
        for name, values, space in (
            ("observations", self.observations, observation_space),
            ("actions", self.actions, action_space),
        ):
            if tuple(values.shape[1:]) != space.shape:
                raise ValueError(
                    f"{name} of demonstrations have shape {tuple(values.shape[1:])}, "
                    f"expected {space.shape} for {space}"
                )
        if isinstance(action_space, spaces.Discrete):
            low, high = int(self.actions.min()), int(self.actions.max())
            first, last = int(action_space.start), int(action_space.start + action_space.n - 1)
            if low < first or high > last:
                raise ValueError(
                    f"actions of demonstrations range from {low} to {high}, expected {first} to {last}"
                )


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
    _check_only_ours(path)
    remaining = iter(episodes)
    with atomic_folder(path, MANIFEST) as partial, no_progress_bars():
        shards = partial / "shards"
        n_episodes = n_transitions = 0
        parts: list[Path] = []
        while shard := list(itertools.islice(remaining, SHARD_EPISODES)):
            for episode in shard:
                for name, values in (("observations", episode.obs), ("actions", episode.acts)):
                    _check_finite(name, torch.from_numpy(np.asarray(values)), first=n_transitions)
                _check_finite("rewards", torch.from_numpy(episode.rews), first=n_transitions)
                n_transitions += len(episode)
            n_episodes += len(shard)
            parts.append(shards / str(len(parts)))
            serialize.save(parts[-1], shard)
            shard.clear()
        if not parts:
            raise ValueError("got no episodes, expected at least one")
        # Mapped into memory, the parts are copied without being read as a whole.
        whole = datasets.concatenate_datasets([datasets.load_from_disk(str(part)) for part in parts])
        whole.save_to_disk(str(partial))
        del whole
        shutil.rmtree(shards)
        files = {file.name: _digest(file) for file in sorted(partial.iterdir())}
        (partial / MANIFEST).write_text(
            json.dumps({"sha256": files, "episodes": n_episodes}), encoding="utf-8"
        )


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
        missing = {"obs", "acts", "rews"} - set(table.column_names)
        if missing:
            raise ValueError(f"columns {sorted(missing)} are missing")
        observations, actions, returns = _read(table.select(["obs", "acts", "rews"]))
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


def _check_only_ours(path: Path) -> None:
    """Check that an existing set can be replaced: that nobody has put other files into its folder."""
    if not (path / MANIFEST).is_file():
        return
    other = {file.name for file in path.iterdir()} - {MANIFEST, *_manifest(path)}
    if other:
        raise FileExistsError(f"{path} holds other files too: {', '.join(sorted(other))}")


def _check_manifest(path: Path) -> None:
    if not (path / MANIFEST).exists():
        return
    for name, expected in _manifest(path).items():
        file = path / name
        digest = _digest(file) if file.is_file() else None
        if digest != expected:
            raise ValueError(f"{file} was cut or changed: its SHA-256 is {digest}, expected {expected}")


def _manifest(path: Path) -> dict[str, str]:
    manifest = path / MANIFEST
    try:
        return dict(json.loads(manifest.read_text(encoding="utf-8"))["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{manifest} is damaged, expected the digests of files: {error}") from error


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _read(table: pa.Table) -> tuple[Tensor, Tensor, Tensor]:
    """Copy the observations that have an action, the actions, and the sums of rewards to tensors.

    A batch of episodes is read at a time: no more is held twice.
    """
    batches = table.to_batches()
    n_steps = sum(int(_lengths(batch.column("acts")).sum()) for batch in batches)
    observations, actions = torch.zeros(0), torch.zeros(0)
    returns: list[np.ndarray[Any, Any]] = []
    filled = 0
    for batch in batches:
        obs, obs_ends = _stacked(batch.column("obs"))
        acts, act_ends = _stacked(batch.column("acts"))
        rewards, reward_ends = _stacked(batch.column("rews"))
        # An episode has one observation more than actions: the one after its last step.
        if not np.array_equal(obs_ends, act_ends + 1 + np.arange(len(act_ends))):
            raise ValueError("episodes do not have one observation more than actions")
        if not np.array_equal(reward_ends, act_ends) or (np.diff(act_ends, prepend=0) < 1).any():
            raise ValueError("episodes do not have a reward for each action, and at least one")
        if filled == 0:
            observations = torch.from_numpy(np.empty((n_steps, *obs.shape[1:]), obs.dtype))
            actions = torch.from_numpy(np.empty((n_steps, *acts.shape[1:]), acts.dtype))
        for values, tensor in ((obs, observations), (acts, actions)):
            if values.shape[1:] != tuple(tensor.shape[1:]):
                lengths = [*values.shape[1:], *tensor.shape[1:]]
                raise ValueError(f"steps differ in shape: lengths {lengths}")
        has_action = np.ones(len(obs), dtype=bool)
        has_action[obs_ends - 1] = False
        rows = slice(filled, filled + len(acts))
        np.compress(has_action, obs, axis=0, out=observations.numpy()[rows])
        actions.numpy()[rows] = acts
        returns.append(np.add.reduceat(rewards, np.concatenate([[0], act_ends[:-1]])))
        filled = rows.stop
    return (
        observations,
        actions,
        torch.from_numpy(np.concatenate(returns)) if returns else torch.zeros(0),
    )


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
