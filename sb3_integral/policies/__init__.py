"""SB3 policies whose size is chosen after training, and the wrapper that resizes plain ones.

Importing this package registers the policies with every algorithm that is installed.
"""

from sb3_integral.policies.actor_critic import (
    IntegralActorCriticCnnPolicy,
    IntegralActorCriticPolicy,
    IntegralMultiInputActorCriticPolicy,
)
from sb3_integral.policies.any_size import AnySizeCallback
from sb3_integral.policies.conversion import init_from, make_integral
from sb3_integral.policies.fine_tuning import fine_tuning_model
from sb3_integral.policies.integral import IntegralPolicy
from sb3_integral.policies.kinds import Resizable
from sb3_integral.policies.quantization import actor_bytes, quantized
from sb3_integral.policies.random_sizes import (
    GivenSizes,
    LogUniformSizes,
    PowerLawSizes,
    SizeDistribution,
    UniformSizes,
)
from sb3_integral.policies.registration import register_policies
from sb3_integral.policies.resizable import ResizablePolicy, as_resizable
from sb3_integral.policies.rollout_sizes import RandomSizeCallback
from sb3_integral.policies.standardize import StandardizeCombinedExtractor, StandardizeExtractor
from sb3_integral.policies.weight_format import WeightFormat

__all__ = [
    "AnySizeCallback",
    "GivenSizes",
    "IntegralActorCriticCnnPolicy",
    "IntegralActorCriticPolicy",
    "IntegralMultiInputActorCriticPolicy",
    "IntegralPolicy",
    "LogUniformSizes",
    "PowerLawSizes",
    "RandomSizeCallback",
    "Resizable",
    "ResizablePolicy",
    "SizeDistribution",
    "StandardizeCombinedExtractor",
    "StandardizeExtractor",
    "UniformSizes",
    "WeightFormat",
    "actor_bytes",
    "as_resizable",
    "fine_tuning_model",
    "init_from",
    "make_integral",
    "quantized",
    "register_policies",
]

register_policies()
