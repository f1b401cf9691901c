"""The best sizes within a budget of parameters, bytes, operations and microseconds."""

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

UNITS = {"macs": "multiply-accumulates", "latency_us": "µs"}
"""The units of fields of :class:`FittedSize` whose name is not their unit."""

N_SCORED = 64
"""The approximate number of shapes that are scored, if more of them fit."""


@dataclass(frozen=True)
class FittedSize:
    """Sizes, their costs, and the limits that they reach.

    Attributes:
        sizes: One per layer; ``policy.resize(fitted.sizes)`` takes them.
        parameters: Weights and biases of the deterministic actor.
        bytes: Their size in memory.
        macs: Multiply-accumulates for one observation.
        latency_us: The measured latency, in microseconds.
        score: The result of the caller's ``score``, if any.
        binding: The limits that one more neuron in some layer would break; empty at full size.
        slack: The difference between each limit and its cost, in the limit's unit; negative if the
            limit is not met.
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
            f"\n  {name}: {_number(abs(left))} {UNITS.get(_field(name), _field(name))} "
            f"{'left' if left >= 0 else 'too many'}"
            f"{', binding' if name in self.binding else ''}"
            for name, left in self.slack.items()
        )


class BudgetError(ValueError):
    """No size meets the budget.

    Attributes:
        closest: The smallest allowed sizes, or the quickest measured ones if only the latency is too
            long.
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

    **Without a score**, the best sizes are those sampled most finely: the sum over layers of
    (full size / size)² is the lowest, and of equal sums the more balanced sizes win. The error of the
    trapezoidal rule and of linear interpolation grows with the square of the points' distance, so this
    sum orders sizes by an error bound, without data and without an environment. More parameters need
    not be better: (3, 90) may have more than (20, 20), but is a bottleneck.

    **With a score**, fitting sizes in which no layer can grow are scored, all of them or about 60 of
    different shapes, and the best one wins.

    **Latency** is measured for the best sizes at several numbers of multiply-accumulates, which are
    bisected. This assumes that latency does not fall as their number rises. The returned sizes were
    measured and met the limit. Measure on the target machine, while nothing else runs.

    Args:
        policy: An integral policy, or a :class:`~sb3_integral.ResizablePolicy`.
        max_parameters: Largest number of weights and biases of the deterministic actor.
        max_bytes: Largest size of these in memory.
        max_macs: Most multiply-accumulates for one observation.
        max_latency_us: Longest time for one observation, in microseconds, as ``latency`` measures it.
        min_size: Smallest size allowed, one for all layers or one per layer.
        score: Rates the policy at its current size; higher is better.
        latency: Measures an ordinary policy, in microseconds.

    Raises:
        BudgetError: If no size from ``min_size`` on meets the limits; it holds the closest sizes.
        ValueError: If no limit is given, a limit is not a positive number, ``min_size`` is above the
            full size, or the policy can't be resized.
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
        return search.best(score)


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

    def best(self, score: Callable[[Resizable], float] | None) -> FittedSize:
        """Return the best scored sizes that meet all limits and can't grow, or the finest."""
        most_macs = self._most_macs()
        if score is None:
            return self._answer(self._finest(most_macs))
        candidates = frontier(
            lambda sizes: self._fits(sizes, most_macs), self._lowest, self._full, N_SCORED
        )
        scored = []
        for sizes in candidates:
            value = float(score(self._policy.resize(sizes)))
            if math.isnan(value):
                raise ValueError(f"score is NaN at sizes {sizes}, expected a number")
            scored.append((value, sizes))
        # Of equal scores, the finest sizes win.
        scored.sort(key=lambda pair: (-pair[0], rank(pair[1], self._full)))
        for value, sizes in scored:
            if self._meets_latency(sizes):
                return self._answer(sizes, value)
        return self._answer(self._finest(most_macs))

    def _finest(self, most_macs: float) -> Sizes:
        return finest_fitting(lambda sizes: self._fits(sizes, most_macs), self._lowest, self._full)

    def _most_macs(self) -> float:
        """Return the most operations for which the latency is met; infinity if there is no limit."""
        if not self._fits(self._lowest, math.inf):
            raise BudgetError(self._answer(self._lowest))
        largest = self._finest(math.inf)
        if self._meets_latency(largest):
            return math.inf
        met = None
        low, high = self._costs(self._lowest).macs, self._costs(largest).macs
        while high - low > 1:
            # The geometric mean, because operations range over orders of magnitude.
            middle = min(max(math.isqrt(low * high), low + 1), high - 1)
            sizes = self._finest(middle)
            if self._meets_latency(sizes):
                met = low = middle
            else:
                high = min(middle, max(low, self._costs(sizes).macs))
        # The smallest sizes need not be the quickest.
        if met is None and not self._meets_latency(self._lowest):
            raise BudgetError(self._answer(min(self._measured, key=self._measured.__getitem__)))
        return low

    def _fits(self, sizes: Sequence[int], most_macs: float) -> bool:
        costs = self._costs(sizes)
        return costs.macs <= most_macs and not self._broken(costs)

    def _broken(self, costs: Costs) -> set[str]:
        """Return the limits that costs exceed, latency aside."""
        return {
            name
            for name, limit in self._limits.items()
            if name != "max_latency_us" and getattr(costs, _field(name)) > limit
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
        slack = {name: limit - values[_field(name)] for name, limit in self._limits.items()}
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


def _field(limit: str) -> str:
    return limit.removeprefix("max_")


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
