"""Statistics over independent runs: the paper's, and the scores that make environments comparable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 2000


class Moments(NamedTuple):
    """What a table prints of a sample of runs; ``std`` has n - 1 in the denominator, NaN of one run."""

    mean: float
    std: float
    n_runs: int

    @classmethod
    def of(cls, runs: Sequence[float]) -> Moments:
        """Return those of a sample, which is not empty."""
        std = float(np.std(runs, ddof=1)) if len(runs) > 1 else math.nan
        return cls(float(np.mean(runs)), std if np.ptp(runs) else 0.0 * std, len(runs))


class Interval(NamedTuple):
    """An estimate and the ends of its confidence interval; these are NaN where there is none."""

    value: float
    low: float
    high: float


def welch_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the p-value of Welch's t-test that two samples of runs have the same mean.

    It is NaN where the test does not exist: a sample of one run, or two samples without variance.
    """
    if min(len(first), len(second)) < 2:
        return math.nan
    return welch_p_from_moments(Moments.of(first), Moments.of(second))


def welch_p_from_moments(first: Moments, second: Moments) -> float:
    """Return the p-value of Welch's t-test from what tables print; see :func:`welch_p`."""
    if min(first.n_runs, second.n_runs) < 2 or first.std == second.std == 0.0:
        return math.nan
    from scipy import stats  # takes a second to import, which `import sb3_integral` need not

    # From the moments: ttest_ind warns of lost precision where one sample does not vary.
    return float(stats.ttest_ind_from_stats(*first, *second, equal_var=False).pvalue)


def normalized_score(value: float, random: float, reference: float) -> float:
    """Return where a return lies between the random policy's (0) and a reference (1), NaN if equal."""
    span = reference - random
    return (value - random) / span if span else math.nan


def interquartile_mean(*strata: Sequence[float], seed: int = 0) -> Interval:
    """Return the mean of the middle half of all scores, with a 95 % stratified bootstrap interval.

    Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (2021). The
    lowest and the highest quarter are left out, rounded down: of three scores none, of five one each.

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
