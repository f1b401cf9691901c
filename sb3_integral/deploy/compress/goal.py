"""What a compressed agent must keep, and what it may cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sb3_integral.deploy.costs import Costs

KEEP = 0.98
"""The share of return that is kept where nothing else is asked for."""


@dataclass(frozen=True)
class Goal:
    """How much return may be lost, and the limits of the file.

    Args:
        keep: The share of the agent's mean return above that of random actions that must be kept; by
            default :data:`KEEP`. If there is a limit and neither this nor ``tolerance`` is given, the
            best size within the limit is taken although it keeps less.
        tolerance: How much mean return may be lost; takes the place of ``keep``.
        confidence: The probability that the chosen size is as good as asked.
        max_parameters: Most weights and biases of the actor.
        max_bytes: Most bytes that these take in float32.
        max_macs: Most multiply-accumulates for one observation.

    Raises:
        ValueError: If a number is out of range.
    """

    keep: float | None = None
    tolerance: float | None = None
    confidence: float = 0.95
    max_parameters: int | None = None
    max_bytes: int | None = None
    max_macs: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.keep is not None and not 0.0 < self.keep < 1.0:
            raise ValueError(f"keep must be between 0 and 1, got {self.keep}")
        if self.tolerance is not None and not 0.0 < self.tolerance < math.inf:
            raise ValueError(f"tolerance must be a positive number, got {self.tolerance}")
        if not 0.5 <= self.confidence < 1.0:
            raise ValueError(f"confidence must be from 0.5 to below 1, got {self.confidence}")
        for name in ("max_parameters", "max_bytes", "max_macs"):
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                raise ValueError(f"{name} must be a positive number, got {limit}")

    @property
    def is_required(self) -> bool:
        """Whether no file is written for a size that loses more."""
        limits = (self.max_parameters, self.max_bytes, self.max_macs)
        return (self.keep, self.tolerance) != (None, None) or limits == (None, None, None)

    def fits(self, costs: Costs) -> bool:
        """Return whether costs are within all limits."""
        limits = (self.max_parameters, self.max_bytes, self.max_macs)
        return all(limit is None or cost <= limit for cost, limit in zip(costs, limits, strict=True))

    def allowed_loss(self, agent: float, random: float) -> float:
        """Return how much mean return may be lost.

        Args:
            agent: The agent's mean return.
            random: The mean return of random actions.

        Raises:
            ValueError: If the agent is no better than random actions, so that a share means nothing.
        """
        if self.tolerance is not None:
            return self.tolerance
        if agent <= random:
            raise ValueError(
                f"the agent's mean return is {agent:.1f} and that of random actions {random:.1f}; "
                f"expected a better agent, or a tolerance in place of keep"
            )
        return (1.0 - (self.keep or KEEP)) * (agent - random)
