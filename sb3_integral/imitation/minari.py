"""Minari data sets as demonstrations: read into imitation's trajectories, and written from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from imitation.data.types import (
    DictObs,
    TrajectoryWithRew,
    maybe_unwrap_dictobs,
    maybe_wrap_in_dictobs,
)

from sb3_integral.atomic import atomic_folder
from sb3_integral.imitation.demonstrations import Demonstrations, check_episodes
from sb3_integral.imitation.observations import NUMBERS, named_parts
from sb3_integral.requirements import require

require("minari", "minari", "h5py", "PIL")

from minari import MinariDataset, __version__, load_dataset  # noqa: E402
from minari.data_collector import EpisodeBuffer  # noqa: E402
from minari.dataset.minari_dataset import parse_dataset_id  # noqa: E402
from minari.dataset.minari_storage import MinariStorage  # noqa: E402
from minari.namespace import create_namespace, list_local_namespaces, validate_namespace  # noqa: E402
from minari.storage.datasets_root_dir import get_dataset_path  # noqa: E402

AUTHORS = ("author", "author_email")
ABOUT = ("algorithm_name", *AUTHORS, "code_permalink", "description")
"""The metadata that a data set can have."""


def read_minari(dataset: MinariDataset | str) -> list[TrajectoryWithRew]:
    """Read a Minari data set as trajectories, which imitation's trainers and ``save_episodes`` take.

    A trajectory is terminal if the environment terminated it, not if a time limit cut it. Infos are
    left out. Nothing in the data set is executed.

    Args:
        dataset: The data set, or the id of one that is on this machine already.

    Raises:
        ValueError: If there is no such data set, if it is damaged, if it holds no episode, if its
            observations or actions are not arrays, or if an episode's lengths or numbers are wrong.
    """
    opened = _open(dataset) if isinstance(dataset, str) else dataset
    _check_spaces(opened.observation_space, opened.action_space)
    try:
        episodes = list(opened.iterate_episodes())
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"the Minari data set {opened.id!r} is damaged: {error}") from error
    trajectories = []
    for number, episode in enumerate(episodes):
        steps = len(episode.rewards)
        parts = named_parts(episode.observations).values()
        lengths = [*(len(part) - 1 for part in parts), len(episode.actions)]
        lengths += [len(episode.terminations), len(episode.truncations)]
        if steps == 0 or set(lengths) != {steps}:
            raise ValueError(
                f"episode {number} of the Minari data set {opened.id!r} has {lengths[0] + 1} "
                f"observations, {len(episode.actions)} actions and {steps} rewards, expected as many "
                f"rewards as actions, one observation more, and at least one action"
            )
        trajectories.append(
            TrajectoryWithRew(
                obs=maybe_wrap_in_dictobs(episode.observations),
                acts=episode.actions,
                infos=None,
                terminal=bool(episode.terminations[-1]),
                rews=episode.rewards,
            )
        )
    _check_numbers(trajectories)
    return trajectories


def write_minari(
    trajectories: Sequence[TrajectoryWithRew],
    dataset_id: str,
    env: gym.Env[Any, Any] | str,
    **about: str,
) -> MinariDataset:
    """Write trajectories as a Minari data set, atomically, where Minari keeps its data sets.

    Every number comes back as it was, those of images too. Infos are left out. A trajectory that is not
    terminal is marked as truncated, for Minari has no unfinished episodes.

    Args:
        trajectories: What to write, in order.
        dataset_id: Its id, such as ``CartPole/expert-v0``.
        env: The environment that they come from, or its id.
        **about: Metadata by the names that Minari has for them: those of :data:`ABOUT`.

    Returns:
        The data set, read from disk.

    Raises:
        ValueError: If the id is malformed or taken, if there is no trajectory, if observations or
            actions are not arrays or do not fit the environment's spaces, or if a number is NaN or
            infinite. Nothing is written then.
        TypeError: If there is no metadata of a name.
    """
    namespace = _parse(dataset_id)
    if not about.keys() <= set(ABOUT):
        raise TypeError(f"expected metadata named {', '.join(ABOUT)}, got {', '.join(about)}")
    folder = get_dataset_path(dataset_id)
    if folder.exists():
        raise ValueError(f"there is a Minari data set {dataset_id!r} already, expected a new id")
    made = _make(env) if isinstance(env, str) else env
    observation_space, action_space, env_spec = made.observation_space, made.action_space, made.spec
    if isinstance(env, str):
        made.close()
    _check_spaces(observation_space, action_space)
    _check_numbers(trajectories).check_spaces(observation_space, action_space)
    sets = {name: {text} if name in AUTHORS else text for name, text in about.items()}
    with atomic_folder(folder, marker=None) as partial:
        storage = MinariStorage.new(
            partial / "data",
            observation_space=observation_space,
            action_space=action_space,
            env_spec=env_spec,
            jpeg_encoding=False,  # Minari's default for images loses detail
        )
        storage.update_metadata({"dataset_id": dataset_id, "minari_version": __version__} | sets)
        storage.update_episodes(map(_buffer, trajectories))
    if namespace is not None and namespace not in list_local_namespaces():
        create_namespace(namespace)
    return MinariDataset(folder / "data")


def _open(dataset_id: str) -> MinariDataset:
    _parse(dataset_id)
    data = get_dataset_path(dataset_id) / "data"
    if not data.is_dir():
        raise ValueError(
            f"there is no Minari data set {dataset_id!r} here, expected one in {data.parent}; "
            f"`minari download {dataset_id}` fetches a public one"
        )
    try:
        metadata = MinariStorage.read_raw_metadata(data)
        if not {"observation_space", "action_space"} <= metadata.keys():
            # Minari would make the environment that the file names, and so run what the file names.
            raise ValueError("its metadata does not say what its spaces are")
        return load_dataset(dataset_id)
    except (OSError, KeyError, ValueError, TypeError, AssertionError) as error:
        raise ValueError(f"the Minari data set {dataset_id!r} is damaged: {error}") from error


def _parse(dataset_id: str) -> str | None:
    """Return the namespace in an id."""
    try:
        namespace: str | None = parse_dataset_id(dataset_id)[0]
        if namespace is not None:
            validate_namespace(namespace)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{dataset_id!r} is no id of a Minari data set, expected (namespace/)name-v0"
        ) from error
    return namespace


def _make(env_id: str) -> gym.Env[Any, Any]:
    try:
        return gym.make(env_id)
    except gym.error.Error as error:
        raise ValueError(f"env must be an environment or the id of one, got {env_id!r}") from error


def _check_spaces(observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
    for space in (*named_parts(observation_space).values(), action_space):
        if not isinstance(space, NUMBERS):
            raise ValueError(
                f"observations and actions must be arrays, or dictionaries of observations that are, "
                f"got the space {space}"
            )
    if isinstance(observation_space, spaces.Dict) and any("/" in key for key in observation_space):
        raise ValueError(f"Minari takes no keys with a slash, got {list(observation_space)}")


def _check_numbers(trajectories: Sequence[TrajectoryWithRew]) -> Demonstrations:
    """Return the trajectories as demonstrations, which have to be finite numbers."""
    if not trajectories:
        raise ValueError("got no episode, expected at least one")
    kind = type(trajectories[0].obs)
    for number, trajectory in enumerate(trajectories):
        for name, wanted in (("obs", kind), ("acts", np.ndarray), ("rews", np.ndarray)):
            values = getattr(trajectory, name, None)
            if not isinstance(values, wanted) or not isinstance(values, np.ndarray | DictObs):
                got = type(values).__name__
                raise ValueError(f"{name} of episode {number} must be an array, got {got}")
    check_episodes(trajectories)
    return Demonstrations.from_episodes(trajectories)


def _buffer(trajectory: TrajectoryWithRew) -> EpisodeBuffer:
    ends = np.zeros((2, len(trajectory)), dtype=bool)
    terminations, truncations = ends
    terminations[-1], truncations[-1] = trajectory.terminal, not trajectory.terminal
    return EpisodeBuffer(
        observations=maybe_unwrap_dictobs(trajectory.obs),
        actions=trajectory.acts,
        rewards=trajectory.rews,
        terminations=terminations,
        truncations=truncations,
    )
