"""Environments with another physics than an agent was trained with."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from sb3_integral.evaluation.environments import Env


class Physics(gym.Wrapper[Any, Any, Any, Any]):
    """Multiplies quantities of a MuJoCo model.

    Args:
        env: An environment of MuJoCo's.
        gravity: The factor on gravity.
        mass: The factor on the mass and the inertia of every body.
        friction: The factor on the sliding friction of every shape.

    Raises:
        ValueError: If the environment has no MuJoCo model.
    """

    def __init__(self, env: Env, gravity: float = 1.0, mass: float = 1.0, friction: float = 1.0) -> None:
        super().__init__(env)
        model: Any = getattr(env.unwrapped, "model", None)
        if not hasattr(model, "body_mass"):
            raise ValueError(
                f"gravity, mass and friction are those of a MuJoCo model, expected an environment "
                f"that has one, got {env}"
            )
        model.opt.gravity[:] *= gravity
        model.body_mass[:] *= mass
        model.body_inertia[:] *= mass
        model.geom_friction[:, 0] *= friction
