"""Generalised state-dependent exploration (gSDE) for an actor whose width changes."""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.distributions import StateDependentNoiseDistribution
from torch import Tensor

from sb3_integral.nn import Axis

LARGEST_EXPLN = 80.0
"""SB3 computes the exponential on both sides of zero, which must not overflow on the side unused."""


class AxisNoise(StateDependentNoiseDistribution):
    """SB3's state-dependent noise with the last hidden layer read as a function on its axis.

    The exploration matrix stays on the λ grid, at every size: the latent is brought there by the
    axis' integration matrix (the adjoint of Eq. 3), which is the identity at full size.
    """

    _axis: Axis

    @classmethod
    def adopt(cls, plain: StateDependentNoiseDistribution, axis: Axis) -> AxisNoise:
        """Take a distribution over.

        Args:
            plain: The distribution, built for as many latent features as the axis' grid has nodes.
            axis: The axis of the last hidden layer.
        """
        noise = cls.__new__(cls)
        noise.__dict__.update(plain.__dict__)
        noise._axis = axis
        return noise

    def proba_distribution(self, mean_actions: Tensor, log_std: Tensor, latent_sde: Tensor) -> Any:
        """See SB3; the latent is that of the size in force. Shape: (batch, size)."""
        integration = self._axis.matrices(latent_sde).integration
        if integration is not None:
            latent_sde = torch.mm(latent_sde, integration.T)
        return super().proba_distribution(mean_actions, log_std, latent_sde)

    def discrete_log_std(self, log_std: Tensor) -> Tensor:
        """Return the log-std of an ordinary distribution at the size in force.

        Each feature's own variance is kept; that neighbours share noise has no place in it.

        Args:
            log_std: Shape: (grid, actions) or (grid, 1).
        """
        integration = self._axis.matrices(log_std).integration
        if integration is None:
            return log_std
        grid_std = self.get_std(log_std)[:, : log_std.shape[1]]
        std = torch.sqrt(integration.square().T @ grid_std.square())
        # use_expln continues the exponential by log1p(x) + 1 from 0 on.
        if not self.use_expln:
            return std.log()
        above = torch.expm1(std - 1).clamp(max=LARGEST_EXPLN)
        return torch.where(std > 1, above, std.log())
