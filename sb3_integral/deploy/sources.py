"""Policies from the files that people have: SB3's zips, rl-zoo3's run folders, safe files."""

from __future__ import annotations

import copy
import json
import zipfile
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.save_util import load_from_pkl
from stable_baselines3.common.vec_env import VecNormalize

from sb3_integral.actor import Source
from sb3_integral.policies import Resizable
from sb3_integral.policies.kinds import policy_of_sb3
from sb3_integral.policies.registration import integral_policies
from sb3_integral.policies.saved_files import RECORD, environment_of, model_file, statistics_file
from sb3_integral.policies.serialization import load_policy


@dataclass(frozen=True)
class Loaded:
    """What was in a file.

    Attributes:
        source: A model, or a policy alone.
        normalize: The statistics of its observations; None if it acts on raw ones.
        env_id: The environment it was trained for, where its folder says so.
        files: What was read.
    """

    source: Source
    normalize: VecNormalize | None = None
    env_id: str | None = None
    files: tuple[Path, ...] = ()

    @property
    def policy(self) -> BasePolicy:
        """The policy of the source, at its size."""
        return policy_of_sb3(self.source)

    def with_policy(self, policy: Resizable) -> Loaded:
        """Return the same with another policy, or with a wrapper's ordinary policy of its size."""
        ordinary = policy_of_sb3(policy)
        if not isinstance(self.source, BaseAlgorithm):
            return replace(self, source=ordinary)
        model = copy.copy(self.source)
        model.policy = ordinary
        return replace(self, source=model)


def algorithms() -> dict[str, type[BaseAlgorithm]]:
    """Return the supported algorithms that are installed, by the names that rl-zoo3 gives them."""
    named = {kind.__name__.lower(): kind for kind in integral_policies()}
    return {
        {"maskableppo": "ppo_mask", "recurrentppo": "ppo_lstm"}.get(k, k): v for k, v in named.items()
    }


def read_source(path: Path, algorithm: str | None = None, statistics: Path | None = None) -> Loaded:
    """Read a policy from a file or a folder.

    A file that ends in ``.zip`` is SB3's: reading it unpickles, which can run code, so read only files
    and folders that you trust. Any other file is read as a safe one, or refused.

    Args:
        path: A zip of SB3, a safe file, or a folder; see :func:`~sb3_integral.policies.model_file`.
        algorithm: Whose model a zip holds, by rl-zoo3's name; found out by default.
        statistics: ``vecnormalize.pkl``, for a zip; looked for in rl-zoo3's places by default.

    Raises:
        ValueError: If there is no such file, or it is not what its name says.
    """
    file = model_file(path)
    env_id = environment_of(file)
    files = (file, file.with_name(RECORD))
    if file.suffix != ".zip":
        if statistics is not None:
            raise ValueError(f"{file} holds its statistics if it has any, got {statistics} beside")
        if zipfile.is_zipfile(file):
            raise ValueError(
                f"{file} is a zip under another name, perhaps a model of SB3; those are pickles, which "
                f"can run code: rename it to {file.name}.zip if it is yours"
            )
        return Loaded(load_policy(file), None, env_id, files)
    name = algorithm or detect_algorithm(file)
    known = algorithms()
    if name not in known:
        others = "" if find_spec("sb3_contrib") else "; `pip install sb3-contrib` brings others"
        raise ValueError(f"unknown algorithm {name!r}; known are {', '.join(sorted(known))}{others}")
    try:
        model = known[name].load(file, device="cpu")
    except Exception as error:  # unpickling can raise anything
        raise ValueError(f"{file} is no model of {known[name].__name__}: {error}") from error
    place = statistics or statistics_file(file)
    if place is None:
        return Loaded(model, None, env_id, files)
    normalize = _for_stacked_frames(_statistics(place), model.observation_space)
    return Loaded(model, normalize, env_id, (*files, place))


def _for_stacked_frames(normalize: VecNormalize, space: spaces.Space[Any] | None) -> VecNormalize:
    """Make statistics of one frame those of a stack of frames, if the policy observes a stack.

    rl-zoo3 stacks frames behind VecNormalize. A stack of raw frames is then normalised frame by frame.
    """
    rms: Any = normalize.obs_rms
    frame, wanted = getattr(rms, "mean", np.zeros(())).shape, getattr(space, "shape", None)
    if not frame or not wanted or frame[:-1] != wanted[:-1] or frame == wanted or wanted[-1] % frame[-1]:
        return normalize
    repeats = (1,) * (len(frame) - 1) + (wanted[-1] // frame[-1],)
    for name in ("mean", "var"):
        setattr(rms, name, np.tile(getattr(rms, name), repeats))
    return normalize


def detect_algorithm(path: Path) -> str:
    """Find out whose model a zip holds, by the names of what is in it; nothing is unpickled.

    Raises:
        ValueError: If it is no zip of SB3, or of an algorithm that is not known.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            data = json.loads(archive.read("data"))
            is_recurrent = b"lstm_actor" in archive.read("policy.pth")
        module = str(data["policy_class"].get("__module__", ""))
    except (
        *(OSError, zipfile.BadZipFile, LookupError, ValueError, AttributeError, TypeError),
        *(RecursionError, NotImplementedError, RuntimeError),
    ) as error:
        raise ValueError(f"{path} is not a model that SB3 saved: {error!r}") from error
    if is_recurrent:  # of which its data say nothing
        return "ppo_lstm"
    for name, attribute, where in TRAITS:
        if attribute in data and where in module:
            return name
    raise ValueError(f"{path} is a model of an unknown algorithm, expected one to be named")


TRAITS = (
    ("ars", "n_delta", ""),
    ("trpo", "cg_max_steps", ""),
    ("ppo_mask", "clip_range", "maskable"),
    ("ppo_mask", "clip_range", "sb3_integral.policies.contrib"),
    ("ppo", "clip_range", ""),
    ("a2c", "gae_lambda", ""),
    ("tqc", "top_quantiles_to_drop_per_net", ""),
    ("qrdqn", "exploration_fraction", "qrdqn"),
    ("qrdqn", "exploration_fraction", "sb3_integral.policies.contrib"),
    ("dqn", "exploration_fraction", ""),
    ("td3", "target_policy_noise", ""),
    ("crossq", "target_entropy", "crossq"),
    ("crossq", "target_entropy", "sb3_integral.policies.contrib"),
    ("sac", "target_entropy", ""),
)
"""An algorithm, what only it and those below it keep, and part of its policies' module's name."""


def _statistics(path: Path) -> VecNormalize:
    try:
        with path.open("rb") as file:
            loaded = load_from_pkl(file)
    except Exception as error:  # unpickling can raise anything
        raise ValueError(f"{path} is not a file of VecNormalize: {error!r}") from error
    if not isinstance(loaded, VecNormalize):
        raise ValueError(
            f"{path} holds an object of class {type(loaded).__name__}, expected VecNormalize"
        )
    return loaded
