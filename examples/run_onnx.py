"""Export a policy with its normalisation as ONNX, and drive an environment with onnxruntime alone."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import onnxruntime
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_integral import AnySizeCallback
from sb3_integral.deploy import export_onnx

ENV = "CartPole-v1"


def train_and_export(path: str) -> None:
    """Train on normalised observations; the file takes raw ones."""
    venv = VecNormalize(make_vec_env(ENV, n_envs=8, seed=0))
    settings = {"n_steps": 128, "batch_size": 256, "learning_rate": 1e-3, "seed": 0, "device": "cpu"}
    model = PPO("IntegralMlpPolicy", venv, **settings)
    model.learn(40_000, callback=AnySizeCallback(smallest=16))
    export_onnx(model, path, size=16, normalize=venv)


def drive(path: str, n_episodes: int = 5) -> list[float]:
    """Return the returns of a policy that only onnxruntime knows."""
    session = onnxruntime.InferenceSession(path)
    env, returns = gym.make(ENV), []
    for seed in range(n_episodes):
        observation, _ = env.reset(seed=seed)
        total, ended = 0.0, False
        while not ended:
            batch = {"observation": observation[np.newaxis].astype(np.float32)}
            (action,) = session.run(["action"], batch)
            observation, reward, terminated, truncated, _ = env.step(int(action[0]))
            total, ended = total + float(reward), terminated or truncated
        returns.append(total)
    return returns


if __name__ == "__main__":
    train_and_export("cartpole.onnx")
    print(f"returns of the ONNX actor at N = 16: {drive('cartpole.onnx')}")
