"""The returns of exported actors: how much reward a smaller or coarser form costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.type_aliases import PolicyPredictor
from stable_baselines3.common.vec_env import VecEnv

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ActorReturns:
    """The returns of one actor.

    Attributes:
        name: Which it is.
        returns: Of each episode.
        change: Mean return less that of the first actor.
        standard_error: Of ``change``, as of two independent samples.
    """

    name: str
    returns: tuple[float, ...]
    change: float
    standard_error: float

    @property
    def mean(self) -> float:
        """The mean return."""
        return float(np.mean(self.returns))


def compare_rewards(
    actors: Mapping[str, PolicyPredictor], env: VecEnv, n_eval_episodes: int = 20, seed: int = 0
) -> list[ActorReturns]:
    """Let actors act in the same environment, from the same seed; the first one is the reference.

    Raises:
        ValueError: If there is no actor, or no episode.
    """
    if not actors or n_eval_episodes < 1:
        raise ValueError(f"expected an actor and an episode, got {len(actors)} and {n_eval_episodes}")
    earned: list[ActorReturns] = []
    for name, actor in actors.items():
        env.seed(seed)
        returns, _ = evaluate_policy(
            actor, env, n_eval_episodes, deterministic=True, return_episode_rewards=True
        )
        values = np.asarray(returns, np.float64)
        first = np.asarray(earned[0].returns) if earned else values
        error = float(np.sqrt(values.var() / len(values) + first.var() / len(first))) if earned else 0.0
        earned.append(ActorReturns(name, tuple(values), float(values.mean() - first.mean()), error))
    return earned


def observations_of(actor: PolicyPredictor, env: VecEnv, steps: int, seed: int = 0) -> Any:
    """Return what an actor observes while it acts: data to calibrate an int8 form with.

    There are at least as many samples as steps. Shape: (samples, ...), or a dictionary of such.
    """
    env.seed(seed)
    observation: Any = env.reset()
    seen: list[Any] = []
    while len(seen) * env.num_envs < steps:
        seen.append(observation)
        observation = env.step(actor.predict(observation, deterministic=True)[0])[0]
    if isinstance(observation, dict):
        return {name: np.concatenate([part[name] for part in seen]) for name in observation}
    return np.concatenate(seen)
