"""The spaces of an environment."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env


def spaces_of(env_id: str) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
    """Return the observation and the action space, as SB3 wraps the environment."""
    venv = make_vec_env(env_id)
    try:
        return venv.observation_space, venv.action_space
    finally:
        venv.close()


def check_student_spaces(observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
    """Check that a student can be cloned between these spaces.

    Raises:
        ValueError: If one of them is not supported.
    """
    if not isinstance(observation_space, spaces.Box):
        raise ValueError(
            f"students take Box observations, got {type(observation_space).__name__} observations"
        )
    if not isinstance(
        action_space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary
    ):
        raise ValueError(f"students do not take {type(action_space).__name__} actions")
