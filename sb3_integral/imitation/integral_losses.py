"""Losses of integral students: at several sizes in one step, and with a penalty on roughness."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from imitation.algorithms.bc import BCTrainingMetrics
from stable_baselines3.common.policies import ActorCriticPolicy, BaseModel
from torch import Tensor

from sb3_integral.imitation.losses import LossCalculator, OutputLoss, actor_output, paper_loss
from sb3_integral.imitation.observations import Observations
from sb3_integral.imitation.training_sizes import RandomSizes, Sandwich, size_per_layer
from sb3_integral.nn import IntegralLayer, Size, SmoothnessPenalty, run_at_sizes
from sb3_integral.policies import IntegralActorCriticPolicy
from sb3_integral.policies.kinds import integral_policy


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
        """Compute the sum of the losses at all sizes; the other metrics are means over the sizes.

        Raises:
            ValueError: If the policy is not integral.
        """
        # Or the like, with an ``action_net``.
        policy = cast(IntegralActorCriticPolicy, integral_policy(policy, "random sizes"))
        sizes = [size_per_layer(size, policy.max_sizes) for size in self.sizes.draw(self.rng)]
        if isinstance(self.sizes, Sandwich) and self.sizes.distill:
            return self._distilled(policy, obs, acts, sizes)
        if isinstance(self.loss, OutputLoss):
            return _mean_times(self.loss, _outputs_at(policy, obs, sizes), acts)
        first, *others = [self._at(policy, obs, acts, size) for size in sizes]
        return dataclasses.replace(first, loss=sum((other.loss for other in others), first.loss))

    def _at(
        self, policy: IntegralActorCriticPolicy, obs: Observations, acts: Tensor, size: Size
    ) -> BCTrainingMetrics:
        with policy.resized(size):
            return self.loss(policy, obs, acts)

    def _distilled(
        self,
        policy: IntegralActorCriticPolicy,
        obs: Observations,
        acts: Tensor,
        sizes: Sequence[Size],
    ) -> BCTrainingMetrics:
        largest, *outputs = _outputs_at(policy, obs, sizes)
        loss = self.loss
        if isinstance(loss, OutputLoss):
            metrics = loss.metrics(loss.against(acts)(largest))
        else:
            metrics = self._at(policy, obs, acts, sizes[0])
            loss = paper_loss(policy.action_space)
        if not outputs:
            return metrics
        taught = _repeated(largest.detach(), len(outputs))
        pupils = len(outputs) * loss.distillation(torch.cat(outputs), taught)
        return dataclasses.replace(metrics, loss=metrics.loss + pupils)


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
        modules = integral_policy(policy, "smoothness penalties").modules()
        rough = self.penalty(module for module in modules if isinstance(module, IntegralLayer))
        metrics = self.loss(policy, obs, acts)
        return dataclasses.replace(metrics, loss=metrics.loss + rough)


def _mean_times(loss: OutputLoss, outputs: Sequence[Tensor], acts: Tensor) -> BCTrainingMetrics:
    """Compute a loss at all sizes at once: it is a mean over samples, so the sum is a multiple of it."""
    mean = loss.against(_repeated(acts, len(outputs)))(torch.cat(list(outputs)))
    return dataclasses.replace(loss.metrics(mean), loss=len(outputs) * mean)


def _repeated(tensor: Tensor, times: int) -> Tensor:
    """Return copies of a batch, one behind the other."""
    return tensor.repeat(times, *[1] * (tensor.dim() - 1))


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
