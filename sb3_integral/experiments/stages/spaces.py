"""The spaces of an environment."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium import spaces

Spaces = tuple[spaces.Space[Any], spaces.Space[Any]]
"""Of observations, and of actions."""


def spaces_of(env_id: str) -> Spaces:
    """Return the observation and the action space."""
    environment = gym.make(env_id)
    try:
        return environment.observation_space, environment.action_space
    finally:
        environment.close()
