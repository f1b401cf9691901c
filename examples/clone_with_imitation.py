"""Behavioural cloning with imitation's own trainer and demonstrations, into a student of any size."""

from __future__ import annotations

import numpy as np
from imitation.data.rollout import make_sample_until, rollout
from imitation.data.wrappers import RolloutInfoWrapper
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_integral.imitation import Demonstrations, StudentArchitecture, make_trainer

ENV = "CartPole-v1"


def main() -> None:
    """Roll out an expert with imitation, clone it with imitation's BC, and evaluate with SB3."""
    venv = make_vec_env(ENV, n_envs=8, seed=0, wrapper_class=RolloutInfoWrapper)
    settings = {"n_steps": 128, "batch_size": 256, "learning_rate": 1e-3, "gae_lambda": 0.9}
    expert = PPO("MlpPolicy", venv, seed=0, device="cpu", **settings).learn(30_000)
    episodes = rollout(expert, venv, make_sample_until(min_episodes=40), np.random.default_rng(0))

    architecture = StudentArchitecture("integral", hidden_sizes=(100, 100))
    student = architecture.build(venv.observation_space, venv.action_space, seed=0)

    # An imitation.algorithms.bc.BC; its loss sees every batch at several sizes.
    trainer = make_trainer(student, Demonstrations.from_episodes(episodes), learning_rate=1e-3)
    trainer.train(n_epochs=15, progress_bar=False)

    for size in (100, 50, 20, 10):
        mean, deviation = evaluate_policy(student.resize(size), venv, n_eval_episodes=16)
        print(f"N = {size}: {mean:.1f} ± {deviation:.1f}")


if __name__ == "__main__":
    main()
