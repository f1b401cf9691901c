"""Cloning in the units of the demonstrated actions, whatever their scale.

Adam takes steps of about the same length whatever it trains, so a student learns actions of about unit
size best. The action layer is therefore trained as if actions were standardised, per dimension, and
its parameters are folded back to the actions' own units after every step. So no policy has parts of
its own for this: its action layer gives actions at any time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from gymnasium import spaces
from imitation.data.types import map_maybe_dict
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn
from torch.optim import Optimizer

from sb3_integral.imitation.losses import actor_output
from sb3_integral.imitation.observations import Observations

CONSTANT = 1e-6
"""An action with a smaller standard deviation, as a fraction of its size, is constant."""

UNIT_OF_CONSTANT = 0.01
"""The unit of a constant action, as a fraction of its range or size: Adam's noise is in units."""

INITIAL_SPREAD = 0.01
"""Standard deviation of an untrained student's actions, in units of the demonstrated ones."""

SAMPLES = 1024
"""Transitions by which a student is judged before it is trained."""

UNTRAINED = 0.9
"""A student is untrained if its error is larger than this part of the error of a constant action."""


@dataclass(frozen=True)
class ActionScale:
    """Where demonstrated actions are, and how far they spread.

    Attributes:
        mean: Shape: (actions,).
        unit: Half of the range of evenly spread actions with the same standard deviation. Actions that
            are spread over [-1, 1] are so trained as they are. Shape: (actions,).
    """

    mean: Tensor
    unit: Tensor

    @classmethod
    def from_actions(cls, actions: Tensor, space: spaces.Box) -> ActionScale:
        """Measure actions. Shape: (n, *action)."""
        flat = actions.reshape(len(actions), -1).double()
        mean, unit = flat.mean(dim=0), 3.0**0.5 * flat.std(dim=0, correction=0)
        low, high = (torch.from_numpy(end.flatten()).double() for end in (space.low, space.high))
        size = torch.where(mean == 0.0, 1.0, mean.abs())
        half = (high - low) / 2.0
        fallback = UNIT_OF_CONSTANT * torch.where(half.isfinite() & (half > 0.0), half, size)
        return cls(mean, torch.where(unit > CONSTANT * flat.abs().amax(dim=0), unit, fallback))


def action_scale(policy: ActorCriticPolicy, actions: Tensor) -> ActionScale | None:
    """Return the scale of demonstrated actions; None where a student's outputs are no actions."""
    if isinstance(policy.action_space, spaces.Box) and not policy.squash_output:
        return ActionScale.from_actions(actions, policy.action_space)
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
    seen = map_maybe_dict(lambda part: part[chosen].to(policy.device), observations)
    outputs = actor_output(policy, seen).double().cpu()
    wanted = actions[chosen].reshape(len(chosen), -1).double()
    errors, of_mean = ((guess - wanted).square().mean(dim=0) for guess in (outputs, scale.mean))
    untrained = errors > torch.maximum(UNTRAINED * of_mean, (INITIAL_SPREAD * scale.unit).square())
    spread = outputs.std(dim=0, correction=0)
    factor = torch.where(untrained & (spread > 0.0), INITIAL_SPREAD * scale.unit / spread, 1.0)
    layer, log_std = policy.action_net, policy.log_std
    bias = _bias(layer)
    begun = scale.mean - factor * (outputs.mean(dim=0) - bias.double().cpu())
    for parameter, factors in zip(layer.parameters(), _spread_out(factor, layer), strict=True):
        parameter.mul_(factors)
    untrained = untrained.to(bias.device)
    bias.copy_(torch.where(untrained, begun.to(bias), bias))
    assert isinstance(log_std, Tensor)
    if log_std.shape[-1] == len(factor):
        log_std.copy_(
            torch.where(untrained, (policy.log_std_init + scale.unit.log()).to(log_std), log_std)
        )


def train_in_action_units(optimizer: Optimizer, layer: nn.Module, scale: ActionScale) -> None:
    """Have an optimiser train an action layer as if its actions were standardised.

    Args:
        optimizer: Has the layer's parameters.
        layer: Gives actions; its parameters, with those of its corrections, add up to a weight and a
            bias.
        scale: Of the actions.
    """
    parameters: list[Tensor] = list(layer.parameters())
    units = _spread_out(scale.unit, layer)
    bias = _bias(layer)
    mean, unit = scale.mean.to(bias), scale.unit.to(bias)
    # The bias is kept in units: beside a large mean, small steps would be lost to rounding.
    in_units = (bias.detach() - mean) / unit

    @torch.no_grad()
    def standardize(*_: Any) -> None:
        for parameter, factor in zip(parameters, units, strict=True):
            if parameter.grad is not None:
                parameter.grad.mul_(factor)
        torch._foreach_div_(parameters, units)
        bias.copy_(in_units)

    @torch.no_grad()
    def fold(*_: Any) -> None:
        in_units.copy_(bias)
        torch._foreach_mul_(parameters, units)
        bias.copy_(torch.addcmul(mean, in_units, unit))

    optimizer.register_step_pre_hook(standardize)
    optimizer.register_step_post_hook(fold)


def _bias(layer: nn.Module) -> Tensor:
    bias = layer.bias
    assert isinstance(bias, Tensor)
    return bias


def _spread_out(values: Tensor, layer: nn.Module) -> list[Tensor]:
    """Return for each of an action layer's parameters the value of the action of each element."""
    spread = []
    for parameter in layer.parameters():
        rows = values.to(parameter)
        n_actions, size = len(values), parameter.numel()
        if len(parameter) == n_actions:
            spread.append(rows.view(-1, *[1] * (parameter.dim() - 1)))
        else:  # a level of the corrections is flat: its weights by action, then its biases
            spread.append(torch.cat([rows.repeat_interleave(size // n_actions - 1), rows]))
    return spread
