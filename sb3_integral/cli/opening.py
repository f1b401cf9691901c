"""Policies for the command line: from what SB3, rl-zoo3 and this library save."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
from safetensors import SafetensorError
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sb3_integral.imitation import load_student
from sb3_integral.policies import IntegralPolicy, Resizable, ResizablePolicy

STATISTICS = "vecnormalize.pkl"
"""The file in which rl-zoo3 keeps the statistics of a normalised environment."""


class OpenedPolicy(NamedTuple):
    """A policy from a file.

    Attributes:
        policy: It, resizable.
        env_id: The environment it was trained for, where that is known.
        statistics: rl-zoo3's statistics of the observations it was trained on, if it was on normalised.
    """

    policy: Resizable
    env_id: str | None
    statistics: Path | None

    def normalized(self, venv: VecEnv) -> VecEnv:
        """Return an environment that gives what the policy was trained on; reads a pickle."""
        if self.statistics is None:
            return venv
        normalize = VecNormalize.load(str(self.statistics), venv)
        normalize.training = False
        normalize.norm_reward = False
        return normalize


def open_policy(path: Path, env_id: str | None, method: str) -> OpenedPolicy:
    """Open a policy.

    Zip files of SB3 and the statistics of rl-zoo3 are pickles: reading one can run code. Students'
    files (safetensors) run none.

    Args:
        path: A zip file that SB3 saved, a run's folder of rl-zoo3, or a student's file.
        env_id: The environment; a student's file needs it.
        method: How a plain policy is resized.

    Raises:
        ValueError: If it is none of these, or the method is unknown.
    """
    statistics = None
    if path.is_dir():
        path, statistics = _run_of_rl_zoo(path)
        env_id = env_id or path.stem
    if not path.is_file():
        raise ValueError(f"{path} does not exist, expected a file of a policy or a folder of rl-zoo3")
    policy = _policy_of_zip(path) if zipfile.is_zipfile(path) else _student(path, env_id)
    resizable = policy if isinstance(policy, IntegralPolicy) else ResizablePolicy(policy, method)
    return OpenedPolicy(resizable, env_id, statistics)


def _run_of_rl_zoo(folder: Path) -> tuple[Path, Path | None]:
    # rl-zoo3 keeps a run's settings in a folder that is named as its model.
    found = sorted(file for file in folder.glob("*.zip") if file.with_suffix("").is_dir())
    if len(found) != 1:
        raise ValueError(
            f"{folder} holds {len(found)} models, expected one <environment>.zip beside its folder "
            f"<environment>, as rl-zoo3 saves it"
        )
    statistics = found[0].with_suffix("") / STATISTICS
    return found[0], statistics if statistics.is_file() else None


def _policy_of_zip(path: Path) -> BasePolicy:
    """Build the policy of any algorithm; the algorithm itself is not needed."""
    try:
        data, params, _ = load_from_zip_file(path, device="cpu")
        if data is None:
            raise KeyError("data")
        arguments: dict[str, Any] = dict(data["policy_kwargs"])
        if data.get("use_sde"):
            arguments["use_sde"] = True
        policy: BasePolicy = data["policy_class"](
            data["observation_space"], data["action_space"], _no_learning_rate, **arguments
        )
        state: Any = params["policy"]
        policy.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError, json.JSONDecodeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a whole model that SB3 saved: {error!r}") from error
    policy.set_training_mode(False)
    return policy


def _student(path: Path, env_id: str | None) -> BasePolicy:
    if env_id is None:
        raise ValueError(f"{path} does not say its environment, expected --env <environment>")
    try:
        env = gym.make(env_id)
    except gym.error.Error as error:
        raise ValueError(f"unknown environment {env_id!r}: {error}") from error
    with env:
        spaces = env.observation_space, env.action_space
    try:
        return load_student(path, *spaces)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no policy's file: {error}") from error


def _no_learning_rate(progress_remaining: float) -> float:
    return 0.0
