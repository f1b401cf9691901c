"""Evidence on whether one policy's mean return is within a tolerance of another's, as episodes come in.

Evidence is the logarithm of a gambler's capital, who began with 1 and bets on what the next episodes
return. Were the mean return on the other side of the tolerance, the bets would be fair or worse, and by
Ville's inequality the capital would ever reach 1/alpha with a probability of at most alpha.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

FIRST_PAIRS = 8
"""Pairs of episodes on which nobody bets: they only show how returns vary."""

RATIOS = (0, 1, 2, 3, 4)
"""How many episodes of the smaller policy come to one of the full one; 0 is a pair of the same seed."""

BOLDEST = 0.95
"""The largest part of the capital that one bet can lose."""


class Block(NamedTuple):
    """Episodes on which is bet at once.

    Attributes:
        full: The return of an episode at full size.
        smaller: The returns of episodes at the smaller size.
        is_pair: Whether it is one only, with the same seed; all seeds differ otherwise.
    """

    full: float
    smaller: tuple[float, ...]
    is_pair: bool


class Evidence(NamedTuple):
    """Logarithms of what two gamblers have.

    Attributes:
        within: Of the one who bets that the smaller policy is within the tolerance.
        degraded: Of the one who bets that it is not.
    """

    within: float = 0.0
    degraded: float = 0.0


class SequentialTest(Protocol):
    """A way to bet, valid however often one looks at its evidence."""

    def evidence(self, blocks: Sequence[Block], tolerance: float) -> Evidence:
        """Return the evidence of all episodes so far.

        Args:
            blocks: In the order in which they were played.
            tolerance: How much less return is still within.
        """
        ...

    def next_ratio(self, blocks: Sequence[Block], tolerance: float) -> int:
        """Return the one of :data:`RATIOS` by which the next episodes are expected to say most."""
        ...


@dataclass(frozen=True)
class NormalTest:
    """Bets on the differences of pairs as if their mean was normal, with a mixture of all stakes.

    It needs no range of returns, but holds only if mean differences are about normal: rare failures that
    the first episodes do not show deceive it. The one-sided normal mixture of H. Robbins, with estimated
    variances as in I. Waudby-Smith et al., *Time-uniform central limit theory and asymptotic confidence
    sequences*, Annals of Statistics 52, 2024.

    Args:
        aim: The number of pairs at which the evidence is strongest.
    """

    aim: int = 30

    def evidence(self, blocks: Sequence[Block], tolerance: float) -> Evidence:
        """See :class:`SequentialTest`."""
        margins = np.array([np.mean(block.smaller) - block.full + tolerance for block in blocks])
        count = len(margins)
        if count < FIRST_PAIRS or not margins.any():
            return Evidence()
        mean = float(margins.mean())
        share = count / (count + self.aim)
        spread = max(float(margins.std(ddof=1)), 1e-9 * abs(mean))
        z = mean / spread * math.sqrt(count * share)
        constant = 0.5 * math.log(1.0 - share)
        return Evidence(constant + _log_mixture(z), constant + _log_mixture(-z))

    def next_ratio(self, blocks: Sequence[Block], tolerance: float) -> int:
        """See :class:`SequentialTest`."""
        return 0


def _log_mixture(z: float) -> float:
    """Return the logarithm of 2 exp(z²/2) times the probability of a normal number below z."""
    from scipy.special import erfcx  # `import sb3_integral` need not wait for it

    return math.log(float(erfcx(-z / math.sqrt(2.0))))


@dataclass(frozen=True)
class BettingTest:
    """Bets on returns that lie in a range: valid for every number of episodes and every distribution.

    Each stake is as large as past wins and their variance suggest ("aGRAPA" in I. Waudby-Smith and
    A. Ramdas, *Estimating means of bounded random variables by betting*, JRSS B 86, 2024), and never
    risks all. So rare failures are no trap: few episodes without a failure prove little.

    A pair of one seed is a bet on the difference of its returns. Episodes of different seeds are a bet
    on each: with m and t for the full policy's mean return and the tolerance, 1 + s·(r − m + t) for an
    episode r of the smaller policy, times 1 − k·s·(r − m) for one of the full policy to k of the smaller
    one. Whatever the stake s, and whatever number is put for m, the expected product is at most 1 for a
    policy that is not within. A pair is the better bet where the same seed makes returns alike.

    Args:
        low: The smallest return an episode can have.
        high: The largest.

    Raises:
        ValueError: If ``low`` is not below ``high``, or one is not finite.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        """Check the range."""
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"a range of returns must ascend, got ({self.low}, {self.high})")

    def evidence(self, blocks: Sequence[Block], tolerance: float) -> Evidence:
        """See :class:`SequentialTest`.

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
                if is_pair:
                    logs[side] += math.log1p(stake * (smaller[0] - full + tolerance))
                else:
                    logs[side] += math.log1p(-ratio * stake * (full - seen.full))
                    logs[side] += sum(
                        math.log1p(stake * (one - seen.full + tolerance)) for one in smaller
                    )
        return Evidence(*logs)

    def next_ratio(self, blocks: Sequence[Block], tolerance: float) -> int:
        """See :class:`SequentialTest`."""
        if len(blocks) < FIRST_PAIRS:
            return 0
        seen = self._history(blocks, tolerance)[-1]
        sign = 1.0 if seen.margin > 0 else -1.0
        return max(RATIOS, key=lambda ratio: seen.stake(sign, ratio)[1])

    def _history(self, blocks: Sequence[Block], tolerance: float) -> list[_Seen]:
        """Return what has been seen after the first pairs, and after each block since then."""
        sums = np.zeros((3, 3))  # number, sum and squares of full returns, smaller ones and differences
        history = []
        for number, (full, smaller, is_pair) in enumerate(blocks, start=1):
            for row, values in zip(sums, ([full], smaller, [smaller[0] - full] * is_pair), strict=True):
                row += (len(values), sum(values), sum(value * value for value in values))
            if number >= FIRST_PAIRS:
                means, squares = sums[:, 1] / sums[:, 0], sums[:, 2] / sums[:, 0]
                margin = float(means[1] - means[0]) + tolerance
                variances = np.maximum(squares - means**2, 0.0).tolist()
                history.append(_Seen(self, tolerance, float(means[0]), margin, *variances))
        return history

    def _check(self, blocks: Sequence[Block], tolerance: float) -> None:
        span = self.high - self.low
        if tolerance >= span:
            raise ValueError(f"the tolerance must be below {span}, the returns' range, got {tolerance}")
        for block in blocks:
            for value in (block.full, *block.smaller):
                if not self.low <= value <= self.high:
                    raise ValueError(
                        f"an episode returned {value}, expected returns from {self.low} to {self.high}"
                    )


class _Seen(NamedTuple):
    """What a gambler has seen, and how it bets then."""

    test: BettingTest
    tolerance: float
    full: float
    margin: float  # above the tolerance
    full_variance: float
    smaller_variance: float
    pair_variance: float

    def stake(self, sign: float, ratio: int) -> tuple[float, float]:
        """Return the stake, and by how much an episode is expected to increase the evidence.

        Args:
            sign: 1 for the gambler who bets that the smaller policy is within, -1 for the other.
            ratio: One of :data:`RATIOS`.
        """
        low, high = self.test.low, self.test.high
        gain, count = sign * self.margin, max(ratio, 1)
        if ratio == 0:
            most_lost = high - low - sign * self.tolerance
            variance = self.pair_variance
        else:
            worst, worst_full = (low, high) if sign > 0 else (high, low)
            most_lost = max(
                sign * (self.full - self.tolerance - worst), sign * ratio * (worst_full - self.full)
            )
            variance = ratio * self.smaller_variance + ratio**2 * self.full_variance
        squares = variance + count * gain**2
        stake = min(max(count * gain, 0.0) / (squares + 1e-300), BOLDEST / max(most_lost, 1e-300))
        return stake, (stake * count * gain - 0.5 * stake**2 * squares) / (1 + count)
