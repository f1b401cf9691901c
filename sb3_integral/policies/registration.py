"""The names under which the algorithms know the integral policies."""

from __future__ import annotations

import functools

from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from sb3_integral.policies.actor_critic import ACTOR_CRITIC_POLICIES
from sb3_integral.policies.integral import IntegralPolicy
from sb3_integral.policies.off_policy import DQN_POLICIES, SAC_POLICIES, TD3_POLICIES

KINDS = ("IntegralMlpPolicy", "IntegralCnnPolicy", "IntegralMultiInputPolicy")
"""The aliases, in the order in which the tables of policies name the classes."""


def integral_policies() -> dict[type[BaseAlgorithm], tuple[type[IntegralPolicy], ...]]:
    """Return the integral policies of every supported algorithm that is installed, MLP first."""
    policies: dict[type[BaseAlgorithm], tuple[type[IntegralPolicy], ...]] = {
        PPO: ACTOR_CRITIC_POLICIES,
        A2C: ACTOR_CRITIC_POLICIES,
        DQN: DQN_POLICIES,
        SAC: SAC_POLICIES,
        TD3: TD3_POLICIES,
        DDPG: TD3_POLICIES,
    }
    try:
        import sb3_contrib  # noqa: F401
    except ImportError:
        return policies
    from sb3_integral.policies.contrib import POLICIES

    return policies | POLICIES


def register_policies() -> None:
    """Add the aliases to every supported algorithm that is installed; again changes nothing."""
    for algorithm, kinds in integral_policies().items():
        algorithm.policy_aliases.update(zip(KINDS, kinds, strict=False))
    _recommend_cpu_to_integral_policies()


def _recommend_cpu_to_integral_policies() -> None:
    """Have SB3 recommend the CPU for an integral MLP policy as it does for its own.

    SB3 knows an MLP policy by its class' name. All else that SB3 does there stays.
    """
    known = getattr(OnPolicyAlgorithm, "_maybe_recommend_cpu", None)
    if known is None or hasattr(known, "__wrapped__"):
        return

    @functools.wraps(known)
    def recommend(self: OnPolicyAlgorithm, mlp_class_name: str = "ActorCriticPolicy") -> None:
        name = self.policy_class.__name__
        if issubclass(self.policy_class, IntegralPolicy) and name == f"Integral{mlp_class_name}":
            mlp_class_name = name
        known(self, mlp_class_name)

    setattr(OnPolicyAlgorithm, "_maybe_recommend_cpu", recommend)  # noqa: B010
