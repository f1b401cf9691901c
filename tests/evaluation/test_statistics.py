from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sb3_integral.evaluation import (
    Moments,
    difference_of_means,
    holm,
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


# Many tests


def test_holms_correction_by_hand() -> None:
    # given four: in order 0.005·4, 0.01·3, 0.03·2, 0.04·1, each at least as large as the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_what_could_not_be_tested_does_not_count() -> None:
    corrected = holm([0.01, math.nan, 0.04])
    assert corrected[0::2] == pytest.approx([0.02, 0.04])
    assert math.isnan(corrected[1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_corrected_values_are_between_the_raw_ones_and_bonferronis_in_any_order(p_values, random):
    # when
    corrected = holm(p_values)
    # then
    for raw, value in zip(p_values, corrected, strict=True):
        assert raw <= value <= min(1.0, raw * len(p_values))
    assert max(corrected) >= max(p_values)
    assert min(corrected) == min(1.0, min(p_values) * len(p_values))
    # and they keep the order of the raw ones, and belong to them
    ranked = [value for _, value in sorted(zip(p_values, corrected, strict=True))]
    assert ranked == sorted(corrected)
    pairs = list(zip(p_values, corrected, strict=True))
    random.shuffle(pairs)
    assert holm([raw for raw, _ in pairs]) == [value for _, value in pairs]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.999))
def test_what_is_rejected_is_what_the_step_down_procedure_rejects(p_values, alpha):
    # given Holm's own words: from the smallest, stop at the first that is not below α / (what is left)
    rejected = 0
    for left, p in zip(range(len(p_values), 0, -1), sorted(p_values), strict=True):
        if p * left >= alpha:
            break
        rejected += 1
    # then
    assert sum(value < alpha for value in holm(p_values)) == rejected


# The difference of two means


def test_two_runs_minus_one_value_by_hand() -> None:
    # given: percentiles far out of a resample's mean, which is 0, 1 or 2
    assert difference_of_means([0.0, 2.0], [5.0, 5.0]) == (-4.0, -5.0, -3.0)


def test_runs_that_do_not_vary_differ_by_what_they_differ() -> None:
    assert difference_of_means([0.1, 0.1, 0.1], [0.4, 0.4]) == pytest.approx((-0.3, -0.3, -0.3))


@given(scores, scores)
def test_a_difference_turns_round_and_does_not_depend_on_order(first, second) -> None:
    value, low, high = difference_of_means(first, second)
    assert value == pytest.approx(np.mean(first) - np.mean(second))
    assert min(first) - max(second) - 1e-9 <= low <= high <= max(first) - min(second) + 1e-9
    assert difference_of_means(first[::-1], second[::-1]) == (value, low, high)
    assert difference_of_means(second, first).value == pytest.approx(-value)


@pytest.mark.parametrize("deviation", [0.2, 0.02])
def test_the_difference_of_five_runs_is_covered_about_as_often_as_it_says(deviation: float) -> None:
    # given five runs a sample of one mean, many times over
    rng = np.random.default_rng(0)
    firsts, seconds = rng.normal(1.0, 0.2, (150, 5)), rng.normal(1.0, deviation, (150, 5))
    # when
    intervals = [difference_of_means(*map(list, pair)) for pair in zip(firsts, seconds, strict=True)]
    # then
    covered = sum(low <= 0.0 <= high for _, low, high in intervals)
    assert 0.89 * 150 <= covered < 0.99 * 150


def test_a_difference_of_single_runs_has_no_interval() -> None:
    value, low, high = difference_of_means([1.0], [0.25, 0.25])
    assert value == 0.75
    assert math.isnan(low)
    assert math.isnan(high)


@pytest.mark.parametrize("samples", [([], [1.0]), ([1.0, math.nan], [1.0, 2.0])])
def test_without_runs_there_is_no_difference(samples: tuple[list[float], list[float]]) -> None:
    assert all(map(math.isnan, difference_of_means(*samples)))


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
