from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sb3_integral.evaluation import normalized_score, welch_p

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
