"""Statistics over independent runs: tests, normalized scores, means and their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 2000
TAIL_RESAMPLES = 9999  # where percentiles far out are asked for


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


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm, 1979).

    Rejecting every null hypothesis whose corrected value is below α rejects a true one with a
    probability below α, whatever depends on what. Values that are NaN stay so, and do not count.
    """
    p = np.asarray(p_values, dtype=np.float64)
    (known,) = np.nonzero(~np.isnan(p))
    ascending = known[np.argsort(p[known], kind="stable")]
    corrected = p[ascending] * np.arange(len(ascending), 0, -1)
    p[ascending] = np.minimum(np.maximum.accumulate(corrected), 1.0)
    return [float(value) for value in p]


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


def difference_of_means(first: Sequence[float], second: Sequence[float], seed: int = 0) -> Interval:
    """Return the mean of one sample of runs minus that of another, with a 95 % bootstrap interval.

    The runs of each sample are drawn again on their own. Percentiles of few resampled runs are too
    narrow: five runs a sample cover the truth in 85 % to 90 % of cases. So percentiles further out are
    taken, as far as Student's t with Welch's degrees of freedom is wider than the bootstrap's own
    deviation (Hesterberg, "What Teachers Should Know About the Bootstrap", 2015): five normal runs
    cover it in 92 % to 95 %. BCa is no help, for it estimates a skewness of five runs. No resample lies
    outside of the runs, so intervals of two or three runs stay too narrow.

    Args:
        first: Independent runs.
        second: Other runs, independent of the first.
        seed: Draws them.

    Returns:
        The interval is NaN where a sample is a single run, and all is NaN if a run is or there is none.
    """
    # In order, so that it does not matter how runs are numbered.
    samples = [np.sort(np.asarray(sample, dtype=np.float64)) for sample in (first, second)]
    fewest = min(map(len, samples))
    if fewest == 0 or any(np.isnan(sample).any() for sample in samples):
        return Interval(math.nan, math.nan, math.nan)
    value = float(samples[0].mean() - samples[1].mean())
    if fewest < 2:
        return Interval(value, math.nan, math.nan)
    errors = [Moments.from_runs(sample.tolist()).std ** 2 / len(sample) for sample in samples]
    largest = max(errors)
    if not largest:
        return Interval(value, value, value)
    from scipy import stats

    shares = [error / largest for error in errors]
    freedom = sum(shares) ** 2 / sum(e**2 / (len(s) - 1) for e, s in zip(shares, samples, strict=True))
    wider = stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * math.sqrt(fewest / (fewest - 1))
    interval = stats.bootstrap(
        samples,
        _difference,
        n_resamples=TAIL_RESAMPLES,
        confidence_level=1 - 2 * float(stats.norm.sf(wider)),
        method="percentile",
        vectorized=True,
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(value, float(interval.low), float(interval.high))


def _difference(
    first: np.ndarray[Any, Any], second: np.ndarray[Any, Any], axis: int
) -> np.ndarray[Any, Any]:
    difference: np.ndarray[Any, Any] = first.mean(axis=axis) - second.mean(axis=axis)
    return difference


def _trimmed_mean(*samples: np.ndarray[Any, Any], axis: int) -> np.ndarray[Any, Any]:
    from scipy import stats

    trimmed: np.ndarray[Any, Any] = stats.trim_mean(np.concatenate(samples, axis=axis), 0.25, axis=axis)
    return trimmed
