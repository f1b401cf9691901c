"""Sequential tests of whether one policy's mean return is within a tolerance of another's.

Both look at the same question again and again while episodes come in, and are wrong at most as often
as ``alpha`` says over all looks together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class SequentialTest(Protocol):
    """A test that may be asked after every episode."""

    def decide(
        self, reference: Sequence[float], other: Sequence[float], tolerance: float, alpha: float
    ) -> bool | None:
        """Say whether the mean of ``other`` is above that of ``reference`` minus the tolerance.

        Args:
            reference: Returns of independent episodes, in the order in which they were begun.
            other: As many of the other. Returns at the same place may be of the same episode, which
                makes the differences smaller and the decision quicker.
            tolerance: How much less is still within.
            alpha: How often a decision may be wrong, however often this is asked as data come in.

        Returns:
            Whether it is; None while that is undecided.
        """
        ...


@dataclass(frozen=True)
class BettingTest:
    """A test by betting: valid for every number of episodes and every distribution in a range.

    A gambler bets on the difference of two returns. Were its mean on the other side of the tolerance,
    the bets would be fair or worse, and by Ville's inequality the capital would ever reach 1/alpha with
    a probability of at most alpha. So two gamblers bet, one on either side, each as much as its past
    wins and their variance suggest ("aGRAPA" in I. Waudby-Smith and A. Ramdas, *Estimating means of
    bounded random variables by betting*, JRSS B 86, 2024). Rare failures are no trap: a gambler never
    stakes all, and small samples without a failure prove little.

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

    def decide(
        self, reference: Sequence[float], other: Sequence[float], tolerance: float, alpha: float
    ) -> bool | None:
        """See :meth:`SequentialTest.decide`.

        Raises:
            ValueError: If a return is outside the range, or the tolerance is not smaller than it.
        """
        returns = np.asarray([reference, other], dtype=float)
        outside = returns[(returns < self.low) | (returns > self.high)]
        if len(outside):
            raise ValueError(
                f"an episode returned {outside[0]}, expected returns from {self.low} to {self.high}"
            )
        span = self.high - self.low
        if tolerance >= span:
            raise ValueError(f"the tolerance must be below {span}, the returns' range, got {tolerance}")
        loss = returns[0] - returns[1]
        if _largest_capital(tolerance - loss, span - tolerance) >= 1.0 / alpha:
            return True
        if _largest_capital(loss - tolerance, span + tolerance) >= 1.0 / alpha:
            return False
        return None


BOLDEST = 0.9
"""The largest part of the capital that one bet can lose."""


def _largest_capital(wins: np.ndarray[tuple[int], np.dtype[np.float64]], worst: float) -> float:
    """Return the largest capital on the way, from 1, of a gambler who stakes on each win in turn.

    Args:
        wins: What one unit of stake wins, negative for a loss.
        worst: The most that it can lose.
    """
    capital = largest = 1.0
    # As if one win had been seen: a small one, with a deviation of a tenth of the worst.
    total, squares, count = 0.0, (0.1 * worst) ** 2, 1
    for win in wins:
        mean = total / count
        variance = max(squares / count - mean**2, 0.0)
        stake = min(max(mean, 0.0) / (variance + mean**2 + 1e-300), BOLDEST / worst)
        capital *= 1.0 + stake * float(win)
        largest = max(largest, capital)
        total, squares, count = total + float(win), squares + float(win) ** 2, count + 1
    return largest


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
    """

    every: int = 16

    def decide(
        self, reference: Sequence[float], other: Sequence[float], tolerance: float, alpha: float
    ) -> bool | None:
        """See :meth:`SequentialTest.decide`; to be asked whenever ``every`` episodes have come."""
        from scipy import stats  # takes a second to import, which `import sb3_integral` need not

        margins = np.asarray(other, dtype=float) - np.asarray(reference, dtype=float) + tolerance
        for look in range(1, len(margins) // self.every + 1):
            seen = margins[: look * self.every]
            mean, error = float(seen.mean()), float(seen.std(ddof=1)) / math.sqrt(len(seen))
            if error == 0.0:
                if mean:
                    return mean > 0
                continue
            if stats.t.sf(abs(mean) / error, len(seen) - 1) <= alpha / (look * (look + 1)):
                return mean > 0
        return None
