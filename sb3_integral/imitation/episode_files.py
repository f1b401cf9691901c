"""Episodes in imitation's on-disk format: written a few at a time, read as plain tensors."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import torch
from imitation.data.huggingface_utils import trajectories_to_dict
from imitation.data.types import DictObs, TrajectoryWithRew

from sb3_integral.atomic import atomic_folder
from sb3_integral.file_list import file_digest, listed_files
from sb3_integral.imitation.demonstrations import Demonstrations, check_episodes

MANIFEST = "sb3_integral.json"
"""Holds a digest of every file of a set: Arrow does not notice a stream that was cut or changed."""

SHARD_EPISODES = 64
"""Episodes that are held in memory while more are collected or written."""

KEY_PREFIX = "obs."
"""How the name of a column begins that holds one key of dictionaries of observations."""


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
            datasets.Dataset.from_dict(_columns(shard)).save_to_disk(str(parts[-1]))
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
    is_listed = (path / MANIFEST).exists()  # imitation lists nothing
    for name, expected in (listed_files(path, MANIFEST) if is_listed else {}).items():
        if (digest := file_digest(path / name)) != expected:
            raise ValueError(
                f"{path / name} was cut or changed: its SHA-256 is {digest}, expected {expected}"
            )
    try:
        columns, returns = _read(datasets.load_from_disk(str(path)).data.table)
    except (OSError, LookupError, ValueError, TypeError, AttributeError, pa.ArrowException) as error:
        raise ValueError(
            f"{path} is no complete set of demonstrations, expected a folder "
            f"that imitation.data.serialize.save wrote: {error}"
        ) from error
    actions = columns.pop("acts")
    keys = {name.removeprefix(KEY_PREFIX): values for name, values in columns.items() if name != "obs"}
    return Demonstrations(keys or columns["obs"], actions, returns)


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


def _columns(episodes: list[TrajectoryWithRew]) -> dict[str, Any]:
    """Return episodes as imitation keeps them; dictionaries, which it does not keep, as columns."""
    observations: list[Any] = [episode.obs for episode in episodes]
    if not any(isinstance(each, DictObs) for each in observations):
        return dict(trajectories_to_dict(episodes))
    all_keys = {tuple(each.keys()) if isinstance(each, DictObs) else () for each in observations}
    if len({frozenset(keys) for keys in all_keys}) != 1:
        raise ValueError(f"observations of episodes must have the same keys, got {sorted(all_keys)}")
    columns = trajectories_to_dict([replace(e, obs=np.zeros(len(e) + 1)) for e in episodes])
    keys = {f"{KEY_PREFIX}{key}": [each.get(key) for each in observations] for key in all_keys.pop()}
    return keys | {name: values for name, values in columns.items() if name != "obs"}


def _read(table: pa.Table) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Copy the actions, the observations that have one, and the sums of rewards to tensors.

    The file is mapped into memory, and what is copied from it is held once.
    """
    of_keys = [name for name in table.column_names if name.startswith(KEY_PREFIX)]
    names = [*(of_keys or ["obs"]), "acts", "rews"]
    missing = set(names) - set(table.column_names)
    if missing:
        raise ValueError(f"columns {sorted(missing)} are missing")
    episodes = {name: [_steps(episode) for episode in table[name]] for name in names}
    lengths = [len(steps) for steps in episodes["acts"]]
    rewards = episodes.pop("rews")
    if [len(steps) for steps in rewards] != lengths or not all(lengths or [0]):
        raise ValueError("episodes do not have a reward for each action, and at least one")
    for name in of_keys or ["obs"]:
        if [len(steps) - 1 for steps in episodes[name]] != lengths:
            raise ValueError("episodes do not have one observation more than actions")
        episodes[name] = [steps[:-1] for steps in episodes[name]]
    columns = {name: torch.from_numpy(np.concatenate(steps)) for name, steps in episodes.items()}
    return columns, torch.from_numpy(np.array([steps.sum() for steps in rewards]))


def _steps(episode: pa.ListScalar) -> np.ndarray[Any, Any]:
    """Return an episode of a column as an array that shares its memory. Shape: (steps, ...)."""
    values, shape = episode.values, [len(episode)]
    while pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        lengths = np.unique(values.value_lengths())
        if len(lengths) != 1:
            raise ValueError(f"steps differ in shape: lengths {lengths.tolist()}")
        shape.append(int(lengths[0]))
        values = values.flatten()
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(shape)
