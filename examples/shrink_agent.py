"""Make a trained SB3 agent small: clone it into an integral student, find the smallest size, export it.

Your own agent: replace the training by ``PPO.load("my_agent.zip")``, and name your environment.
"""

from __future__ import annotations

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from sb3_integral.deploy import export_c, export_onnx, smallest_size
from sb3_integral.imitation import Demonstrations, StudentArchitecture, clone, collect_episodes

ENV = "CartPole-v1"
RETURNS = (0, 500)  # the least and the most that an episode can bring
TOLERANCE = 10  # how much mean return may be lost


def train_agent() -> PPO:
    """Train the agent that is to become smaller."""
    venv = make_vec_env(ENV, n_envs=8, seed=0)
    settings = {
        "n_steps": 128,
        "batch_size": 256,
        "n_epochs": 10,
        "learning_rate": 1e-3,
        "gae_lambda": 0.9,
    }
    return PPO("MlpPolicy", venv, seed=0, device="cpu", **settings).learn(40_000)


def main() -> None:
    """Train, clone, search, export."""
    agent = train_agent()

    # The agent plays, and what it did is what the student learns, at many sizes at once.
    episodes = collect_episodes(agent, agent.get_env(), 30, np.random.default_rng(0))
    demonstrations = Demonstrations.from_episodes(episodes)
    architecture = StudentArchitecture("integral", hidden_sizes=(64, 64))
    student = architecture.build(agent.observation_space, agent.action_space, seed=0)
    clone(student, demonstrations)

    # The smallest size that loses no more than the tolerance, by a sequential test.
    found = smallest_size(student, ENV, TOLERANCE, return_range=RETURNS, max_episodes=60)
    for trial in (found.full, *found.trials):
        print(f"{trial.sizes}: mean return {trial.mean_return:.1f} in {trial.episodes} episodes")
    student.resize(found.sizes)
    print(f"{student.sizes} neurons, {student.compression():.1f} % of the actor's parameters removed")

    # Files that run without this library.
    for path in (export_c(student, "actor.h"), export_onnx(student, "actor.onnx")):
        print(f"{path}: {path.stat().st_size:,} bytes")
    student.discretize()  # an ordinary SB3 policy of that size


if __name__ == "__main__":
    main()
