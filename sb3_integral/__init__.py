"""Policies for Stable-Baselines3 whose size is chosen after training.

Importing this package makes ``policy="IntegralMlpPolicy"``, ``"IntegralCnnPolicy"`` and
``"IntegralMultiInputPolicy"`` known to every algorithm of SB3 and, where that is installed, of
sb3-contrib.
"""

from sb3_integral._version import __version__
from sb3_integral.evaluation import ResizeSweepCallback, evaluate_resize_sweep
from sb3_integral.policies import (
    GivenSizes,
    IntegralActorCriticPolicy,
    IntegralPolicy,
    LogUniformSizes,
    PowerLawSizes,
    RandomSizeCallback,
    ResizablePolicy,
    UniformSizes,
    register_policies,
)

register_policies()

__all__ = [
    "GivenSizes",
    "IntegralActorCriticPolicy",
    "IntegralPolicy",
    "LogUniformSizes",
    "PowerLawSizes",
    "RandomSizeCallback",
    "ResizablePolicy",
    "ResizeSweepCallback",
    "UniformSizes",
    "__version__",
    "evaluate_resize_sweep",
]
