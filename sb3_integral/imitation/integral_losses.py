"""Losses of integral students: at several sizes in one step, and with a penalty on roughness."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from imitation.algorithms.bc import BCTrainingMetrics
from stable_baselines3.common.policies import ActorCriticPolicy, BaseModel
from torch import Tensor

from sb3_integral.imitation.losses import LossCalculator, OutputLoss, actor_output, paper_loss
from sb3_integral.imitation.observations import Observations
from sb3_integral.imitation.training_sizes import RandomSizes, Sandwich, size_per_layer
from sb3_integral.nn import IntegralLayer, Size, SmoothnessPenalty, run_at_sizes
from sb3_integral.policies import IntegralActorCriticPolicy, IntegralPolicy


@dataclass(frozen=True)
class LossAtSizes:
    """Another loss, of an integral policy at sizes that are drawn for each batch.

    The policy has its own size again when the call returns; gradients reach λ through the sizes at
    which the loss was computed.

    Args:
        loss: The loss to compute.
        sizes: Draws the sizes.
        rng: What it draws them with.
    """

    loss: LossCalculator
    sizes: RandomSizes | Sandwich
    rng: np.random.Generator

    def __call__(self, policy: ActorCriticPolicy, obs: Observations, acts: Tensor) -> BCTrainingMetrics:
        """Compute the sum of the losses at all sizes; the other metrics are those of the first.

        Raises:
            ValueError: If the policy is not integral.
        """
        if not isinstance(policy, IntegralPolicy):
            raise ValueError(f"random sizes need an integral policy, got {type(policy).__name__}")
        policy = cast(IntegralActorCriticPolicy, policy)  # or the like, with an ``action_net``
        sizes = [size_per_layer(size, policy.max_sizes) for size in self.sizes.draw(self.rng)]
        if isinstance(self.sizes, Sandwich) and self.sizes.distill:
            metrics, others = self._distilled(policy, obs, acts, sizes)
        else:
            metrics, others = _losses_at(self.loss, policy, obs, acts, sizes)
        total = metrics.loss
        for other in others:
            total = total + other
        return dataclasses.replace(metrics, loss=total)

    def _distilled(
        self,
        policy: IntegralActorCriticPolicy,
        obs: Observations,
        acts: Tensor,
        sizes: Sequence[Size],
    ) -> tuple[BCTrainingMetrics, list[Tensor]]:
        largest, *outputs = _outputs_at(policy, obs, sizes)
        loss = self.loss
        if isinstance(loss, OutputLoss):
            metrics = loss.metrics(loss.against(acts)(largest))
        else:
            metrics, _ = _losses_at(loss, policy, obs, acts, sizes[:1])
            loss = paper_loss(policy.action_space)
        taught = largest.detach()
        return metrics, [loss.distillation(output, taught) for output in outputs]


@dataclass(frozen=True)
class Penalized:
    """Another loss, and how rough an integral policy's weight functions are.

    Args:
        loss: The loss.
        penalty: What is added to it.
    """

    loss: LossCalculator
    penalty: SmoothnessPenalty

    def __call__(self, policy: ActorCriticPolicy, obs: Observations, acts: Tensor) -> BCTrainingMetrics:
        """Compute the loss with the penalty; the other metrics are the loss's own.

        Raises:
            ValueError: If the policy is not integral.
        """
        if not isinstance(policy, IntegralPolicy):
            raise ValueError(f"smoothness needs an integral policy, got {type(policy).__name__}")
        metrics = self.loss(policy, obs, acts)
        rough = self.penalty(m for m in policy.modules() if isinstance(m, IntegralLayer))
        return dataclasses.replace(metrics, loss=metrics.loss + rough)


def _losses_at(
    loss: LossCalculator,
    policy: IntegralActorCriticPolicy,
    obs: Observations,
    acts: Tensor,
    sizes: Sequence[Size],
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


def _outputs_at(
    policy: IntegralActorCriticPolicy, obs: Observations, sizes: Sequence[Size]
) -> list[Tensor]:
    """Return the action layer's output at each of several sizes. Shapes: (batch, outputs)."""
    axes, extractor = policy.actor_axes, policy.pi_features_extractor
    if not any(isinstance(module, IntegralLayer) for module in extractor.modules()):
        features = BaseModel.extract_features(policy, obs, extractor)
        modules = [*policy.mlp_extractor.policy_net, policy.action_net]
        return run_at_sizes(features, modules, axes, sizes)
    outputs = []
    for size in sizes:
        with policy.resized(size):
            outputs.append(actor_output(policy, obs))
    return outputs
