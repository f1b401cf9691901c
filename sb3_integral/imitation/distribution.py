"""The expert's own action distribution, which says more of it than the action that it took."""

from __future__ import annotations

import torch
from imitation.data.types import map_maybe_dict
from stable_baselines3.common.distributions import CategoricalDistribution, DiagGaussianDistribution
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from sb3_integral.imitation.observations import Observations, named_parts
from sb3_integral.policies.kinds import is_actor_critic

STEPS_AT_ONCE = 1 << 14
"""Observations that go through the expert in one go."""


@torch.no_grad()
def expert_distribution(expert: BasePolicy, observations: Observations) -> Tensor:
    """Return an expert's action distribution in each of some states.

    It is what :class:`~sb3_integral.imitation.DistributionDivergence` takes, and so what
    :func:`~sb3_integral.imitation.clone` takes as ``targets``.

    Args:
        expert: The policy of a model of PPO, A2C, TRPO or the like.
        observations: As the policy was trained on, normalised if it was. Shape: (n, *observation).

    Returns:
        For discrete actions the probability of each, shape (n, actions); for continuous ones the mean
        and standard deviation of a Gaussian, shape (n, 2, actions).

    Raises:
        ValueError: If the policy is of another kind, or has another distribution.
    """
    if not is_actor_critic(expert):
        raise ValueError(
            f"{type(expert).__name__} gives no action distribution, expected an ActorCriticPolicy"
        )
    parts = []
    n_steps = len(next(iter(named_parts(observations).values())))
    for rows in torch.arange(n_steps).split(STEPS_AT_ONCE):
        some = map_maybe_dict(lambda part: part[rows].to(expert.device), observations)  # noqa: B023
        distribution = expert.get_distribution(some)
        if isinstance(distribution, CategoricalDistribution):
            parts.append(distribution.distribution.probs)
        elif isinstance(distribution, DiagGaussianDistribution):
            gaussian = distribution.distribution
            parts.append(torch.stack([gaussian.mean, gaussian.stddev.expand_as(gaussian.mean)], dim=1))
        else:
            raise ValueError(
                f"expected a categorical or a Gaussian action distribution, "
                f"got {type(distribution).__name__}"
            )
    return torch.cat(parts).cpu()
