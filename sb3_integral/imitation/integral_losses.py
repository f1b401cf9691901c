"""Losses of integral students: at several sizes in one step, and with a penalty on roughness."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gymnasium import spaces
from imitation.algorithms.bc import BCTrainingMetrics
from stable_baselines3.common.policies import ActorCriticPolicy, BaseModel
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import Tensor
from torch.nn import functional as F

from sb3_integral.imitation.losses import LossCalculator, OutputLoss, actor_output
from sb3_integral.nn import IntegralLayer, SmoothnessPenalty, run_at_sizes
from sb3_integral.policies import IntegralActorCriticPolicy, StandardizeExtractor
from sb3_integral.policies.random_sizes import GivenSizes, LogUniformSizes, SizeDistribution


@dataclass(frozen=True)
class AtRandomSizes:
    """Another loss, of an integral policy at sizes that are drawn for each batch.

    The policy has its own size again when the call returns; gradients reach λ through the sizes at
    which the loss was computed.

    Args:
        loss: The loss to compute.
        sizes: What to draw sizes from.
        rng: Draws them.
        small_sizes: How many more sizes a batch is seen at, all of them small: the logarithm is
            uniform, up to a fifth of the largest size; where sizes are given, those that are so small.
            A small network has most to gain from steps, and costs least.

    Raises:
        ValueError: If ``small_sizes`` is negative.
    """

    loss: LossCalculator
    sizes: SizeDistribution
    rng: np.random.Generator
    small_sizes: int = 0

    def __post_init__(self) -> None:
        """Check the number of sizes."""
        if self.small_sizes < 0:
            raise ValueError(f"small_sizes must not be negative, got {self.small_sizes}")

    def __call__(self, policy: ActorCriticPolicy, obs: Tensor, acts: Tensor) -> BCTrainingMetrics:
        """Compute the sum of the losses at random sizes; the other metrics are those of the first.

        Raises:
            ValueError: If the policy is not integral.
        """
        if not isinstance(policy, IntegralActorCriticPolicy):
            raise ValueError(f"random sizes need an integral policy, got {type(policy).__name__}")
        small = _small(self.sizes)
        sizes = [
            self.sizes.draw(self.rng),
            *(small.draw(self.rng) for _ in range(self.small_sizes)),
        ]
        metrics, others = _at_sizes(self.loss, policy, obs, acts, sizes)
        total = metrics.loss
        for other in others:
            total = total + other
        return dataclasses.replace(metrics, loss=total)


def _small(sizes: SizeDistribution) -> SizeDistribution:
    """Return the distribution of the small sizes among others."""
    largest = max(sizes.low, sizes.high // 5)
    if isinstance(sizes, GivenSizes):
        return GivenSizes(tuple(size for size in sizes.sizes if size <= largest))
    return LogUniformSizes(sizes.low, largest)


@dataclass(frozen=True)
class Sandwich:
    """The largest, the smallest and random sizes in every step, as slimmable networks are trained.

    With distillation the others imitate what the largest gives, not the expert (Yu and Huang,
    "Universally Slimmable Networks and Improved Training Techniques", ICCV 2019).

    Args:
        loss: The loss at the largest size, and at the others without distillation.
        sizes: What the random sizes are drawn from.
        rng: Draws them.
        n_random: How many of them.
        distill: Whether to distil in place.
    """

    loss: LossCalculator
    sizes: SizeDistribution
    rng: np.random.Generator
    n_random: int = 2
    distill: bool = True

    def __call__(self, policy: ActorCriticPolicy, obs: Tensor, acts: Tensor) -> BCTrainingMetrics:
        """Compute the sum of the losses.

        Raises:
            ValueError: If the policy is not integral.
        """
        if not isinstance(policy, IntegralActorCriticPolicy):
            raise ValueError(f"random sizes need an integral policy, got {type(policy).__name__}")
        sizes = [
            self.sizes.high,
            self.sizes.low,
            *(self.sizes.draw(self.rng) for _ in range(self.n_random)),
        ]
        if self.distill:
            largest, *outputs = _outputs_at(policy, obs, sizes)
            if isinstance(self.loss, OutputLoss):
                metrics = self.loss.metrics(self.loss.against(acts)(largest))
            else:
                metrics, _ = _at_sizes(self.loss, policy, obs, acts, sizes[:1])
            taught = largest.detach()
            others = [_distillation(policy, output, taught) for output in outputs]
        else:
            metrics, others = _at_sizes(self.loss, policy, obs, acts, sizes)
        total = metrics.loss
        for other in others:
            total = total + other
        return dataclasses.replace(metrics, loss=total)


@dataclass(frozen=True)
class Penalized:
    """Another loss, and how rough an integral policy's weight functions are.

    Args:
        loss: The loss.
        penalty: What is added to it.
    """

    loss: LossCalculator
    penalty: SmoothnessPenalty

    def __call__(self, policy: ActorCriticPolicy, obs: Tensor, acts: Tensor) -> BCTrainingMetrics:
        """Compute the loss with the penalty; the other metrics are the loss's own.

        Raises:
            ValueError: If the policy is not integral.
        """
        if not isinstance(policy, IntegralActorCriticPolicy):
            raise ValueError(f"smoothness needs an integral policy, got {type(policy).__name__}")
        metrics = self.loss(policy, obs, acts)
        rough = self.penalty(m for m in policy.modules() if isinstance(m, IntegralLayer))
        return dataclasses.replace(metrics, loss=metrics.loss + rough)


def _at_sizes(
    loss: LossCalculator,
    policy: IntegralActorCriticPolicy,
    obs: Tensor,
    acts: Tensor,
    sizes: Sequence[int],
) -> tuple[BCTrainingMetrics, list[Tensor]]:
    """Compute a loss at several sizes; what no size can change is computed once.

    Returns:
        The metrics at the first size, and the loss at each of the others.
    """
    if isinstance(loss, OutputLoss):
        against = loss.against(acts)
        losses = [against(output) for output in _outputs_at(policy, obs, sizes)]
        return loss.metrics(losses[0]), losses[1:]
    all_metrics = []
    for size in sizes:
        with policy.resized(size):
            all_metrics.append(loss(policy, obs, acts))
    return all_metrics[0], [metrics.loss for metrics in all_metrics[1:]]


def _outputs_at(policy: IntegralActorCriticPolicy, obs: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Return what the action layer gives at each of several sizes. Shapes: (batch, outputs)."""
    axes, extractor = policy.actor_axes, policy.pi_features_extractor
    if type(extractor) in (FlattenExtractor, StandardizeExtractor):  # no size changes the features
        features = BaseModel.extract_features(policy, obs, extractor)
        modules = [*policy.mlp_extractor.policy_net, policy.action_net]
        return run_at_sizes(features, modules, axes, sizes)
    outputs = []
    for size in sizes:
        with axes.resized(size):
            outputs.append(actor_output(policy, obs))
    return outputs


def _distillation(policy: ActorCriticPolicy, output: Tensor, taught: Tensor) -> Tensor:
    """Return how far an output is from another one: cross-entropy if discrete, else squared error."""
    if isinstance(policy.action_space, spaces.Discrete):
        return F.cross_entropy(output, taught.softmax(dim=1))
    if isinstance(policy.action_space, spaces.Box):
        return F.mse_loss(output, taught)
    raise ValueError(f"no distillation for {policy.action_space}, expected a discrete space or a Box")
