"""Demonstrations: rolled out by imitation, kept in its on-disk format, read as plain tensors."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import torch
from gymnasium import spaces
from imitation.data import rollout, serialize
from imitation.data.types import TrajectoryWithRew
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from sb3_integral.atomic import atomic_path
from sb3_integral.imitation.success import SuccessCriterion, any_episode

MANIFEST = "sb3_integral.json"
"""Holds a digest of every file of a set: Arrow does not notice a stream that was cut or changed."""


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
            values: Tensor = getattr(self, name)
            finite = torch.isfinite(values.reshape(len(values), -1)).all(dim=1)
            if not finite.all():
                first = int(torch.nonzero(~finite)[0])
                place = "episode" if name == "returns" else "transition"
                raise ValueError(
                    f"{name} of demonstrations must be finite numbers, "
                    f"got {values[first].tolist()} at {place} {first}"
                )

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


def collect_episodes(
    policy: rollout.AnyPolicy,
    venv: VecEnv,
    n_episodes: int,
    rng: np.random.Generator,
    success: SuccessCriterion = any_episode,
    max_attempts_per_success: float = 20.0,
    on_episode_end: Callable[[int], None] | None = None,
) -> list[TrajectoryWithRew]:
    """Roll out an expert until enough episodes were successful.

    Args:
        policy: What imitation's ``rollout`` takes: an SB3 policy or algorithm, or a callable.
        venv: Gives raw observations; seed it before.
        n_episodes: Successful episodes wanted.
        rng: Shuffles the episodes.
        success: Which episodes count.
        max_attempts_per_success: Give up when so many times ``n_episodes`` were tried.
        on_episode_end: Called with the number of successes so far, whenever episodes end.

    Returns:
        ``n_episodes`` episodes without their infos.

    Raises:
        RuntimeError: If the expert succeeds too rarely.
    """
    counted = successes = 0

    def enough(episodes: Sequence[TrajectoryWithRew]) -> bool:
        nonlocal counted, successes
        if len(episodes) > counted:
            successes += sum(map(success, episodes[counted:]))
            counted = len(episodes)
            if on_episode_end is not None:
                on_episode_end(min(successes, n_episodes))
        if counted >= max_attempts_per_success * n_episodes and successes < n_episodes:
            raise RuntimeError(
                f"only {successes} of {counted} episodes of the expert were successful, "
                f"expected {n_episodes}; train the expert longer or relax the criterion"
            )
        return successes >= n_episodes

    episodes = rollout.generate_trajectories(policy, venv, enough, rng)
    kept = [episode for episode in episodes if success(episode)][:n_episodes]
    return [dataclasses.replace(episode, infos=None) for episode in kept]


def save_episodes(episodes: Sequence[TrajectoryWithRew], path: Path) -> None:
    """Write episodes as imitation does (``imitation.data.serialize.load`` reads them), atomically.

    Raises:
        ValueError: If there are none, or a number in them is NaN or infinite; nothing is written.
    """
    _to_demonstrations(episodes)
    with atomic_path(path) as partial, no_progress_bars():
        serialize.save(partial, episodes)
        files = {file.name: _digest(file) for file in sorted(partial.iterdir())}
        (partial / MANIFEST).write_text(json.dumps({"sha256": files, "episodes": len(episodes)}))


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
        observations, obs_ends = _stacked(table.column("obs"))
        actions, act_ends = _stacked(table.column("acts"))
        rewards, reward_ends = _stacked(table.column("rews"))
        # An episode has one observation more than actions: the one after its last step.
        if not np.array_equal(obs_ends, act_ends + 1 + np.arange(len(act_ends))):
            raise ValueError("episodes do not have one observation more than actions")
        if not np.array_equal(reward_ends, act_ends) or (np.diff(act_ends, prepend=0) < 1).any():
            raise ValueError("episodes do not have a reward for each action, and at least one")
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
    starts = np.concatenate([[0], act_ends[:-1]])
    return Demonstrations(
        observations=torch.from_numpy(np.delete(observations, obs_ends - 1, axis=0)),
        actions=torch.from_numpy(actions.copy()),
        returns=torch.from_numpy(np.add.reduceat(rewards, starts)),
    )


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


def _to_demonstrations(episodes: Sequence[TrajectoryWithRew]) -> Demonstrations:
    if not episodes:
        raise ValueError("got no episodes, expected at least one")
    return Demonstrations(
        observations=torch.from_numpy(np.concatenate([np.asarray(e.obs) for e in episodes])),
        actions=torch.from_numpy(np.concatenate([e.acts for e in episodes])),
        returns=torch.tensor([float(e.rews.sum()) for e in episodes]),
    )


def _check_manifest(path: Path) -> None:
    manifest = path / MANIFEST
    if not manifest.exists():
        return
    try:
        digests = dict(json.loads(manifest.read_text())["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{manifest} is damaged, expected the digests of files: {error}") from error
    for name, expected in digests.items():
        file = path / name
        digest = _digest(file) if file.is_file() else None
        if digest != expected:
            raise ValueError(f"{file} was cut or changed: its SHA-256 is {digest}, expected {expected}")


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _stacked(column: pa.ChunkedArray) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return an episode column as one array over all steps, and where each episode ends in it."""
    array = column.combine_chunks()
    ends = np.cumsum(np.asarray(array.value_lengths()))
    steps = array.flatten()
    shape: list[int] = []
    while pa.types.is_list(steps.type) or pa.types.is_large_list(steps.type):
        lengths = np.unique(np.asarray(steps.value_lengths()))
        if len(lengths) != 1:
            raise ValueError(f"steps differ in shape: lengths {lengths.tolist()}")
        shape.append(int(lengths[0]))
        steps = steps.flatten()
    values = steps.to_numpy(zero_copy_only=False)
    return values.reshape(-1, *shape), ends
