"""Action masks, as sb3-contrib's MaskablePPO has them: which actions an environment allows now."""

from __future__ import annotations

import inspect
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv

METHOD = "action_masks"


def takes_action_masks(policy: Any) -> bool:
    """Return whether a policy's ``predict`` can be told which actions are allowed.

    Args:
        policy: A policy of SB3 or sb3-contrib, or a :class:`~sb3_integral.ResizablePolicy`.
    """
    plain = getattr(policy, "full_policy", policy)
    # Integral policies hand all arguments of their predict on to that of the plain class.
    methods = (vars(kind)["predict"] for kind in type(plain).__mro__ if "predict" in vars(kind))
    return any(METHOD in inspect.signature(method).parameters for method in methods)


def has_action_masks(env: GymEnv) -> bool:
    """Return whether an environment, or each of a vectorised one, has ``action_masks()``."""
    if isinstance(env, VecEnv):
        return bool(env.has_attr(METHOD))
    try:
        env.get_wrapper_attr(METHOD)
    except AttributeError:
        return False
    return True


def action_masks(env: GymEnv) -> np.ndarray[Any, Any]:
    """Return which actions are allowed now.

    Args:
        env: An environment for which :func:`has_action_masks` is true.

    Returns:
        Shape: (choices,) for an environment, (environments, choices) for a vectorised one. A choice is
        an action of a Discrete space, a value of each part of a MultiDiscrete one, and each of the two
        values of a bit of a MultiBinary one.
    """
    if isinstance(env, VecEnv):
        return np.stack([np.ravel(masks) for masks in env.env_method(METHOD)])
    assert isinstance(env, gym.Env)
    return np.ravel(env.get_wrapper_attr(METHOD)())


def check_action_masks(policy: Any, env: GymEnv) -> None:
    """Check that the environment has action masks if the policy takes them.

    Raises:
        ValueError: If that is so.
    """
    if takes_action_masks(policy) and not has_action_masks(env):
        raise ValueError(
            "the policy takes action masks but the environment has no method action_masks(), expected "
            "sb3_contrib.common.wrappers.ActionMasker around it, or use_masking=False"
        )
