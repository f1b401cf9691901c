"""Statistics over independent runs: the paper's, and the scores that make environments comparable."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def welch_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the p-value of Welch's t-test that two samples of runs have the same mean.

    Returns:
        NaN where the test does not exist: a sample of one run, or two samples without variance.
    """
    if min(len(first), len(second)) < 2 or (np.ptp(first) == 0 and np.ptp(second) == 0):
        return math.nan
    from scipy import stats  # takes a second to import, which `import sb3_integral` need not

    # From the moments: ttest_ind warns of lost precision where one sample does not vary.
    moments = [(np.mean(x), np.std(x, ddof=1), len(x)) for x in (first, second)]
    return float(stats.ttest_ind_from_stats(*moments[0], *moments[1], equal_var=False).pvalue)


def normalized_score(value: float, random: float, reference: float) -> float:
    """Return where a return lies between the random policy's (0) and a reference (1).

    Returns:
        NaN if the reference is the random policy's return.
    """
    span = reference - random
    return (value - random) / span if span else math.nan
