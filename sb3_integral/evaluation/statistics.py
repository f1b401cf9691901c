"""Statistics over independent runs: Welch's t-test, normalized scores, interquartile mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 2000


class Moments(NamedTuple):
    """Mean, standard deviation (n - 1 in the denominator, NaN for one run) and number of runs."""

    mean: float
    std: float
    n_runs: int

    @classmethod
    def from_runs(cls, runs: Sequence[float]) -> Moments:
        """Compute them from a non-empty sample."""
        std = float(np.std(runs, ddof=1)) if len(runs) > 1 else math.nan
        return cls(float(np.mean(runs)), std if np.ptp(runs) else 0.0 * std, len(runs))


class Interval(NamedTuple):
    """An estimate and the ends of its confidence interval; these are NaN where there is none."""

    value: float
    low: float
    high: float


def welch_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the p-value of Welch's t-test for equal means of two samples of runs.

    It is NaN if the test is undefined: one sample has a single run, or both have no variance.
    """
    if min(len(first), len(second)) < 2:
        return math.nan
    return welch_p_from_moments(Moments.from_runs(first), Moments.from_runs(second))


def welch_p_from_moments(first: Moments, second: Moments) -> float:
    """Return the p-value of Welch's t-test from what tables print; see :func:`welch_p`."""
    if min(first.n_runs, second.n_runs) < 2 or first.std == second.std == 0.0:
        return math.nan
    from scipy import stats  # takes a second to import, which `import sb3_integral` need not

    # ttest_ind would warn about lost precision if one sample is constant.
    return float(stats.ttest_ind_from_stats(*first, *second, equal_var=False).pvalue)


def normalized_score(value: float, random: float, reference: float) -> float:
    """Scale a return so that ``random`` becomes 0 and ``reference`` 1; NaN if these are equal."""
    span = reference - random
    return (value - random) / span if span else math.nan


def interquartile_mean(*strata: Sequence[float], seed: int = 0) -> Interval:
    """Return the mean of the middle half of all scores, with a 95 % stratified bootstrap interval.

    Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (2021). A
    quarter of the scores, rounded down, is dropped at each end: none of three, one of five.

    Args:
        *strata: The scores of independent runs, a sample for each environment. Runs are drawn again
            within their environment.
        seed: Draws them.

    Returns:
        The interval is NaN where an environment has one run only, and all is NaN if a score is.
    """
    scores = [np.asarray(stratum, dtype=np.float64) for stratum in strata]
    everything = np.concatenate([*scores, np.empty(0)])
    if everything.size == 0 or np.isnan(everything).any():
        return Interval(math.nan, math.nan, math.nan)
    from scipy import stats

    value = float(stats.trim_mean(everything, 0.25))
    if min(map(len, scores)) < 2:
        return Interval(value, math.nan, math.nan)
    interval = stats.bootstrap(
        scores,
        _trimmed_mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(value, float(interval.low), float(interval.high))


def _trimmed_mean(*samples: np.ndarray[Any, Any], axis: int) -> np.ndarray[Any, Any]:
    from scipy import stats

    trimmed: np.ndarray[Any, Any] = stats.trim_mean(np.concatenate(samples, axis=axis), 0.25, axis=axis)
    return trimmed
