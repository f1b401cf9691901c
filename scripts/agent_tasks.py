"""Three small tasks with spaces that Gymnasium's own have not: MultiDiscrete, MultiBinary and Dict."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

Array = np.ndarray[Any, Any]


class Tanks(gym.Env[Array, Array]):
    """Two tanks leak and have to be held at their levels; a valve that is closed cannot be closed.

    An action closes, leaves or opens each valve by one step. Some of that is impossible at a valve's
    ends, which ``action_masks`` says.
    """

    STEPS = 3  # of a valve, from closed to open

    observation_space = spaces.Box(-2.0, 2.0, (6,), np.float32)
    action_space = spaces.MultiDiscrete([3, 3])

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Array, dict[str, Any]]:
        """Fill the tanks at random, and ask for random levels."""
        super().reset(seed=seed)
        self._levels, self._wanted = self.np_random.uniform(0.2, 1.0, (2, 2))
        self._valves = np.ones(2, dtype=int)
        return self._observation(), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Turn the valves, and let water in and out."""
        self._valves = np.clip(self._valves + np.asarray(action) - 1, 0, self.STEPS)
        inflow = 0.06 * self._valves / self.STEPS
        self._levels = np.clip(self._levels + inflow - 0.03 * self._levels, 0.0, 1.5)
        reward = 1.0 - float(np.abs(self._levels - self._wanted).sum())
        return self._observation(), reward, False, False, {}

    def action_masks(self) -> Array:
        """Return what is possible at each valve: closing, leaving, opening."""
        possible = [[valve > 0, True, valve < self.STEPS] for valve in self._valves]
        return np.concatenate(possible)

    def _observation(self) -> Array:
        valves = self._valves / self.STEPS
        return np.concatenate([self._levels - self._wanted, self._levels, valves]).astype(np.float32)


class Heaters(gym.Env[Array, Array]):
    """Three rooms in a row lose heat to each other and outside; each has a heater, on or off."""

    observation_space = spaces.Box(-5.0, 5.0, (6,), np.float32)
    action_space = spaces.MultiBinary(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Array, dict[str, Any]]:
        """Start with random temperatures, and ask for random ones."""
        super().reset(seed=seed)
        self._wanted = self.np_random.uniform(0.0, 1.0, 3)
        self._rooms = self.np_random.uniform(-1.0, 1.0, 3)
        return self._observation(), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Heat the rooms whose heater is on."""
        walls = np.pad(self._rooms, 1, constant_values=-1.0)
        losses = 0.04 * (walls[:-2] + walls[2:] - 2.0 * self._rooms)
        self._rooms = self._rooms + 0.2 * np.asarray(action) + losses
        distance = float(np.abs(self._rooms - self._wanted).sum())
        return self._observation(), 1.0 - distance - 0.02 * float(np.sum(action)), False, False, {}

    def _observation(self) -> Array:
        return np.concatenate([self._rooms - self._wanted, self._rooms]).astype(np.float32)


class Pointer(gym.Env[dict[str, Any], Array]):
    """A mass on a plane is pushed to a goal; what is known of it comes as a dictionary."""

    observation_space = spaces.Dict(
        {
            "position": spaces.Box(-5.0, 5.0, (2,), np.float32),
            "velocity": spaces.Box(-5.0, 5.0, (2,), np.float32),
            "goal": spaces.Box(-1.0, 1.0, (2,), np.float32),
            "surface": spaces.Discrete(2),
        }
    )
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Lay the mass and the goal somewhere, on a rough or a smooth surface."""
        super().reset(seed=seed)
        self._position, self._goal = self.np_random.uniform(-1.0, 1.0, (2, 2))
        self._velocity = np.zeros(2)
        self._surface = int(self.np_random.integers(2))
        return self._observation(), {}

    def step(self, action: Array) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Push the mass."""
        force = np.clip(action, -1.0, 1.0)
        friction = 0.3 if self._surface else 0.05
        self._velocity = np.clip((1.0 - friction) * self._velocity + 0.1 * force, -5.0, 5.0)
        self._position = np.clip(self._position + 0.3 * self._velocity, -5.0, 5.0)
        distance = float(np.linalg.norm(self._position - self._goal))
        return self._observation(), 1.0 - distance - 0.05 * float(force @ force), False, False, {}

    def _observation(self) -> dict[str, Any]:
        parts = {"position": self._position, "velocity": self._velocity, "goal": self._goal}
        return {name: part.astype(np.float32) for name, part in parts.items()} | {
            "surface": self._surface
        }


for name, task in (("Tanks-v0", Tanks), ("Heaters-v0", Heaters), ("Pointer-v0", Pointer)):
    gym.register(name, task, max_episode_steps=100)
