"""Behavioural cloning of a student by imitation's trainer."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from imitation.algorithms.bc import BC
from imitation.util.logger import HierarchicalLogger
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler

from sb3_integral.imitation.batches import TensorBatches
from sb3_integral.imitation.demonstrations import Demonstrations
from sb3_integral.imitation.integral_losses import AtRandomSizes, Penalized, Sandwich
from sb3_integral.imitation.losses import LossCalculator, clipped_loss
from sb3_integral.nn import SmoothnessPenalty
from sb3_integral.policies import IntegralActorCriticPolicy, StandardizeExtractor
from sb3_integral.policies.random_sizes import PowerLawSizes, SizeDistribution

SMALLEST_RANDOM_SIZE = 5
"""The smallest size of the paper's tables, and so of the default distribution."""

DEFAULT_SMALL_SIZES = 3
"""See :class:`~sb3_integral.imitation.AtRandomSizes`."""

Schedule = Literal["constant", "cosine"]

SCHEDULES: dict[str, Callable[[Optimizer, int], LRScheduler]] = {
    "constant": lambda optimizer, n_batches: LambdaLR(optimizer, lambda step: 1.0),
    "cosine": lambda optimizer, n_batches: CosineAnnealingLR(optimizer, n_batches),
}
"""Learning-rate schedules that can be named in a configuration."""


def default_sizes(policy: ActorCriticPolicy) -> SizeDistribution | None:
    """Return what an integral student is trained at by default; None for a plain one."""
    if not isinstance(policy, IntegralActorCriticPolicy):
        return None
    largest = max(policy.max_sizes)
    return PowerLawSizes(min(SMALLEST_RANDOM_SIZE, largest), largest)


def make_trainer(
    policy: ActorCriticPolicy,
    demonstrations: Demonstrations,
    *,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    loss: LossCalculator | None = None,
    random_sizes: SizeDistribution | None = None,
    small_sizes: int = DEFAULT_SMALL_SIZES,
    sandwich: bool = False,
    smoothness: SmoothnessPenalty | None = None,
    targets: Tensor | None = None,
    seed: int = 0,
) -> BC:
    """Set up imitation's ``bc.BC`` for a student, its random choices all drawn from ``seed``.

    Args:
        policy: The student; a standardising features extractor takes its statistics from the
            demonstrations.
        demonstrations: What to clone.
        batch_size: Transitions in a step.
        learning_rate: Adam's.
        loss: That of :func:`clipped_loss` by default.
        random_sizes: Draw an integral student's size from this in every step; None trains at the
            size in force.
        small_sizes: How many small sizes every step has beside the one that is drawn: fewer take less
            time, and leave the smallest networks worse.
        sandwich: Instead train at the largest, the smallest and two random sizes in every step, with
            in-place distillation: how slimmable networks are trained.
        smoothness: Added to an integral student's loss.
        targets: What the loss gets in place of the actions, such as the expert's action distribution
            (:func:`~sb3_integral.imitation.expert_distribution`). Shape: (transitions, ...).
        seed: Orders the batches and draws the sizes.

    Raises:
        ValueError: If the demonstrations do not fit the student's spaces or the batch size, there is
            not a target for each transition, or targets are not like actions and no loss is given.
    """
    demonstrations.check_spaces(policy.observation_space, policy.action_space)
    if targets is not None:
        demonstrations = _aiming_at(targets, demonstrations, loss)
    if isinstance(policy.features_extractor, StandardizeExtractor):
        policy.features_extractor.fit(demonstrations.observations)
    batches_seed, sizes_seed = np.random.SeedSequence(seed).spawn(2)
    generator = torch.Generator().manual_seed(int(batches_seed.generate_state(1)[0]))
    trainer = BC(
        observation_space=policy.observation_space,
        action_space=policy.action_space,
        rng=np.random.default_rng(seed),
        policy=policy,
        demonstrations=TensorBatches(demonstrations, batch_size, generator),  # type: ignore[arg-type]
        batch_size=batch_size,
        optimizer_kwargs={"lr": learning_rate, "fused": True},
        device=policy.device,
        custom_logger=HierarchicalLogger(Logger(folder=None, output_formats=[])),
    )
    chosen = clipped_loss(policy.action_space) if loss is None else loss
    if random_sizes is not None:
        rng = np.random.default_rng(sizes_seed)
        if sandwich:
            chosen = Sandwich(chosen, random_sizes, rng)
        else:
            chosen = AtRandomSizes(chosen, random_sizes, rng, small_sizes)
    if smoothness is not None:
        chosen = Penalized(chosen, smoothness)
    trainer.loss_calculator = chosen  # type: ignore[assignment]
    return trainer


def clone(
    policy: ActorCriticPolicy,
    demonstrations: Demonstrations,
    *,
    n_epochs: int = 30,
    batch_size: int = 256,
    learning_rate: float = 3e-3,
    schedule: Schedule = "cosine",
    loss: LossCalculator | None = None,
    random_sizes: SizeDistribution | bool = True,
    small_sizes: int = DEFAULT_SMALL_SIZES,
    sandwich: bool = False,
    smoothness: SmoothnessPenalty | None = None,
    targets: Tensor | None = None,
    seed: int = 0,
    on_epoch_end: Callable[[], None] | None = None,
) -> ActorCriticPolicy:
    """Train a student to imitate, and return it.

    Args:
        policy: The student, plain or integral; trained in place.
        demonstrations: What to clone.
        n_epochs: Passes over the demonstrations. An integral student at random sizes needs some thousand
            steps, so more passes where there are few demonstrations.
        batch_size: Transitions in a step.
        learning_rate: Adam's; the paper has a constant 0.001.
        schedule: ``cosine`` lets the learning rate fall to zero by the last step, ``constant`` keeps it.
        loss: See :func:`make_trainer`.
        random_sizes: For an integral student: True draws a size in every step, from 5 to its full size
            and small ones more often (:class:`~sb3_integral.PowerLawSizes`); False trains at full
            size only, as in the paper; or a distribution. A plain student has one size and ignores True.
        small_sizes: See :func:`make_trainer`.
        sandwich: Likewise.
        smoothness: Likewise.
        targets: Likewise.
        seed: Orders the batches and draws the sizes.
        on_epoch_end: Called after each pass.

    Raises:
        ValueError: See :func:`make_trainer`.
    """
    if isinstance(random_sizes, bool):
        random_sizes_or_none = default_sizes(policy) if random_sizes else None
    else:
        random_sizes_or_none = random_sizes
    trainer = make_trainer(
        policy,
        demonstrations,
        batch_size=batch_size,
        learning_rate=learning_rate,
        loss=loss,
        random_sizes=random_sizes_or_none,
        small_sizes=small_sizes,
        sandwich=sandwich,
        smoothness=smoothness,
        targets=targets,
        seed=seed,
    )
    n_batches = n_epochs * (len(demonstrations.observations) // batch_size)
    scheduler = SCHEDULES[schedule](trainer.optimizer, n_batches)
    policy.set_training_mode(True)
    with warnings.catch_warnings():
        # imitation logs the loss without detaching it.
        warnings.filterwarnings("ignore", message="Converting a tensor with requires_grad=True")
        trainer.train(
            n_epochs=n_epochs,
            on_epoch_end=on_epoch_end,
            on_batch_end=scheduler.step,
            progress_bar=False,
        )
    policy.set_training_mode(False)
    return policy


def _aiming_at(
    targets: Tensor, demonstrations: Demonstrations, loss: LossCalculator | None
) -> Demonstrations:
    n_transitions = len(demonstrations.actions)
    if len(targets) != n_transitions:
        raise ValueError(
            f"expected a target for each of {n_transitions} transitions, got {len(targets)}"
        )
    wanted, got = tuple(demonstrations.actions.shape[1:]), tuple(targets.shape[1:])
    if loss is None and got != wanted:
        raise ValueError(
            f"expected targets like the actions, of shape {wanted} each, got {got}; for the expert's "
            f"action distribution give loss=distribution_loss(policy.action_space)"
        )
    return dataclasses.replace(demonstrations, actions=targets)
