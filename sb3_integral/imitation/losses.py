"""What cloning minimises, as loss calculators of imitation's ``bc.BC``."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from gymnasium import spaces
from imitation.algorithms.bc import BCTrainingMetrics, BehaviorCloningLossCalculator
from stable_baselines3.common.policies import ActorCriticPolicy, BaseModel
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import Tensor
from torch.nn import functional as F

from sb3_integral.nn import IntegralLayer, SmoothnessPenalty, run_at_sizes
from sb3_integral.policies import IntegralActorCriticPolicy, StandardizeExtractor
from sb3_integral.policies.random_sizes import GivenSizes, LogUniformSizes, SizeDistribution

LossCalculator = Callable[[ActorCriticPolicy, Tensor, Tensor], BCTrainingMetrics]
"""What ``bc.BC.loss_calculator`` is: (policy, observations, actions) to metrics."""


class OutputLoss(ABC):
    """A loss that compares what the student's action layer gives with the expert's actions."""

    @abstractmethod
    def against(self, acts: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the loss as a function of the output alone.

        Args:
            acts: What the expert did. Shape: (batch, *action).
        """

    def metrics(self, loss: Tensor) -> BCTrainingMetrics:
        """Return what imitation's trainer logs of a loss."""
        return _metrics(loss, neglogp=torch.tensor(torch.nan))

    def __call__(self, policy: ActorCriticPolicy, obs: Tensor, acts: Tensor) -> BCTrainingMetrics:
        """Compute the loss. Shapes: (batch, *observation), (batch, *action)."""
        return self.metrics(self.against(acts)(actor_output(policy, obs)))


@dataclass(frozen=True)
class CrossEntropy(OutputLoss):
    """Cross-entropy between a discrete expert's action and the student's logits."""

    def against(self, acts: Tensor) -> Callable[[Tensor], Tensor]:
        """See :meth:`OutputLoss.against`."""
        acts = acts.long()
        return lambda logits: F.cross_entropy(logits, acts)

    def metrics(self, loss: Tensor) -> BCTrainingMetrics:
        """See :meth:`OutputLoss.metrics`."""
        return _metrics(loss, neglogp=loss)


@dataclass(frozen=True)
class MeanSquaredError(OutputLoss):
    """Squared error between a continuous expert's action and the student's mean action."""

    def against(self, acts: Tensor) -> Callable[[Tensor], Tensor]:
        """See :meth:`OutputLoss.against`."""
        acts = acts.flatten(start_dim=1)
        return lambda mean: F.mse_loss(mean, acts)


@dataclass(frozen=True)
class DistributionDivergence(OutputLoss):
    """How far the student's action distribution is from the expert's, given instead of actions.

    For discrete actions the cross-entropy with the expert's probabilities. For continuous ones, half
    of the squared distance of the means in the expert's standard deviations: the Kullback-Leibler
    divergence of two Gaussians of the same width, the mean over actions. Either is least where the
    distributions are equal. See :func:`~sb3_integral.imitation.expert_distribution`.

    Args:
        discrete: Whether actions are discrete.
    """

    discrete: bool

    def against(self, acts: Tensor) -> Callable[[Tensor], Tensor]:
        """See :meth:`OutputLoss.against`.

        Args:
            acts: Probabilities, shape (batch, actions), or means and standard deviations,
                shape (batch, 2, actions).

        Raises:
            ValueError: If they are not.
        """
        if acts.dim() != (2 if self.discrete else 3):
            wanted = "(batch, actions)" if self.discrete else "(batch, 2, actions)"
            raise ValueError(
                f"expected the expert's action distributions, {wanted}, "
                f"got a tensor of shape {tuple(acts.shape)}"
            )
        if self.discrete:
            return lambda logits: F.cross_entropy(logits, acts)
        mean, std = acts.unbind(dim=1)
        return lambda output: 0.5 * ((output - mean) / std).square().mean()


@dataclass(frozen=True)
class ClippedSquaredError(OutputLoss):
    """Squared error between what the expert does and what the student would, after clipping.

    SB3 clips actions to their space. Where the expert is at a bound, a mean beyond it is as good: there
    the error is zero, and a small network need not spend its few weights on hitting the bound exactly.
    A mean that is beyond the bound on the wrong side has its whole error, and so its gradient.

    Args:
        low: Bounds of the actions, flat. Shape: (actions,).
        high: Likewise.
    """

    low: Tensor
    high: Tensor

    def against(self, acts: Tensor) -> Callable[[Tensor], Tensor]:
        """See :meth:`OutputLoss.against`."""
        acts = acts.flatten(start_dim=1)
        low, high = self.low.to(acts.device), self.high.to(acts.device)
        # What is as good as the action lies between these two.
        least = acts.masked_fill(acts <= low, -torch.inf)
        most = acts.masked_fill(acts >= high, torch.inf)
        return lambda mean: F.mse_loss(mean, mean.detach().maximum(least).minimum(most))


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
        """Compute the loss with the penalty; the other metrics are the loss's own."""
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
        with policy.actor_axes.resized(size):
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


def paper_loss(action_space: spaces.Space) -> LossCalculator:  # type: ignore[type-arg]
    """Return the paper's loss for an action space: cross-entropy if discrete, else MSE.

    Spaces of several discrete actions get the sum of their cross-entropies, which is imitation's
    own loss.

    Raises:
        ValueError: If the action space is of another kind.
    """
    if isinstance(action_space, spaces.Discrete):
        if action_space.start != 0:
            raise ValueError(f"SB3's policies count actions from 0, got {action_space}")
        return CrossEntropy()
    if isinstance(action_space, spaces.Box):
        return MeanSquaredError()
    if isinstance(action_space, spaces.MultiDiscrete | spaces.MultiBinary):
        return BehaviorCloningLossCalculator(ent_weight=0.0, l2_weight=0.0)
    raise ValueError(f"no loss for {action_space}, expected a discrete space or a Box")


def clipped_loss(action_space: spaces.Space) -> LossCalculator:  # type: ignore[type-arg]
    """Return the default loss for an action space: the paper's, blind to what clipping takes away.

    Raises:
        ValueError: If there is no loss for such a space.
    """
    if isinstance(action_space, spaces.Box):
        low, high = (torch.from_numpy(end.flatten()) for end in (action_space.low, action_space.high))
        return ClippedSquaredError(low, high)
    return paper_loss(action_space)


def distribution_loss(action_space: spaces.Space) -> LossCalculator:  # type: ignore[type-arg]
    """Return the loss against an expert's action distribution, to be given as the targets of cloning.

    Raises:
        ValueError: If there is no loss for such a space.
    """
    if isinstance(action_space, spaces.Discrete | spaces.Box):
        return DistributionDivergence(isinstance(action_space, spaces.Discrete))
    raise ValueError(f"no loss for {action_space}, expected a discrete space or a Box")


LOSSES: dict[str, Callable[[spaces.Space], LossCalculator]] = {  # type: ignore[type-arg]
    "clipped": clipped_loss,
    "paper": paper_loss,
    "distribution": distribution_loss,
}
"""Losses that can be named in a configuration, made from the action space."""


def actor_output(policy: ActorCriticPolicy, obs: Tensor) -> Tensor:
    """Return what the action layer gives: logits or mean actions. Shape: (batch, outputs)."""
    features = BaseModel.extract_features(policy, obs, policy.pi_features_extractor)
    output: Tensor = policy.action_net(policy.mlp_extractor.forward_actor(features))
    return output


def _metrics(loss: Tensor, neglogp: Tensor) -> BCTrainingMetrics:
    # imitation logs all of these; what is not part of the loss is not computed.
    zero, unknown = torch.zeros(()), torch.tensor(torch.nan)
    return BCTrainingMetrics(
        neglogp=neglogp.detach(),
        entropy=None,
        ent_loss=zero,
        prob_true_act=unknown,
        l2_norm=unknown,
        l2_loss=zero,
        loss=loss,
    )
