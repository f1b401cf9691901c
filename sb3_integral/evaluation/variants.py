"""Variants of HalfCheetah-v5 with its spaces, which importing this module registers with Gymnasium.

- ``HalfCheetahBackward-v5``: running backward is what earns reward;
- ``HalfCheetahLowGravity-v5``: half the gravity;
- ``HalfCheetahIce-v5``: a third of the friction, of all geoms.

A configuration names one as ``sb3_integral.evaluation.variants:HalfCheetahIce-v5``.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import WrapperSpec

from sb3_integral.evaluation.perturbations import Physics

BACKWARD = "HalfCheetahBackward-v5"
LOW_GRAVITY = "HalfCheetahLowGravity-v5"
ICE = "HalfCheetahIce-v5"


def _physics(**factors: float) -> dict[str, Any]:
    entry_point = f"{Physics.__module__}:{Physics.__name__}"
    return {"additional_wrappers": (WrapperSpec(Physics.__name__, entry_point, factors),)}


VARIANTS: dict[str, dict[str, Any]] = {
    BACKWARD: {"kwargs": {"forward_reward_weight": -1.0}},
    LOW_GRAVITY: _physics(gravity=0.5),
    ICE: _physics(friction=1 / 3),
}
"""What each is registered with, beside the environment itself and its time limit."""

for _name, _settings in VARIANTS.items():
    gym.register(
        _name,
        "gymnasium.envs.mujoco.half_cheetah_v5:HalfCheetahEnv",
        max_episode_steps=1000,
        **_settings,
    )
