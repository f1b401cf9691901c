"""Generalised state-dependent exploration (gSDE) for an actor whose width changes."""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.distributions import StateDependentNoiseDistribution
from torch import Tensor

from sb3_integral.nn import Axis

LARGEST_EXPLN = 80.0
"""Upper bound of log-std: SB3's expln evaluates the exponential there too, though it is not used."""

SMALLEST_STD = 1e-9
"""Stands for no noise at all; its logarithm is finite."""


class AxisNoise(StateDependentNoiseDistribution):
    """SB3's state-dependent noise with the last hidden layer read as a function on its axis.

    The exploration matrix stays on the λ grid, at every size: a node there has the latent of the sample
    that is nearest to it, which at full size is its own. So the noise is about as large at every
    size, and an ordinary distribution can draw the same.
    """

    _axis: Axis

    @classmethod
    def from_plain(cls, plain: StateDependentNoiseDistribution, axis: Axis) -> AxisNoise:
        """Return the noise on an axis that has the state of SB3's noise.

        Args:
            plain: The distribution, built for as many latent features as the axis' grid has nodes.
            axis: The axis of the last hidden layer.
        """
        noise = cls.__new__(cls)
        noise.__dict__.update(plain.__dict__)
        noise._axis = axis
        return noise

    def proba_distribution(self, mean_actions: Tensor, log_std: Tensor, latent_sde: Tensor) -> Any:
        """See SB3; the latent is that of the current size. Shape: (batch, size)."""
        if self._axis.matrices(latent_sde).integration is not None:
            latent_sde = latent_sde[:, self._nearest(latent_sde)]
        return super().proba_distribution(mean_actions, log_std, latent_sde)

    def _nearest(self, like: Tensor) -> Tensor:
        """Return the sample that is nearest to each node of the grid. Shape: (grid,)."""
        points = self._axis.points.detach().to(like.device, torch.float64)
        nodes = torch.linspace(0.0, 1.0, self._axis.grid_size, dtype=torch.float64, device=like.device)
        middles = (points[1:] + points[:-1]) / 2
        # A node in the middle belongs to the sample before it, whatever the rounding.
        return torch.searchsorted(middles + 1e-9, nodes)

    def discrete_log_std(self, log_std: Tensor) -> Tensor:
        """Return the log-std of an ordinary distribution at the current size.

        A sample has the variance of all nodes that it stands for; one that stands for none, where
        there are more samples than nodes, has next to none.

        Args:
            log_std: Shape: (grid, actions) or (grid, 1).
        """
        if self._axis.matrices(log_std).integration is None:
            return log_std
        grid_std = self.get_std(log_std)[:, : log_std.shape[1]]
        variance = torch.zeros(self._axis.size, grid_std.shape[1]).to(grid_std)
        variance.index_add_(0, self._nearest(log_std), grid_std.square())
        std = variance.sqrt().clamp(min=SMALLEST_STD)
        # use_expln continues the exponential by log1p(x) + 1 from 0 on.
        if not self.use_expln:
            return std.log()
        above = torch.expm1(std - 1).clamp(max=LARGEST_EXPLN)
        return torch.where(std > 1, above, std.log())
