"""The best sizes that fit a budget of parameters, bytes, operations and microseconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from stable_baselines3.common.policies import BasePolicy

from sb3_integral.deploy.costs import CostModel, Costs
from sb3_integral.deploy.latency import MeasuredLatency
from sb3_integral.deploy.search import Sizes, finest_fitting, frontier, rank
from sb3_integral.nn import Size, as_sizes
from sb3_integral.nn.sizes import format_sizes
from sb3_integral.policies import Resizable, as_resizable

LIMITED = {
    "max_parameters": "parameters",
    "max_bytes": "bytes",
    "max_macs": "macs",
    "max_latency_us": "latency_us",
}
"""What each limit is a limit of: a field of :class:`FittedSize`."""

UNITS = {"macs": "multiply-accumulates", "latency_us": "µs"}
"""How fields are called that are not called by what they count."""

N_SCORED = 64
"""About how many shapes are scored, where there are more that fit."""


@dataclass(frozen=True)
class FittedSize:
    """Sizes, what they cost, and what keeps them from being larger.

    Attributes:
        sizes: One per layer; ``policy.resize(fitted.sizes)`` takes them.
        parameters: Weights and biases of the deterministic actor.
        bytes: Their size in memory.
        macs: Multiply-accumulates for one observation.
        latency_us: Measured, in microseconds.
        score: What the caller's ``score`` gave; None if there was none.
        binding: The limits that one more neuron in some layer would break; empty at full size.
        slack: What is left of each limit, in its own unit; negative where it is not met.
    """

    sizes: Sizes
    parameters: int
    bytes: int
    macs: int
    latency_us: float
    score: float | None
    binding: tuple[str, ...]
    slack: Mapping[str, float]

    def __str__(self) -> str:
        costs = (
            f"{format_sizes(self.sizes)}: {self.parameters:,} parameters, {self.bytes:,} bytes, "
            f"{self.macs:,} multiply-accumulates, {self.latency_us:.1f} µs"
        )
        return costs + "".join(
            f"\n  {name}: {_number(abs(left))} {_unit(name)} {'left' if left >= 0 else 'too many'}"
            f"{', binding' if name in self.binding else ''}"
            for name, left in self.slack.items()
        )


class BudgetError(ValueError):
    """No size meets the budget.

    Attributes:
        closest: The smallest sizes that were allowed, or the quickest that were measured where only the
            latency is too long.
    """

    def __init__(self, closest: FittedSize) -> None:
        super().__init__(f"no size meets the budget; the closest that exists is {closest}")
        self.closest = closest


def fit_to_budget(
    policy: Resizable,
    *,
    max_parameters: int | None = None,
    max_bytes: int | None = None,
    max_macs: int | None = None,
    max_latency_us: float | None = None,
    min_size: Size = 1,
    score: Callable[[Resizable], float] | None = None,
    latency: Callable[[BasePolicy], float] = MeasuredLatency(),
) -> FittedSize:
    """Find the best size of each layer that meets every limit. The policy keeps its own size.

    **Best**, where there is no ``score``: sampled least coarsely. The sum over layers of
    (full size / size)² is least, and of equals the one with layers of more equal size is taken. A
    network that is made smaller differs from the full one because functions are sampled and integrated
    at fewer points; the error of the trapezoidal rule and of linear interpolation falls with the square
    of the points' distance, and λ is about as rough along one layer as along another when distance is
    counted in neurons of the full size. So this is the order of the error bound that needs neither data
    nor environment. Counting parameters or operations would not do: (3, 90) may have more of either than
    (20, 20), and is a bottleneck. No layer of the result can grow without breaking a limit. How good the
    actions are only a ``score`` can tell.

    **With a score**, the sizes that fit and in which no layer can grow are scored: all of them, or some
    60 of all shapes if there are more, and the best is taken.

    **Latency** is measured for the best sizes of several numbers of multiply-accumulates, halving the
    interval; this takes it for granted that latency does not fall as these numbers rise. What is
    returned was measured, and met the limit. Measure on the machine that the policy is for, while
    nothing else runs.

    Args:
        policy: An integral policy, or a :class:`~sb3_integral.ResizablePolicy`.
        max_parameters: Largest number of weights and biases of the deterministic actor.
        max_bytes: Largest size of these in memory.
        max_macs: Most multiply-accumulates for one observation.
        max_latency_us: Longest time for one observation, in microseconds, as ``latency`` measures it.
        min_size: Smallest size allowed, one for all layers or one per layer: a policy is worth nothing
            below the sizes that it was trained for.
        score: How good the policy is at the size in force, more being better: minus a validation loss,
            or a mean return. Called with the policy, resized.
        latency: Measures an ordinary policy, in microseconds; see
            :class:`~sb3_integral.deploy.MeasuredLatency`.

    Raises:
        BudgetError: If nothing from ``min_size`` on meets the limits; it has the closest that exists.
        ValueError: If no limit is given, one is not a positive number, ``min_size`` is above full size,
            or the policy cannot be resized.
    """
    limits = _checked_limits(
        max_parameters=max_parameters,
        max_bytes=max_bytes,
        max_macs=max_macs,
        max_latency_us=max_latency_us,
    )
    policy = as_resizable(policy)
    lowest = as_sizes(min_size, len(policy.max_sizes), "min_size")
    if any(low > high for low, high in zip(lowest, policy.max_sizes, strict=True)):
        raise ValueError(f"min_size must not be above the full size {policy.max_sizes}, got {lowest}")
    search = _Search(policy, lowest, limits, latency)
    with policy.resized(policy.sizes):
        return search.best() if score is None else search.best_scored(score)


class _Search:
    def __init__(
        self,
        policy: Resizable,
        lowest: Sizes,
        limits: Mapping[str, float],
        latency: Callable[[BasePolicy], float],
    ) -> None:
        self._policy = policy
        self._lowest = lowest
        self._full = policy.max_sizes
        self._limits = limits
        self._latency = latency
        self._costs = CostModel(policy)
        self._measured: dict[Sizes, float] = {}

    def best(self) -> FittedSize:
        """Return the finest sizes that meet every limit."""
        return self._answer(self._finest(self._most_macs()))

    def best_scored(self, score: Callable[[Resizable], float]) -> FittedSize:
        """Return the sizes that meet every limit, cannot grow, and score best."""
        most_macs = self._most_macs()
        candidates = frontier(
            lambda sizes: self._fits(sizes, most_macs), self._lowest, self._full, N_SCORED
        )
        scored = []
        for sizes in candidates:
            value = float(score(self._policy.resize(sizes)))
            if math.isnan(value):
                raise ValueError(f"score is NaN at sizes {sizes}, expected a number")
            scored.append((value, sizes))
        # Of equal scores the finest sizes.
        scored.sort(key=lambda pair: (-pair[0], rank(pair[1], self._full)))
        for value, sizes in scored:
            if self._meets_latency(sizes):
                return self._answer(sizes, value)
        return self._answer(self._finest(most_macs))

    def _finest(self, most_macs: float) -> Sizes:
        return finest_fitting(lambda sizes: self._fits(sizes, most_macs), self._lowest, self._full)

    def _most_macs(self) -> float:
        """Return up to how many operations the latency is met; infinity if it does not matter."""
        if not self._fits(self._lowest, math.inf):
            raise BudgetError(self._answer(self._lowest))
        largest = self._finest(math.inf)
        if self._meets_latency(largest):
            return math.inf
        met = None
        low, high = self._costs(self._lowest).macs, self._costs(largest).macs
        while high - low > 1:
            # Operations range over orders of magnitude.
            middle = min(max(math.isqrt(low * high), low + 1), high - 1)
            sizes = self._finest(middle)
            if self._meets_latency(sizes):
                met = low = middle
            else:
                high = min(middle, max(low, self._costs(sizes).macs))
        # The smallest need not be the quickest, so it is asked last.
        if met is None and not self._meets_latency(self._lowest):
            raise BudgetError(self._answer(min(self._measured, key=self._measured.__getitem__)))
        return low

    def _fits(self, sizes: Sequence[int], most_macs: float) -> bool:
        costs = self._costs(sizes)
        return costs.macs <= most_macs and not self._broken(costs)

    def _broken(self, costs: Costs) -> set[str]:
        """Return the limits that costs exceed; the latency is none of them."""
        return {
            name
            for name, limit in self._limits.items()
            if name != "max_latency_us" and getattr(costs, LIMITED[name]) > limit
        }

    def _meets_latency(self, sizes: Sizes) -> bool:
        limit = self._limits.get("max_latency_us")
        return limit is None or self._latency_of(sizes) <= limit

    def _latency_of(self, sizes: Sizes) -> float:
        if sizes not in self._measured:
            self._measured[sizes] = float(self._latency(self._policy.discretize(sizes)))
        return self._measured[sizes]

    def _answer(self, sizes: Sizes, score: float | None = None) -> FittedSize:
        costs = self._costs(sizes)
        latency_us = self._latency_of(sizes)
        values = {**costs._asdict(), "latency_us": latency_us}
        slack = {name: limit - values[LIMITED[name]] for name, limit in self._limits.items()}
        binding: set[str] = {name for name, left in slack.items() if left < 0}
        for axis, size in enumerate(sizes):
            if binding and any(left < 0 for left in slack.values()):
                break
            if size < self._full[axis]:
                grown = self._costs([*sizes[:axis], size + 1, *sizes[axis + 1 :]])
                binding |= self._broken(grown) or {"max_latency_us"}
        return FittedSize(
            sizes=sizes,
            **costs._asdict(),
            latency_us=latency_us,
            score=score,
            binding=tuple(name for name in self._limits if name in binding),
            slack=slack,
        )


def _checked_limits(**limits: float | None) -> dict[str, float]:
    given = {name: limit for name, limit in limits.items() if limit is not None}
    if not given:
        raise ValueError(f"no limit was given, expected at least one of {', '.join(limits)}")
    for name, limit in given.items():
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit < math.inf:
            raise ValueError(f"{name} must be a positive number, got {limit!r}")
    return given


def _unit(limit: str) -> str:
    return UNITS.get(LIMITED[limit], LIMITED[limit])


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
