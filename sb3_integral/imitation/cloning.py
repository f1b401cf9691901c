"""Behavioural cloning of a student by imitation's trainer."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from imitation.algorithms.bc import BC
from imitation.util.logger import HierarchicalLogger
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler

from sb3_integral.imitation.action_scale import action_scale, start_at_mean, train_in_action_units
from sb3_integral.imitation.batches import TensorBatches
from sb3_integral.imitation.demonstrations import Demonstrations
from sb3_integral.imitation.integral_losses import LossAtSizes, Penalized
from sb3_integral.imitation.losses import LOSSES, LossCalculator, OutputLoss
from sb3_integral.imitation.quantization_aware import QuantizationAware
from sb3_integral.imitation.training_sizes import FullSize, TrainingSizes, sizes_for
from sb3_integral.nn import SmoothnessPenalty, as_size
from sb3_integral.policies import StandardizeCombinedExtractor, StandardizeExtractor, WeightFormat

SCHEDULES: dict[str, Callable[[Optimizer, int], LRScheduler]] = {
    "constant": lambda optimizer, n_batches: LambdaLR(optimizer, lambda step: 1.0),
    "cosine": lambda optimizer, n_batches: CosineAnnealingLR(optimizer, n_batches),
}
"""Learning-rate schedules that can be named in a configuration."""

BETAS = (0.9, 0.95)
"""Of Adam. Its own 0.999 averages over more steps than many a student is trained for."""


@dataclass(frozen=True)
class CloningConfig:
    """How a student is trained by behavioural cloning.

    Args:
        n_epochs: Passes over the demonstrations. An integral student at random sizes needs some thousand
            steps, so more passes where there are few demonstrations.
        batch_size: Transitions in a step.
        learning_rate: Of Adam; the paper has a constant 0.001.
        schedule: ``cosine`` lets the learning rate fall to zero by the last step, ``constant`` keeps it.
        loss: A key of :data:`~sb3_integral.imitation.LOSSES`, or a loss. A squared error without
            units of its own is measured in standard deviations of the demonstrated actions.
        sizes: At which sizes an integral student is trained: :class:`FullSize`, as in the paper,
            :class:`RandomSizes`, :class:`Sandwich`, or None, which stands for ``RandomSizes()``. A
            plain student has one size.
        smoothness: Added to an integral student's loss.
        weights: How the actor's weights are rounded in training, for a student that is to be
            :func:`~sb3_integral.policies.quantized` in this way; its own weights stay float32.
        seed: Orders the batches and draws the sizes.

    Raises:
        ValueError: If a number is out of range, or there is no loss or schedule of a name.
    """

    n_epochs: int = 30
    batch_size: int = 256
    learning_rate: float = 3e-3
    schedule: Literal["constant", "cosine"] = "cosine"
    loss: LossCalculator | str = "clipped"
    sizes: TrainingSizes | None = None
    smoothness: SmoothnessPenalty | None = None
    weights: WeightFormat | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers and the names."""
        as_size(self.n_epochs, "n_epochs")
        if not 0.0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be a positive number, got {self.learning_rate!r}")
        names: tuple[tuple[str, object, dict[str, Any]], ...] = (
            ("schedule", self.schedule, SCHEDULES),
            ("loss", self.loss, LOSSES),
        )
        for what, name, known in names:
            if isinstance(name, str) and name not in known:
                raise ValueError(f"unknown {what} {name!r}; known are {', '.join(sorted(known))}")


def clone(
    policy: ActorCriticPolicy,
    demonstrations: Demonstrations,
    config: CloningConfig = CloningConfig(),
    *,
    targets: Tensor | None = None,
    on_epoch_end: Callable[[], None] | None = None,
    **settings: Any,
) -> ActorCriticPolicy:
    """Train a student to imitate, and return it.

    Args:
        policy: The student, plain or integral; trained in place.
        demonstrations: What to clone.
        config: How.
        targets: See :func:`make_trainer`.
        on_epoch_end: Called after each pass.
        **settings: Fields of the configuration, in place of its own.

    Raises:
        ValueError: See :func:`make_trainer`.
    """
    config = dataclasses.replace(config, **settings)
    train(policy, demonstrations, config, targets, on_epoch_end=on_epoch_end)
    return policy


def make_trainer(
    policy: ActorCriticPolicy,
    demonstrations: Demonstrations,
    config: CloningConfig = CloningConfig(),
    *,
    targets: Tensor | None = None,
    **settings: Any,
) -> BC:
    """Set up imitation's ``bc.BC`` for a student, its random choices all drawn from the seed.

    The number of passes and the schedule are left to the trainer's user.

    Args:
        policy: The student. A standardising features extractor takes its statistics from the
            demonstrations, and an untrained student begins at their mean action.
        demonstrations: What to clone.
        config: How.
        targets: What the loss gets in place of the actions, such as the expert's action distribution
            (:func:`~sb3_integral.imitation.expert_distribution`). Shape: (transitions, ...).
        **settings: Fields of the configuration, in place of its own.

    Raises:
        ValueError: If the demonstrations do not fit the student's spaces or the batch size, if sizes
            do not fit the student, if there is not a target for each transition, or if targets are
            unlike actions and the loss is one for actions. The student is left as it was.
    """
    return _trainer(policy, demonstrations, dataclasses.replace(config, **settings), targets)


def train(
    policy: ActorCriticPolicy,
    demonstrations: Demonstrations,
    config: CloningConfig,
    targets: Tensor | None = None,
    begin: bool = True,
    on_epoch_end: Callable[[], None] | None = None,
) -> None:
    """Train a student as :func:`clone` does.

    Args:
        policy: The student.
        demonstrations: What to clone.
        config: How.
        targets: See :func:`make_trainer`.
        begin: Whether the student is fitted to the demonstrations before, as :func:`make_trainer` has
            it.
        on_epoch_end: Called after each pass.
    """
    trainer = _trainer(policy, demonstrations, config, targets, begin)
    n_batches = config.n_epochs * (len(demonstrations) // config.batch_size)
    scheduler = SCHEDULES[config.schedule](trainer.optimizer, n_batches)
    policy.set_training_mode(True)
    with warnings.catch_warnings():
        # imitation logs the loss without detaching it.
        warnings.filterwarnings("ignore", message="Converting a tensor with requires_grad=True")
        trainer.train(
            n_epochs=config.n_epochs,
            on_epoch_end=on_epoch_end,
            on_batch_end=scheduler.step,
            progress_bar=False,
        )
    policy.set_training_mode(False)


def _trainer(
    policy: ActorCriticPolicy,
    demonstrations: Demonstrations,
    config: CloningConfig,
    targets: Tensor | None,
    begin: bool = True,
) -> BC:
    demonstrations.check_spaces(policy.observation_space, policy.action_space)
    loss = LOSSES[config.loss](policy.action_space) if isinstance(config.loss, str) else config.loss
    sizes = sizes_for(policy, config.sizes)
    order_seed, sizes_seed = np.random.SeedSequence(config.seed).spawn(2)
    order = torch.Generator().manual_seed(int(order_seed.generate_state(1)[0]))
    taught = demonstrations if targets is None else _aiming_at(targets, demonstrations, config)
    batches = TensorBatches(taught, config.batch_size, order)

    scale = action_scale(policy, demonstrations.actions)
    if begin:
        _fit(policy, demonstrations)
        if scale is not None:
            start_at_mean(policy, scale, demonstrations.observations, demonstrations.actions)
    trainer = BC(
        observation_space=policy.observation_space,
        action_space=policy.action_space,
        rng=np.random.default_rng(config.seed),
        policy=policy,
        demonstrations=batches,  # type: ignore[arg-type]
        batch_size=config.batch_size,
        optimizer_kwargs={"lr": config.learning_rate, "betas": BETAS, "fused": True},
        device=policy.device,
        custom_logger=HierarchicalLogger(Logger(folder=None, output_formats=[])),
    )
    if scale is not None:
        train_in_action_units(trainer.optimizer, policy.action_net, scale)
        loss = loss.in_units(scale.unit) if isinstance(loss, OutputLoss) else loss
    if not isinstance(sizes, FullSize):
        loss = LossAtSizes(loss, sizes, np.random.default_rng(sizes_seed))
    if config.weights is not None:
        loss = QuantizationAware(loss, config.weights)
    if config.smoothness is not None:
        loss = Penalized(loss, config.smoothness)
    trainer.loss_calculator = loss  # type: ignore[assignment]
    return trainer


def _fit(policy: ActorCriticPolicy, demonstrations: Demonstrations) -> None:
    extractor = policy.features_extractor
    if isinstance(extractor, StandardizeExtractor | StandardizeCombinedExtractor):
        extractor.fit(demonstrations.observations)  # type: ignore[arg-type]


def _aiming_at(targets: Tensor, demonstrations: Demonstrations, config: CloningConfig) -> Demonstrations:
    n_transitions = len(demonstrations)
    if len(targets) != n_transitions:
        raise ValueError(
            f"expected a target for each of {n_transitions} transitions, got {len(targets)}"
        )
    wanted, got = tuple(demonstrations.actions.shape[1:]), tuple(targets.shape[1:])
    if config.loss in ("clipped", "paper") and got != wanted:
        raise ValueError(
            f"expected targets like the actions, of shape {wanted} each, got {got}; for the expert's "
            f'action distribution give loss="distribution"'
        )
    return dataclasses.replace(demonstrations, actions=targets)
