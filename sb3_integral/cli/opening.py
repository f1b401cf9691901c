"""Policies for the command line, resizable: from what SB3, rl-zoo3 and this library save."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sb3_integral.deploy import read_source
from sb3_integral.policies import Resizable, as_resizable
from sb3_integral.resize import DEFAULT_METHOD


class OpenedPolicy(NamedTuple):
    """A policy from a file.

    Attributes:
        policy: It, resizable.
        env_id: The environment it was trained for, where that is known.
        normalize: The statistics of the observations it was trained on, if it was on normalised.
    """

    policy: Resizable
    env_id: str | None
    normalize: VecNormalize | None

    def normalized(self, venv: VecEnv) -> VecEnv:
        """Return an environment that gives what the policy was trained on."""
        if self.normalize is None:
            return venv
        normalize = VecNormalize(venv, training=False, norm_reward=False)
        normalize.obs_rms = self.normalize.obs_rms
        normalize.clip_obs, normalize.epsilon = self.normalize.clip_obs, self.normalize.epsilon
        return normalize


def open_policy(path: Path, env_id: str | None, method: str | None = None) -> OpenedPolicy:
    """Open a policy.

    Zip files of SB3 and the statistics of rl-zoo3 are pickles: reading one can run code. Safe files
    and students' files run none.

    Args:
        path: A zip file that SB3 saved, a run's folder of rl-zoo3, a safe file or a student's.
        env_id: The environment; a student's file needs it.
        method: How a plain policy is resized; None is ``DEFAULT_METHOD`` of ``sb3_integral.resize``.

    Raises:
        ValueError: If it is none of these, or the method is unknown.
    """
    observation_space, action_space = (None, None) if env_id is None else _spaces(env_id)
    loaded = read_source(path, observation_space=observation_space, action_space=action_space)
    if path.is_dir() and env_id is None:  # rl-zoo3 names a model after its environment
        env_id = next(file.stem for file in path.glob("*.zip") if file.with_suffix("").is_dir())
    return OpenedPolicy(as_resizable(loaded.source, method or DEFAULT_METHOD), env_id, loaded.normalize)


def _spaces(env_id: str) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
    try:
        env = gym.make(env_id)
    except gym.error.Error as error:
        raise ValueError(f"unknown environment {env_id!r}: {error}") from error
    env.close()
    return env.observation_space, env.action_space
