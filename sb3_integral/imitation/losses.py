"""What cloning minimises, as loss calculators of imitation's ``bc.BC``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from gymnasium import spaces
from imitation.algorithms.bc import BCTrainingMetrics
from stable_baselines3.common.policies import ActorCriticPolicy, BaseModel
from torch import Tensor
from torch.nn import functional as F

from sb3_integral.imitation.observations import Observations

LossCalculator = Callable[[ActorCriticPolicy, Observations, Tensor], BCTrainingMetrics]
"""What ``bc.BC.loss_calculator`` is: (policy, observations, actions) to metrics."""


class OutputLoss(ABC):
    """A loss that compares what the student's action layer gives with the expert's actions."""

    @abstractmethod
    def against(self, acts: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the loss as a function of the output alone: a mean over the samples of a batch.

        Args:
            acts: What the expert did. Shape: (batch, *action).
        """

    @abstractmethod
    def distillation(self, output: Tensor, taught: Tensor) -> Tensor:
        """Return how far an output is from that of a larger network: a mean over the samples.

        Args:
            output: The output. Shape: (batch, outputs).
            taught: That of the larger network. Shape: (batch, outputs).
        """

    def in_units(self, unit: Tensor) -> OutputLoss:
        """Return the loss in the units of the demonstrated actions, if it has units."""
        return self

    def metrics(self, loss: Tensor) -> BCTrainingMetrics:
        """Return what imitation's trainer logs of a loss."""
        return _metrics(loss, neglogp=torch.tensor(torch.nan))

    def __call__(self, policy: ActorCriticPolicy, obs: Observations, acts: Tensor) -> BCTrainingMetrics:
        """Compute the loss. Shapes: (batch, *observation), (batch, *action)."""
        return self.metrics(self.against(acts)(actor_output(policy, obs)))


@dataclass(frozen=True)
class CrossEntropy(OutputLoss):
    """Cross-entropy between a discrete expert's actions and the student's logits.

    Args:
        branches: How many choices each of several actions has; their cross-entropies are summed. None
            for a single action.
    """

    branches: tuple[int, ...] | None = None

    def against(self, acts: Tensor) -> Callable[[Tensor], Tensor]:
        """See :meth:`OutputLoss.against`."""
        acts = acts.long()
        if self.branches is None:
            return lambda logits: F.cross_entropy(logits, acts)
        return lambda logits: self._sum(logits, acts.unbind(dim=1))

    def distillation(self, output: Tensor, taught: Tensor) -> Tensor:
        """See :meth:`OutputLoss.distillation`."""
        if self.branches is None:
            return F.cross_entropy(output, taught.softmax(dim=1))
        return self._sum(output, [part.softmax(dim=1) for part in taught.split(self.branches, dim=1)])

    def _sum(self, logits: Tensor, targets: Sequence[Tensor]) -> Tensor:
        assert self.branches is not None
        parts = logits.split(self.branches, dim=1)
        return torch.stack([F.cross_entropy(*pair) for pair in zip(parts, targets, strict=True)]).sum()

    def metrics(self, loss: Tensor) -> BCTrainingMetrics:
        """See :meth:`OutputLoss.metrics`."""
        return _metrics(loss, neglogp=loss)


@dataclass(frozen=True)
class BinaryCrossEntropy(OutputLoss):
    """Cross-entropy between the expert's bits and the student's logits, summed over bits."""

    def against(self, acts: Tensor) -> Callable[[Tensor], Tensor]:
        """See :meth:`OutputLoss.against`."""
        bits = acts.float()
        return lambda logits: self._sum(logits, bits)

    def distillation(self, output: Tensor, taught: Tensor) -> Tensor:
        """See :meth:`OutputLoss.distillation`."""
        return self._sum(output, taught.sigmoid())

    def _sum(self, logits: Tensor, bits: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, bits) * bits.shape[1]

    def metrics(self, loss: Tensor) -> BCTrainingMetrics:
        """See :meth:`OutputLoss.metrics`."""
        return _metrics(loss, neglogp=loss)


@dataclass(frozen=True)
class MeanSquaredError(OutputLoss):
    """Squared error between a continuous expert's action and the student's mean action.

    Args:
        std: Errors are divided by these; None leaves them in the actions' units. Cloning sets them to
            the standard deviations of the demonstrated actions. Shape: (actions,).
    """

    unit: Tensor | None = None

    def in_units(self, unit: Tensor) -> OutputLoss:
        """See :meth:`OutputLoss.in_units`."""
        return self if self.unit is not None else replace(self, unit=unit.float())

    def against(self, acts: Tensor) -> Callable[[Tensor], Tensor]:
        """See :meth:`OutputLoss.against`."""
        acts = acts.reshape(len(acts), -1).float()
        return lambda mean: self._error(mean, acts)

    def distillation(self, output: Tensor, taught: Tensor) -> Tensor:
        """See :meth:`OutputLoss.distillation`."""
        return self._error(output, taught)

    def _error(self, output: Tensor, wanted: Tensor) -> Tensor:
        if self.unit is None:
            return F.mse_loss(output, wanted)
        return ((output - wanted) / self.unit.to(output.device)).square().mean()


@dataclass(frozen=True)
class DistributionDivergence(OutputLoss):
    """How far the student's action distribution is from the expert's, given instead of actions.

    For discrete actions the cross-entropy with the expert's probabilities. For continuous ones, half
    of the squared distance of the means in the expert's standard deviations: the Kullback-Leibler
    divergence of two Gaussians of the same width, the mean over actions. Either is least where the
    distributions are equal. See :func:`~sb3_integral.imitation.expert_distribution`.

    Args:
        discrete: Whether actions are discrete.
        std: As for :class:`MeanSquaredError`, for distillation alone.
    """

    discrete: bool
    unit: Tensor | None = None

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

    def in_units(self, unit: Tensor) -> OutputLoss:
        """See :meth:`OutputLoss.in_units`; the expert's own deviations stay the units of its errors."""
        return self if self.unit is not None else replace(self, unit=unit.float())

    def distillation(self, output: Tensor, taught: Tensor) -> Tensor:
        """See :meth:`OutputLoss.distillation`."""
        if self.discrete:
            return CrossEntropy().distillation(output, taught)
        return MeanSquaredError(self.unit).distillation(output, taught)


@dataclass(frozen=True)
class ClippedSquaredError(MeanSquaredError):
    """Squared error between what the expert does and what the student would, after clipping.

    SB3 clips actions to their space. Where the expert is at a bound, a mean beyond it is as good: there
    the error is zero, and a small network need not spend its few weights on hitting the bound exactly.
    A mean that is beyond the bound on the wrong side has its whole error, and so its gradient.

    Args:
        low: Bounds of the actions, flat. Shape: (actions,).
        high: Likewise.
        std: See :class:`MeanSquaredError`.
    """

    low: Tensor = field(kw_only=True)
    high: Tensor = field(kw_only=True)

    def against(self, acts: Tensor) -> Callable[[Tensor], Tensor]:
        """See :meth:`OutputLoss.against`."""
        acts = acts.reshape(len(acts), -1)
        low, high = self.low.to(acts.device), self.high.to(acts.device)
        # What is as good as the action lies between these two.
        least = acts.masked_fill(acts <= low, -torch.inf).float()
        most = acts.masked_fill(acts >= high, torch.inf).float()
        return lambda mean: self._error(mean, mean.detach().maximum(least).minimum(most))

    def distillation(self, output: Tensor, taught: Tensor) -> Tensor:
        """See :meth:`OutputLoss.distillation`; what is taught is clipped as the environment does it."""
        low, high = self.low.to(taught.device), self.high.to(taught.device)
        return self.against(taught.maximum(low).minimum(high))(output)


def paper_loss(action_space: spaces.Space) -> OutputLoss:  # type: ignore[type-arg]
    """Return the paper's loss for an action space: cross-entropy if discrete, else MSE.

    Spaces of several discrete actions get the sum of their cross-entropies.

    Raises:
        ValueError: If the action space is of another kind.
    """
    if isinstance(action_space, spaces.Discrete):
        if action_space.start != 0:
            raise ValueError(f"SB3's policies count actions from 0, got {action_space}")
        return CrossEntropy()
    if isinstance(action_space, spaces.Box):
        return MeanSquaredError()
    if isinstance(action_space, spaces.MultiDiscrete):
        return CrossEntropy(tuple(action_space.nvec.tolist()))
    if isinstance(action_space, spaces.MultiBinary):
        return BinaryCrossEntropy()
    raise ValueError(
        f"no loss for {action_space}, expected Discrete, MultiDiscrete, MultiBinary or a Box"
    )


def clipped_loss(action_space: spaces.Space) -> OutputLoss:  # type: ignore[type-arg]
    """Return the default loss for an action space: the paper's, blind to what clipping takes away.

    Raises:
        ValueError: If there is no loss for such a space.
    """
    if isinstance(action_space, spaces.Box):
        low, high = (torch.from_numpy(end.flatten()) for end in (action_space.low, action_space.high))
        return ClippedSquaredError(low=low, high=high)
    return paper_loss(action_space)


def distribution_loss(action_space: spaces.Space) -> OutputLoss:  # type: ignore[type-arg]
    """Return the loss against an expert's action distribution, to be given as the targets of cloning.

    Raises:
        ValueError: If there is no loss for such a space.
    """
    if isinstance(action_space, spaces.Discrete | spaces.Box):
        return DistributionDivergence(isinstance(action_space, spaces.Discrete))
    raise ValueError(f"no loss for {action_space}, expected a discrete space or a Box")


LOSSES: dict[str, Callable[[spaces.Space], OutputLoss]] = {  # type: ignore[type-arg]
    "clipped": clipped_loss,
    "paper": paper_loss,
    "distribution": distribution_loss,
}
"""Losses that can be named in a configuration, made from the action space."""


def actor_output(policy: ActorCriticPolicy, obs: Observations) -> Tensor:
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
