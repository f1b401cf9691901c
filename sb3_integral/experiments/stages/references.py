"""The stage that evaluates what returns are compared with: the expert and a random policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv

from sb3_integral.experiments.config.schema import ExperimentConfig
from sb3_integral.experiments.engine.stage import Report, Stage
from sb3_integral.experiments.files import REFERENCES
from sb3_integral.experiments.stages.expert import PACKAGES, load_expert
from sb3_integral.experiments.stages.seeds import derived_seed


def references_stage(config: ExperimentConfig, expert: Stage) -> Stage:
    """Declare the stage."""
    settings, n_envs = config.expert, config.evaluation.n_envs
    return Stage(
        "references",
        evaluate_references,
        {
            "algo": settings.algo,
            "episodes": settings.n_eval_episodes,
            "n_envs": n_envs,
            "seed": settings.seed,
        },
        {"expert_folder": expert},
        expert.environment,
        PACKAGES,
        amount=settings.n_eval_episodes,
    )


def evaluate_references(
    folder: Path,
    report: Report,
    expert_folder: Path,
    *,
    env_id: str,
    algo: str,
    episodes: int,
    n_envs: int,
    seed: int,
) -> None:
    """Evaluate the expert, and a policy that acts at random, for comparison."""
    venv = make_vec_env(env_id, n_envs, seed=derived_seed(seed, "references"))
    venv.action_space.seed(derived_seed(seed, "random actions"))
    policies = {"expert": load_expert(expert_folder, env_id, algo, venv), "random": _RandomPolicy(venv)}
    returns = {}
    for name, policy in policies.items():
        earned, _ = evaluate_policy(policy, venv, episodes, return_episode_rewards=True)  # type: ignore[arg-type]
        returns[name] = {
            "mean": float(np.mean(earned)),
            "std": float(np.std(earned)),
            "episodes": episodes,
        }
        report(len(returns) / 2)
    (folder / REFERENCES).write_text(json.dumps(returns, indent=2) + "\n", encoding="utf-8")


class _RandomPolicy:
    """A policy that samples from the action space, which the caller seeds."""

    def __init__(self, venv: VecEnv) -> None:
        self._venv = venv

    def predict(self, *_: Any, **__: Any) -> tuple[np.ndarray[Any, Any], None]:
        space = self._venv.action_space
        return np.stack([space.sample() for _ in range(self._venv.num_envs)]), None
