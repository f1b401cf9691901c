"""An environment of your own with a Dict observation: train, resize, and leave with plain SB3."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

import sb3_integral  # makes the policies known


class Reach(gym.Env[dict[str, np.ndarray], np.ndarray]):
    """A point on a plane that is to reach a goal, in 50 steps at most."""

    observation_space = spaces.Dict(
        {"position": spaces.Box(-2.0, 2.0, (2,)), "goal": spaces.Box(-1.0, 1.0, (2,))}
    )
    action_space = spaces.Box(-1.0, 1.0, (2,))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Draw a start and a goal."""
        super().reset(seed=seed)
        self.position, self.goal = self.np_random.uniform(-1.0, 1.0, (2, 2)).astype(np.float32)
        self.steps = 0
        return {"position": self.position, "goal": self.goal}, {}

    def step(self, action: np.ndarray) -> Any:
        """Move; the reward is minus the distance that is left."""
        self.position = np.clip(self.position + 0.1 * action, -2.0, 2.0).astype(np.float32)
        self.steps += 1
        distance = float(np.linalg.norm(self.goal - self.position))
        observation = {"position": self.position, "goal": self.goal}
        return observation, -distance, distance < 0.05, self.steps == 50, {}


def main() -> None:
    """Train, evaluate at several sizes, save a plain policy."""
    venv = make_vec_env(Reach, n_envs=8, seed=0)
    settings = {"n_steps": 128, "batch_size": 256, "learning_rate": 1e-3, "seed": 0, "device": "cpu"}
    model = PPO("IntegralMultiInputPolicy", venv, **settings)
    sizes = [64, 32, 16]
    model.learn(40_000, callback=sb3_integral.AnySizeCallback(smallest=16))
    for size in sizes:
        rows = sb3_integral.evaluate_resize_sweep(model, Reach, [size], n_eval_episodes=20, seed=1)
        print(f"N = {size}: {np.mean([row.episode_return for row in rows]):.2f}")
    model.policy.discretize(16).save("reach_16.pt")  # SB3's MultiInputActorCriticPolicy loads it


if __name__ == "__main__":
    main()
