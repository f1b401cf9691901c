"""Imitation learning with students that can be resized, on imitation's rollout and trainers.

Needs imitation, which is not a requirement of this library; importing this package without it says
how to install it.
"""

from sb3_integral.requirements import require

require("imitation", "imitation", "datasets", "safetensors")

from sb3_integral.imitation.batches import TensorBatches  # noqa: E402
from sb3_integral.imitation.cloning import CloningConfig, clone, make_trainer  # noqa: E402
from sb3_integral.imitation.collecting import collect_episodes, stream_episodes  # noqa: E402
from sb3_integral.imitation.dagger import Aggregated, dagger  # noqa: E402
from sb3_integral.imitation.demonstrations import Demonstrations  # noqa: E402
from sb3_integral.imitation.distribution import expert_distribution  # noqa: E402
from sb3_integral.imitation.episode_files import load_demonstrations, save_episodes  # noqa: E402
from sb3_integral.imitation.integral_losses import LossAtSizes, Penalized  # noqa: E402
from sb3_integral.imitation.losses import (  # noqa: E402
    LOSSES,
    BinaryCrossEntropy,
    ClippedSquaredError,
    CrossEntropy,
    DistributionDivergence,
    LossCalculator,
    MeanSquaredError,
    clipped_loss,
    distribution_loss,
    paper_loss,
)
from sb3_integral.imitation.observations import check_student_spaces  # noqa: E402
from sb3_integral.imitation.quantization_aware import QuantizationAware  # noqa: E402
from sb3_integral.imitation.students import (  # noqa: E402
    ACTIVATIONS,
    StudentArchitecture,
)
from sb3_integral.imitation.success import (  # noqa: E402
    SUCCESS_CRITERIA,
    MinReturn,
    SuccessCriterion,
)
from sb3_integral.imitation.training_sizes import (  # noqa: E402
    FullSize,
    RandomSizes,
    Sandwich,
    TrainingSizes,
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
    "LOSSES",
    "SUCCESS_CRITERIA",
    "Aggregated",
    "BinaryCrossEntropy",
    "ClippedSquaredError",
    "CloningConfig",
    "CrossEntropy",
    "Demonstrations",
    "DistributionDivergence",
    "FullSize",
    "GivenSizes",
    "LogUniformSizes",
    "LossAtSizes",
    "LossCalculator",
    "MeanSquaredError",
    "MinReturn",
    "Penalized",
    "PowerLawSizes",
    "QuantizationAware",
    "RandomSizes",
    "Sandwich",
    "SizeDistribution",
    "StudentArchitecture",
    "SuccessCriterion",
    "TensorBatches",
    "TrainingSizes",
    "UniformSizes",
    "check_student_spaces",
    "clipped_loss",
    "clone",
    "collect_episodes",
    "dagger",
    "distribution_loss",
    "expert_distribution",
    "load_demonstrations",
    "make_trainer",
    "paper_loss",
    "save_episodes",
    "stream_episodes",
]
