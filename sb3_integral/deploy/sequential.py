"""Evidence on whether one policy's mean return is within a tolerance of another's, as episodes come in.

Evidence is the logarithm of a gambler's capital, who began with 1 and bets on what the next episodes
return. Were the mean return on the other side of the tolerance, the bets would be fair or worse, and by
Ville's inequality the capital would ever reach 1/alpha with a probability of at most alpha.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

FIRST_PAIRS = 8
"""Pairs of episodes on which nobody bets: they only show how returns vary."""

RATIOS = (0, 1, 2, 3, 4)
"""How many episodes of the smaller policy come to one of the full one; 0 is a pair of the same seed."""

BOLDEST = 0.95
"""The largest part of the capital that one bet can lose."""


class Block(NamedTuple):
    """The episodes of one bet.

    Attributes:
        full: The return of an episode at full size.
        smaller: The returns of episodes at the smaller size.
        is_pair: Whether it is one only, with the same seed; all seeds differ otherwise.
    """

    full: float
    smaller: tuple[float, ...]
    is_pair: bool


class Evidence(NamedTuple):
    """Logarithms of the capitals of two gamblers.

    Attributes:
        within: Of the one who bets that the smaller policy is within the tolerance.
        degraded: Of the one who bets that it is not.
    """

    within: float = 0.0
    degraded: float = 0.0


@dataclass(frozen=True)
class BettingTest:
    """Bets on returns, valid for every number of episodes and every distribution in a range.

    Each stake is as large as past wins and their variance suggest ("aGRAPA" in I. Waudby-Smith and
    A. Ramdas, *Estimating means of bounded random variables by betting*, JRSS B 86, 2024), and never
    risks all. So rare failures are no trap: few episodes without a failure prove little.

    A pair of one seed is a bet on the difference of its returns, which is best where the same seed makes
    returns alike. Episodes of different seeds are a bet on each: with m for the full policy's mean
    return and t for the tolerance, it multiplies the capital by 1 + s·(r - m + t) for an episode r of
    the smaller policy, and by 1 - k·s·(r - m) for one of the full policy to k of the smaller one.
    Whatever the stake s is, and whatever number is put for m, the product is 1 or less on average for a
    policy that is not within.

    Args:
        return_range: The smallest and the largest return that an episode can have. Without it, none is
            expected further from those seen than they are from each other: failures that are rare and
            much worse than all else can go unseen.

    Raises:
        ValueError: If the range does not ascend, or is not finite.
    """

    return_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Check the range."""
        low, high = self.return_range or (0.0, 1.0)
        if not -math.inf < low < high < math.inf:
            raise ValueError(f"a range of returns must ascend, got {self.return_range}")

    def evidence(self, blocks: Sequence[Block], tolerance: float) -> Evidence:
        """Return the evidence of all episodes so far.

        Args:
            blocks: In the order in which they were played, the first :data:`FIRST_PAIRS` of them pairs.
            tolerance: How much less return is still within.

        Raises:
            ValueError: If a return is outside the range, or the tolerance is not smaller than it.
        """
        self._check(blocks, tolerance)
        logs = [0.0, 0.0]
        history = self._history(blocks, tolerance)
        for seen, (full, smaller, is_pair) in zip(history, blocks[FIRST_PAIRS:], strict=False):
            for side, sign in enumerate((1.0, -1.0)):
                ratio = 0 if is_pair else len(smaller)
                stake = sign * seen.stake(sign, ratio)[0]
                wins = [one - seen.full + tolerance for one in smaller]
                if is_pair:
                    wins = [smaller[0] - full + tolerance]
                wins.append(-ratio * (full - seen.full))
                logs[side] += sum(math.log(max(1.0 + stake * win, 1.0 - BOLDEST)) for win in wins)
        return Evidence(*logs)

    def next_ratio(self, blocks: Sequence[Block], tolerance: float) -> int:
        """Return the one of :data:`RATIOS` by which the next episodes are expected to say most."""
        if len(blocks) < FIRST_PAIRS:
            return 0
        seen = self._history(blocks, tolerance)[-1]
        sign = 1.0 if seen.smaller + tolerance > seen.full else -1.0
        return max(RATIOS, key=lambda ratio: seen.stake(sign, ratio)[1])

    def _history(self, blocks: Sequence[Block], tolerance: float) -> list[_Seen]:
        """Return what has been seen after the first pairs, and after each block since then."""
        sums = np.zeros((3, 3))  # number, sum and squares of full returns, smaller ones and differences
        lows, highs = np.full(3, math.inf), np.full(3, -math.inf)
        history = []
        for number, (full, smaller, is_pair) in enumerate(blocks, start=1):
            for row, values in enumerate(([full], smaller, [smaller[0] - full] * is_pair)):
                sums[row] += (len(values), sum(values), sum(value * value for value in values))
                lows[row], highs[row] = min((lows[row], *values)), max((highs[row], *values))
            if number >= FIRST_PAIRS:
                means, squares = sums[:, 1] / sums[:, 0], sums[:, 2] / sums[:, 0]
                variances = np.maximum(squares - means**2, 0.0)
                bounds = self._bounds(lows, highs)
                history.append(_Seen(*bounds, tolerance, *means[:2].tolist(), *variances.tolist()))
        return history

    def _bounds(self, lows: Array, highs: Array) -> tuple[float, float, float, float]:
        """Return the ends of the range of returns, and of that of differences."""
        if self.return_range is not None:
            low, high = self.return_range
            return low, high, low - high, high - low
        low, high = float(lows[:2].min()), float(highs[:2].max())
        least, most = float(lows[2]), float(highs[2])
        return 2 * low - high, 2 * high - low, 2 * least - most, 2 * most - least

    def _check(self, blocks: Sequence[Block], tolerance: float) -> None:
        if self.return_range is None:
            return
        low, high = self.return_range
        if tolerance >= high - low:
            raise ValueError(
                f"the tolerance must be below {high - low}, the returns' range, got {tolerance}"
            )
        for block in blocks:
            for value in (block.full, *block.smaller):
                if not low <= value <= high:
                    raise ValueError(
                        f"an episode returned {value}, expected returns from {low} to {high}"
                    )


class _Seen(NamedTuple):
    """What a gambler knows when it bets: bounds, means and variances of returns and differences."""

    low: float
    high: float
    least_difference: float
    most_difference: float
    tolerance: float
    full: float
    smaller: float
    full_variance: float
    smaller_variance: float
    pair_variance: float

    def stake(self, sign: float, ratio: int) -> tuple[float, float]:
        """Return the stake, and by how much an episode is expected to increase the evidence.

        Args:
            sign: 1 for the gambler who bets that the smaller policy is within, -1 for the other.
            ratio: One of :data:`RATIOS`.
        """
        level, count = self.full - self.tolerance, max(ratio, 1)
        gain, variance = sign * (self.smaller - level), self.pair_variance
        worst, best = (self.low, self.high) if sign > 0 else (self.high, self.low)
        most_lost = -sign * (self.least_difference if sign > 0 else self.most_difference)
        most_lost -= sign * self.tolerance
        if ratio:
            most_lost = max(sign * (level - worst), sign * ratio * (best - self.full))
            variance = ratio * self.smaller_variance + ratio**2 * self.full_variance
        most_lost = max(most_lost, 0.1 * self.tolerance)
        squares = variance + count * gain**2
        stake = min(max(count * gain, 0.0) / (squares + 1e-300), BOLDEST / most_lost)
        return stake, (stake * count * gain - 0.5 * stake**2 * squares) / (1 + count)


@dataclass(frozen=True)
class PairedTTest:
    """A paired t-test, repeated after every ``every`` episodes, with alpha spent over the looks.

    The k-th look may be wrong with probability alpha / (k (k + 1)), which add up to alpha (after K. Lan
    and D. DeMets, *Discrete sequential boundaries for clinical trials*, Biometrika 70, 1983; by
    Bonferroni, so whatever the looks have to do with each other). It needs no range of returns, but
    assumes that mean differences are about normal: rare failures that the first episodes do not show
    deceive it.

    Args:
        every: Episodes from one look to the next.
        first: Episodes before the first look; ``every`` by default.
    """

    every: int = 16
    first: int | None = None

    def decide(
        self, reference: Sequence[float], other: Sequence[float], tolerance: float, alpha: float
    ) -> bool | None:
        """Return whether the mean of ``other`` is above that of ``reference`` minus the tolerance.

        It is to be asked whenever ``every`` episodes have come, and is None while that is undecided.
        Returns at the same place may be of the same episode. Alpha is how often a decision may be wrong.
        """
        from scipy import stats  # takes a second to import, which `import sb3_integral` need not

        margins = np.asarray(other, dtype=float) - np.asarray(reference, dtype=float) + tolerance
        counts = range(self.first or self.every, len(margins) + 1, self.every)
        for look, count in enumerate(counts, start=1):
            seen = margins[:count]
            mean, error = float(seen.mean()), float(seen.std(ddof=1)) / math.sqrt(len(seen))
            if error == 0.0:
                if mean:
                    return mean > 0
                continue
            if stats.t.sf(abs(mean) / error, len(seen) - 1) <= alpha / (look * (look + 1)):
                return mean > 0
        return None
