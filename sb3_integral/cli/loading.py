"""Policies and environments for the command line, from what SB3, rl-zoo3 and this library save."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecNormalize

from sb3_integral.deploy import read_source
from sb3_integral.evaluation import evaluation_env
from sb3_integral.evaluation.environments import env_factory
from sb3_integral.policies import Resizable, as_resizable
from sb3_integral.resize import DEFAULT_METHOD


@dataclass(frozen=True)
class LoadedPolicy:
    """A resizable policy from a file, and its environment and statistics where it has some."""

    policy: Resizable
    env_id: str | None
    normalize: VecNormalize | None

    def environment(self, n_envs: int, seed: int) -> VecEnv:
        """Make environments with the observations of training; see :func:`make_environment`."""
        return make_environment(self.policy, self.env_id, self.normalize, n_envs, seed)


def make_environment(
    policy: Resizable | BasePolicy,
    env_id: str | None,
    normalize: VecNormalize | None = None,
    n_envs: int = 1,
    seed: int = 0,
) -> VecEnv:
    """Make environments for a policy: with stacked frames if it observes several.

    Observations are raw without statistics. The seed is that of the first environment.

    Raises:
        ValueError: If no environment is known, it can't be made, or it is not the policy's.
    """
    if env_id is None:
        raise ValueError("the file does not say its environment, expected --env <environment>")
    venv = make_vec_env(env_factory(env_id), n_envs, seed=seed)
    frames = _stacked_frames(policy, venv)
    if normalize is not None:
        venv = _normalized(venv, normalize)
    if frames > 1:
        venv = VecFrameStack(venv, frames)
    return cast("VecEnv", evaluation_env(cast(Resizable, policy), venv))


def load_resizable(path: Path, env_id: str | None, method: str | None = None) -> LoadedPolicy:
    """Load a policy from a zip file that SB3 saved, a safe file, or the folder of a run.

    Zip files of SB3 and the statistics of rl-zoo3 are pickles: reading one can run code. Safe files
    run none. A folder names its environment; a plain policy is resized by the method, or the best one.

    Raises:
        ValueError: If it is none of these, or the method is unknown.
    """
    loaded = read_source(path)
    policy = as_resizable(loaded.source, method or DEFAULT_METHOD)
    return LoadedPolicy(policy, env_id or loaded.env_id, loaded.normalize)


def _stacked_frames(policy: Resizable | BasePolicy, venv: VecEnv) -> int:
    """Return how many observations of an environment are stacked in one of the policy's."""
    own, wanted = venv.observation_space.shape, policy.observation_space.shape
    if not own or not wanted or own[:-1] != wanted[:-1] or wanted[-1] % own[-1]:
        return 1
    return wanted[-1] // own[-1]


def _normalized(venv: VecEnv, trained: VecNormalize) -> VecNormalize:
    normalize = VecNormalize(
        venv,
        training=False,
        norm_obs=trained.norm_obs,
        norm_reward=False,
        clip_obs=trained.clip_obs,
        epsilon=trained.epsilon,
        norm_obs_keys=trained.norm_obs_keys,
    )
    rms: Any = copy.deepcopy(trained.obs_rms) if trained.norm_obs else None
    shape = venv.observation_space.shape
    if rms is not None and shape and not isinstance(rms, dict):  # of the first of stacked frames
        rms.mean, rms.var = rms.mean[..., : shape[-1]], rms.var[..., : shape[-1]]
    if rms is not None:
        normalize.obs_rms = rms
    return normalize
