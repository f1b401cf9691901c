"""Train PPO once, at many sizes at once, so that its policy is good at each of them."""

from __future__ import annotations

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from sb3_integral import AnySizeCallback, evaluate_resize_sweep

ENV = "CartPole-v1"
SIZES = [64, 32, 16, 8]


def main() -> None:
    """Train, and evaluate at several sizes with no retraining."""
    model = PPO(
        "IntegralMlpPolicy",
        make_vec_env(ENV, n_envs=8, seed=0),
        n_steps=256,
        batch_size=256,
        gae_lambda=0.9,
        learning_rate=lambda remaining: 1e-3 * remaining,
        seed=0,
        device="cpu",
    )
    model.learn(100_000, callback=AnySizeCallback(smallest=8))

    rows = evaluate_resize_sweep(model, ENV, SIZES, n_eval_episodes=20, seed=1000)
    for size in SIZES:
        returns = [row.episode_return for row in rows if row.size == size]
        removed = model.policy.compression(size)
        print(f"N = {size}: {np.mean(returns):.1f} ± {np.std(returns):.1f}, {removed:.1f} % removed")

    model.policy.resize(16)
    model.save("any_size")  # comes back at 16, and can grow again


if __name__ == "__main__":
    main()
