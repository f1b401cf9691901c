"""The integral kinds of the policies of SB3's off-policy algorithms."""

from __future__ import annotations

from stable_baselines3.dqn import policies as dqn
from stable_baselines3.sac import policies as sac
from stable_baselines3.td3 import policies as td3

from sb3_integral.policies.integral import IntegralPolicy


class IntegralDQNPolicy(IntegralPolicy, dqn.DQNPolicy):
    """DQN's ``MlpPolicy``; the Q-network is the actor."""


class IntegralDQNCnnPolicy(IntegralPolicy, dqn.CnnPolicy):
    """DQN's ``CnnPolicy``; the Q-network is the actor."""


class IntegralDQNMultiInputPolicy(IntegralPolicy, dqn.MultiInputPolicy):
    """DQN's ``MultiInputPolicy``; the Q-network is the actor."""


class IntegralSACPolicy(IntegralPolicy, sac.SACPolicy):
    """SAC's ``MlpPolicy``; mean and standard deviation read the same axis."""


class IntegralSACCnnPolicy(IntegralPolicy, sac.CnnPolicy):
    """SAC's ``CnnPolicy``."""


class IntegralSACMultiInputPolicy(IntegralPolicy, sac.MultiInputPolicy):
    """SAC's ``MultiInputPolicy``."""


class IntegralTD3Policy(IntegralPolicy, td3.TD3Policy):
    """The ``MlpPolicy`` of TD3 and DDPG."""


class IntegralTD3CnnPolicy(IntegralPolicy, td3.CnnPolicy):
    """The ``CnnPolicy`` of TD3 and DDPG."""


class IntegralTD3MultiInputPolicy(IntegralPolicy, td3.MultiInputPolicy):
    """The ``MultiInputPolicy`` of TD3 and DDPG."""


DQN_POLICIES = (IntegralDQNPolicy, IntegralDQNCnnPolicy, IntegralDQNMultiInputPolicy)
SAC_POLICIES = (IntegralSACPolicy, IntegralSACCnnPolicy, IntegralSACMultiInputPolicy)
TD3_POLICIES = (IntegralTD3Policy, IntegralTD3CnnPolicy, IntegralTD3MultiInputPolicy)
