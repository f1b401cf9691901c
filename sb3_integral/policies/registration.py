"""The names under which SB3's algorithms know the integral policies."""

from __future__ import annotations

from stable_baselines3 import A2C, PPO
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from sb3_integral.policies.actor_critic import IntegralActorCriticPolicy


def register_policies() -> None:
    """Add the aliases to every supported algorithm that is installed; again changes nothing."""
    for algorithm in _actor_critic_algorithms():
        algorithm.policy_aliases["IntegralMlpPolicy"] = IntegralActorCriticPolicy


def _actor_critic_algorithms() -> list[type[OnPolicyAlgorithm]]:
    algorithms: list[type[OnPolicyAlgorithm]] = [PPO, A2C]
    try:
        from sb3_contrib import TRPO
    except ImportError:
        return algorithms
    return [*algorithms, TRPO]
