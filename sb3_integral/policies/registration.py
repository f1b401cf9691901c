"""The names under which the algorithms know the integral policies."""

from __future__ import annotations

import functools

from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from sb3_integral.policies import actor_critic, off_policy
from sb3_integral.policies.integral import IntegralPolicy

KINDS = ("IntegralMlpPolicy", "IntegralCnnPolicy", "IntegralMultiInputPolicy")
"""The aliases, in the order in which the tables below name the classes."""

Kinds = tuple[type[IntegralPolicy], ...]

ACTOR_CRITIC: Kinds = (
    actor_critic.IntegralActorCriticPolicy,
    actor_critic.IntegralActorCriticCnnPolicy,
    actor_critic.IntegralMultiInputActorCriticPolicy,
)


def integral_policies() -> dict[type[BaseAlgorithm], Kinds]:
    """Return the integral policies of every supported algorithm that is installed, MLP first."""
    td3: Kinds = (
        off_policy.IntegralTD3Policy,
        off_policy.IntegralTD3CnnPolicy,
        off_policy.IntegralTD3MultiInputPolicy,
    )
    policies: dict[type[BaseAlgorithm], Kinds] = {
        PPO: ACTOR_CRITIC,
        A2C: ACTOR_CRITIC,
        DQN: (
            off_policy.IntegralDQNPolicy,
            off_policy.IntegralDQNCnnPolicy,
            off_policy.IntegralDQNMultiInputPolicy,
        ),
        SAC: (
            off_policy.IntegralSACPolicy,
            off_policy.IntegralSACCnnPolicy,
            off_policy.IntegralSACMultiInputPolicy,
        ),
        TD3: td3,
        DDPG: td3,
    }
    try:
        import sb3_contrib
    except ImportError:
        return policies
    from sb3_integral.policies import contrib

    return policies | {
        sb3_contrib.TRPO: ACTOR_CRITIC,
        sb3_contrib.MaskablePPO: (
            contrib.IntegralMaskableActorCriticPolicy,
            contrib.IntegralMaskableActorCriticCnnPolicy,
            contrib.IntegralMaskableMultiInputActorCriticPolicy,
        ),
        sb3_contrib.RecurrentPPO: (
            contrib.IntegralRecurrentActorCriticPolicy,
            contrib.IntegralRecurrentActorCriticCnnPolicy,
            contrib.IntegralRecurrentMultiInputActorCriticPolicy,
        ),
        sb3_contrib.QRDQN: (
            contrib.IntegralQRDQNPolicy,
            contrib.IntegralQRDQNCnnPolicy,
            contrib.IntegralQRDQNMultiInputPolicy,
        ),
        sb3_contrib.TQC: (
            contrib.IntegralTQCPolicy,
            contrib.IntegralTQCCnnPolicy,
            contrib.IntegralTQCMultiInputPolicy,
        ),
        sb3_contrib.CrossQ: (contrib.IntegralCrossQPolicy,),
        sb3_contrib.ARS: (contrib.IntegralARSPolicy,),
    }


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
