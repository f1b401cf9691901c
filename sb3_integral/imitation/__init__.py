"""Imitation learning with students that can be resized, on imitation's rollout and trainers.

Needs imitation, which is not a requirement of this library; importing this package without it says
how to install it.
"""

from sb3_integral.requirements import require

require("imitation", "imitation", "datasets", "safetensors")

from sb3_integral.imitation.batches import TensorBatches  # noqa: E402
from sb3_integral.imitation.cloning import (  # noqa: E402
    DEFAULT_SMALL_SIZES,
    clone,
    default_sizes,
    make_trainer,
)
from sb3_integral.imitation.collecting import collect_episodes, stream_episodes  # noqa: E402
from sb3_integral.imitation.dagger import Aggregated, dagger  # noqa: E402
from sb3_integral.imitation.demonstrations import (  # noqa: E402
    Demonstrations,
    load_demonstrations,
    save_episodes,
)
from sb3_integral.imitation.distribution import expert_distribution  # noqa: E402
from sb3_integral.imitation.integral_losses import (  # noqa: E402
    AtRandomSizes,
    Penalized,
    Sandwich,
)
from sb3_integral.imitation.losses import (  # noqa: E402
    LOSSES,
    ClippedSquaredError,
    CrossEntropy,
    DistributionDivergence,
    LossCalculator,
    MeanSquaredError,
    clipped_loss,
    distribution_loss,
    paper_loss,
)
from sb3_integral.imitation.students import (  # noqa: E402
    ACTIVATIONS,
    StudentArchitecture,
)
from sb3_integral.imitation.success import (  # noqa: E402
    SUCCESS_CRITERIA,
    MinReturn,
    SuccessCriterion,
)
from sb3_integral.policies.random_sizes import (  # noqa: E402
    GivenSizes,
    LogUniformSizes,
    PowerLawSizes,
    SizeDistribution,
    UniformSizes,
)

__all__ = [
    "ACTIVATIONS",
    "DEFAULT_SMALL_SIZES",
    "LOSSES",
    "SUCCESS_CRITERIA",
    "Aggregated",
    "AtRandomSizes",
    "ClippedSquaredError",
    "CrossEntropy",
    "Demonstrations",
    "DistributionDivergence",
    "GivenSizes",
    "LogUniformSizes",
    "LossCalculator",
    "MeanSquaredError",
    "MinReturn",
    "Penalized",
    "PowerLawSizes",
    "Sandwich",
    "SizeDistribution",
    "StudentArchitecture",
    "SuccessCriterion",
    "TensorBatches",
    "UniformSizes",
    "clipped_loss",
    "clone",
    "collect_episodes",
    "dagger",
    "default_sizes",
    "distribution_loss",
    "expert_distribution",
    "load_demonstrations",
    "make_trainer",
    "paper_loss",
    "save_episodes",
    "stream_episodes",
]
