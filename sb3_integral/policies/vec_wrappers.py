"""The wrappers of a vectorised environment, and equal ones around another environment."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from stable_baselines3.common.vec_env import (
    VecCheckNan,
    VecEnv,
    VecEnvWrapper,
    VecExtractDictObs,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
    VecVideoRecorder,
)

WrapperMaker = Callable[[VecEnv], VecEnv]

OBSERVERS = (VecMonitor, VecCheckNan, VecVideoRecorder)
"""Wrappers that change nothing."""


def vec_wrappers(venv: VecEnv | None) -> list[VecEnvWrapper]:
    """Return the wrappers of a vectorised environment, the innermost first."""
    wrappers = []
    while isinstance(venv, VecEnvWrapper):
        wrappers.append(venv)
        venv = venv.venv
    return wrappers[::-1]


def wrapper_maker(wrapper: VecEnvWrapper) -> WrapperMaker | None:
    """Return a function that puts an equal wrapper around another environment.

    A ``VecNormalize`` shares the statistics, which it does not update, and leaves rewards as they are.

    Returns:
        None for a wrapper of another class than SB3's.
    """
    if isinstance(wrapper, VecNormalize):
        return partial(_normalized, wrapper)
    if type(wrapper) is VecFrameStack:
        stacked = wrapper.stacked_obs
        parts = getattr(stacked, "sub_stacked_observations", {"": stacked})
        order = {name: "first" if one.channels_first else "last" for name, one in parts.items()}
        return partial(VecFrameStack, n_stack=stacked.n_stack, channels_order=order.get("", order))
    if type(wrapper) is VecTransposeImage:
        return partial(VecTransposeImage, skip=wrapper.skip)
    if type(wrapper) is VecExtractDictObs:
        return partial(VecExtractDictObs, key=wrapper.key)
    return None


def _normalized(trained: VecNormalize, venv: VecEnv) -> VecNormalize:
    normalized = type(trained).__new__(type(trained))
    vars(normalized).update(vars(trained), venv=None)
    normalized.set_venv(venv)
    normalized.training = normalized.norm_reward = False
    return normalized
