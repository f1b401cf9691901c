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
