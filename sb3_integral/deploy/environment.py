"""Environments for a policy that was read from a file, wrapped as it was trained."""

from __future__ import annotations

import copy
from typing import Any, cast

from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecNormalize

from sb3_integral.evaluation import EnvFactory, evaluation_env
from sb3_integral.evaluation.environments import env_factory
from sb3_integral.policies import Resizable


def make_environment(
    policy: Resizable | BasePolicy,
    env: str | EnvFactory | None,
    normalize: VecNormalize | None = None,
    n_envs: int = 1,
    seed: int = 0,
) -> VecEnv:
    """Make environments for a policy: with stacked frames if it observes several.

    Args:
        policy: What will act.
        env: The environment, as ``gymnasium.make`` takes it, or a function that makes one.
        normalize: The statistics of the policy's observations; without them they are raw.
        n_envs: How many are stepped as one batch.
        seed: Seeds the first.

    Raises:
        ValueError: If no environment is known, it can't be made, or it is not the policy's.
    """
    if env is None:
        raise ValueError("the file does not say its environment, expected --env <environment>")
    venv = make_vec_env(env_factory(env), n_envs, seed=seed)
    frames = _stacked_frames(policy, venv)
    if normalize is not None:
        venv = _normalized(venv, normalize)
    if frames > 1:
        venv = VecFrameStack(venv, frames)
    return cast("VecEnv", evaluation_env(cast(Resizable, policy), venv))


def _stacked_frames(policy: Resizable | BasePolicy, venv: VecEnv) -> int:
    """Return how many observations of an environment are one of the policy's, side by side."""
    frame, wanted = venv.observation_space.shape, policy.observation_space.shape
    if not frame or not wanted or frame[:-1] != wanted[:-1] or wanted[-1] % frame[-1]:
        return 1
    return wanted[-1] // frame[-1]


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
