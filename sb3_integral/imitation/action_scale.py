"""Cloning in the units of the demonstrated actions, whatever their scale.

Adam takes steps of about the same length whatever it trains, so a student learns actions of about
unit variance best. The action layer is therefore trained as if actions were standardised, per
dimension, and its parameters are folded back to the actions' own units after every step. So no
policy ever has parts of its own for this: its action layer always gives actions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn
from torch.optim import Optimizer

from sb3_integral.imitation.losses import actor_output
from sb3_integral.imitation.observations import Observations, map_observations

SMALLEST_STD = 1e-6
"""An action that varies less than this, as a fraction of its size, is constant."""

INITIAL_STD = 0.01
"""Standard deviation of an untrained student's actions, in those of the demonstrations."""

SAMPLES = 1024
"""Transitions by which a student is judged before it is trained."""

UNTRAINED = 0.9
"""A student is untrained if its error is larger than this part of the error of a constant action."""


@dataclass(frozen=True)
class ActionScale:
    """Mean and standard deviation of the demonstrated actions.

    Attributes:
        mean: Shape: (actions,).
        std: Where an action is constant, that of a uniform distribution over its bounds, or its
            magnitude where it has none. Shape: (actions,).
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, actions: Tensor, space: spaces.Box) -> ActionScale:
        """Measure actions. Shape: (n, *action)."""
        flat = actions.reshape(len(actions), -1).double()
        mean, std = flat.mean(dim=0), flat.std(dim=0, correction=0)
        low, high = (torch.from_numpy(end.flatten()).double() for end in (space.low, space.high))
        bounded = (high - low) / math.sqrt(12.0)
        magnitude = torch.where(mean == 0.0, 1.0, mean.abs())
        fallback = torch.where(bounded.isfinite() & (bounded > 0.0), bounded, magnitude)
        return cls(mean, torch.where(std > SMALLEST_STD * flat.abs().amax(dim=0), std, fallback))


def action_scale(policy: ActorCriticPolicy, actions: Tensor) -> ActionScale | None:
    """Return the scale of demonstrated actions; None where a student's outputs are no actions."""
    if isinstance(policy.action_space, spaces.Box) and not policy.squash_output:
        return ActionScale.of(actions, policy.action_space)
    return None


@torch.no_grad()
def start_at_mean(
    policy: ActorCriticPolicy, scale: ActionScale, observations: Observations, actions: Tensor
) -> None:
    """Let an untrained student begin at the mean of the demonstrated actions.

    An action that the student guesses about as badly as a constant would counts as untrained. Others
    are left as they are, so that training goes on from there.

    Args:
        policy: The student.
        scale: That of the demonstrations.
        observations: Those of the demonstrations. Shape: (n, *observation).
        actions: Shape: (n, *action).
    """
    chosen = torch.linspace(0, len(actions) - 1, min(SAMPLES, len(actions))).long()
    seen = map_observations(observations, lambda part: part[chosen].to(policy.device))
    outputs = actor_output(policy, seen).double().cpu()
    wanted = actions[chosen].reshape(len(chosen), -1).double()
    errors, of_mean = ((guess - wanted).square().mean(dim=0) for guess in (outputs, scale.mean))
    untrained = errors > torch.maximum(UNTRAINED * of_mean, (INITIAL_STD * scale.std).square())
    spread = outputs.std(dim=0, correction=0)
    factor = torch.where(spread > 0.0, INITIAL_STD * scale.std / spread, 1.0)
    factor = torch.where(untrained, factor, 1.0)
    bias = _bias(policy.action_net)
    middle = outputs.mean(dim=0) - bias.double().cpu()
    begun = scale.mean - factor * middle
    for parameter in policy.action_net.parameters():
        parameter.mul_(_rows(factor, parameter))
    bias.copy_(torch.where(untrained.to(bias.device), begun.to(bias), bias))
    log_std = policy.log_std
    assert isinstance(log_std, Tensor)
    if log_std.shape[-1] == len(factor):
        initial = (policy.log_std_init + scale.std.log()).to(log_std)
        log_std.copy_(torch.where(untrained.to(log_std.device), initial, log_std))


def train_in_action_units(optimizer: Optimizer, layer: nn.Module, scale: ActionScale) -> None:
    """Have an optimiser train an action layer as if its actions were standardised.

    Args:
        optimizer: Has the layer's parameters.
        layer: Gives actions; all its parameters have the actions as their first dimension, and add up
            to a weight and a bias.
        scale: Of the actions.
    """
    parameters = list(layer.parameters())
    factors = [_rows(scale.std, parameter) for parameter in parameters]
    bias = _bias(layer)
    mean, std = scale.mean.to(bias), scale.std.to(bias)
    # Kept in standard units: beside a large mean, small steps would be lost to rounding.
    standard = (bias.detach() - mean) / std
    trained: list[Tensor] = []
    scales: list[Tensor] = []

    @torch.no_grad()
    def standardize(*_: Any) -> None:
        pairs = [pair for pair in zip(parameters, factors, strict=True) if pair[0].grad is not None]
        trained[:], scales[:] = [list(column) for column in zip(*pairs, strict=True)] or ([], [])
        torch._foreach_mul_([cast(Tensor, parameter.grad) for parameter in trained], scales)
        torch._foreach_div_(trained, scales)
        bias.copy_(standard)

    @torch.no_grad()
    def fold(*_: Any) -> None:
        standard.copy_(bias)
        torch._foreach_mul_(trained, scales)
        bias.copy_(torch.addcmul(mean, standard, std))

    optimizer.register_step_pre_hook(standardize)
    optimizer.register_step_post_hook(fold)


def _bias(layer: nn.Module) -> Tensor:
    bias = layer.bias
    assert isinstance(bias, Tensor)
    return bias


def _rows(values: Tensor, like: Tensor) -> Tensor:
    """Return a value for each row of a tensor, to be multiplied with it."""
    return values.to(like).view(-1, *[1] * (like.dim() - 1))
