from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sb3_integral.evaluation import (
    Moments,
    interquartile_mean,
    normalized_score,
    welch_p,
    welch_p_from_moments,
)

scores = st.lists(st.floats(-10, 10), min_size=2, max_size=8)
varied = st.lists(st.integers(-500, 500), min_size=2, max_size=12).filter(lambda x: len(set(x)) > 1)


def test_two_runs_against_two_by_hand() -> None:
    # given: t = -3 / √2 with 2 degrees of freedom, where p = 1 - |t| / √(2 + t²)
    expected = 1 - math.sqrt(4.5 / 6.5)
    # then
    assert welch_p([0.0, 2.0], [3.0, 5.0]) == pytest.approx(expected)


def test_runs_that_do_not_vary_against_runs_that_do_by_hand() -> None:
    # given: t = 2 with 1 degree of freedom, where p = 1 - (2 / π) atan |t|
    expected = 1 - 2 / math.pi * math.atan(2.0)
    # then
    assert welch_p([3.0, 3.0, 3.0], [0.0, 2.0]) == pytest.approx(expected)
    assert welch_p([0.0, 2.0], [3.0, 3.0, 3.0]) == pytest.approx(expected)


@given(varied, varied)
def test_it_is_scipys_welch_test(first: list[int], second: list[int]) -> None:
    # given
    expected = stats.ttest_ind(np.asarray(first, float), np.asarray(second, float), equal_var=False)
    # then
    assert welch_p(first, second) == pytest.approx(float(expected.pvalue), rel=1e-6, abs=1e-12)


@given(varied)
def test_runs_do_not_differ_from_themselves(runs: list[int]) -> None:
    assert welch_p(runs, runs) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([1.0], [1.0, 2.0, 3.0]),
        ([1.0, 2.0, 3.0], [1.0]),
        ([], [1.0, 2.0]),
        ([-500.0, -500.0], [-500.0, -500.0, -500.0]),
        ([-500.0, -500.0], [-100.0, -100.0]),
    ],
)
def test_there_is_no_p_value_without_two_runs_each_and_some_variance(
    first: list[float], second: list[float]
) -> None:
    assert math.isnan(welch_p(first, second))


@pytest.mark.parametrize(
    ("value", "expected"), [(-500.0, 0.0), (-100.0, 1.0), (-300.0, 0.5), (-600.0, -0.25), (0.0, 1.25)]
)
def test_a_score_is_where_a_return_lies_between_random_and_reference(
    value: float, expected: float
) -> None:
    assert normalized_score(value, random=-500.0, reference=-100.0) == pytest.approx(expected)


def test_a_reference_below_random_turns_the_scale_round() -> None:
    assert normalized_score(-10.0, random=0.0, reference=-20.0) == pytest.approx(0.5)


def test_there_is_no_score_where_the_reference_is_random() -> None:
    assert math.isnan(normalized_score(3.0, random=7.0, reference=7.0))


def test_moments_by_hand() -> None:
    assert Moments.from_runs([1.0, 2.0, 6.0]) == (3.0, pytest.approx(math.sqrt(7.0)), 3)
    assert Moments.from_runs([0.1, 0.1, 0.1]).std == 0.0  # which a computed mean of 0.1 would miss
    assert math.isnan(Moments.from_runs([4.0]).std)


def test_the_test_from_moments_is_that_of_the_runs() -> None:
    first, second = [1.0, 2.0, 6.0], [3.0, 9.0]
    p = welch_p_from_moments(Moments.from_runs(first), Moments.from_runs(second))
    assert p == welch_p(first, second)
    assert p == pytest.approx(stats.ttest_ind(first, second, equal_var=False).pvalue)


# The interquartile mean


@pytest.mark.parametrize(
    ("strata", "expected"),
    [
        ([[1.0, 2.0, 6.0]], 3.0),  # a quarter of three is less than one
        ([[1.0, 2.0, 3.0, 100.0]], 2.5),
        ([[100.0, 5.0, 4.0, 3.0, -100.0]], 4.0),
        ([[0.0, 1.0], [2.0, 90.0]], 1.5),  # over both environments: 1 and 2 are the middle
        ([[1.0], [1.0], [1.0], [9.0]], 1.0),
    ],
)
def test_the_middle_half_is_averaged_by_hand(strata: list[list[float]], expected: float) -> None:
    assert interquartile_mean(*strata).value == pytest.approx(expected)


def test_the_interval_of_two_runs_by_hand() -> None:
    # given two runs: of four equally likely resamples one is all 0 and one is all 1
    value, low, high = interquartile_mean([0.0, 1.0])
    # then the ends are those, as a quarter is more than 2.5 %
    assert (value, low, high) == (0.5, 0.0, 1.0)


def test_runs_are_drawn_within_their_environment() -> None:
    # given two environments far apart, whose runs hardly differ
    apart = interquartile_mean([0.0, 0.01, 0.02], [1.0, 1.01, 1.02])
    together = interquartile_mean([0.0, 0.01, 0.02, 1.0, 1.01, 1.02])
    # then both have the same mean, and only the mixture is uncertain
    assert apart.value == pytest.approx(together.value)
    assert apart.high - apart.low < 0.05 < 0.3 < together.high - together.low


@given(st.lists(scores, min_size=1, max_size=3))
def test_the_interval_holds_the_estimates_of_resamples(strata: list[list[float]]) -> None:
    value, low, high = interquartile_mean(*strata)
    flat = np.concatenate(strata)
    assert flat.min() - 1e-9 <= low <= high <= flat.max() + 1e-9
    assert flat.min() - 1e-9 <= value <= flat.max() + 1e-9
    assert interquartile_mean(*strata) == (value, low, high)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    # given scores of twenty runs around 1, many times over
    rng = np.random.default_rng(0)
    samples = rng.normal(1.0, 0.2, size=(60, 20))
    # when
    intervals = [interquartile_mean(sample.tolist()) for sample in samples]
    # then
    covered = sum(low <= 1.0 <= high for _, low, high in intervals)
    assert 50 <= covered < 60


@pytest.mark.parametrize("strata", [[[1.0]], [[1.0, 2.0], [3.0]]])
def test_one_run_has_no_interval(strata: list[list[float]]) -> None:
    value, low, high = interquartile_mean(*strata)
    assert not math.isnan(value)
    assert math.isnan(low)
    assert math.isnan(high)


@pytest.mark.parametrize("strata", [[], [[]], [[1.0, math.nan]]])
def test_without_scores_there_is_no_mean(strata: list[list[float]]) -> None:
    assert all(map(math.isnan, interquartile_mean(*strata)))
