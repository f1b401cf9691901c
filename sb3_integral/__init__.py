"""Policies for Stable-Baselines3 whose size is chosen after training.

Importing this package makes ``policy="IntegralMlpPolicy"`` known to PPO, A2C and, where sb3-contrib
is installed, TRPO.
"""

from sb3_integral._version import __version__
from sb3_integral.evaluation import evaluate_resize_sweep
from sb3_integral.policies import (
    IntegralActorCriticPolicy,
    ResizablePolicy,
    register_policies,
)

register_policies()

__all__ = [
    "IntegralActorCriticPolicy",
    "ResizablePolicy",
    "__version__",
    "evaluate_resize_sweep",
]
