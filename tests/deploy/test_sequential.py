from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_integral.deploy.sequential import BettingTest, PairedTTest, SequentialTest

TESTS: list[SequentialTest] = [BettingTest(-500.0, 0.0), PairedTTest(8)]
ALPHA = 0.05


def acrobot(rng: np.random.Generator, mean: float, n: int) -> list[float]:
    """Draw returns of a skewed distribution with a standard deviation of 20."""
    return np.clip(mean + 20.0 - rng.standard_gamma(1.0, n) * 20.0, -500.0, 0.0).tolist()


def first_decision(
    test: SequentialTest, reference: list[float], other: list[float], tolerance: float
) -> tuple[bool | None, int]:
    for n in range(8, len(other) + 1, 8):
        decided = test.decide(reference[:n], other[:n], tolerance, ALPHA)
        if decided is not None:
            return decided, n
    return None, len(other)


@pytest.mark.parametrize("test", TESTS, ids=lambda test: type(test).__name__)
def test_clear_cases_are_decided_early(test):
    rng = np.random.default_rng(0)
    reference = acrobot(rng, -80.0, 200)
    within, n_within = first_decision(test, reference, acrobot(rng, -80.0, 200), 40.0)
    degraded, n_degraded = first_decision(test, reference, acrobot(rng, -300.0, 200), 40.0)
    assert (within, degraded) == (True, False)
    assert n_within <= 100
    assert n_degraded <= 40


@pytest.mark.parametrize("test", TESTS, ids=lambda test: type(test).__name__)
def test_at_the_tolerance_itself_it_errs_no_oftener_than_alpha(test):
    # Given two policies between which exactly the tolerance lies, looked at 25 times
    rng = np.random.default_rng(1)
    decided = [
        first_decision(test, acrobot(rng, -80.0, 200), acrobot(rng, -120.0, 200), 40.0)[0]
        for _ in range(60)
    ]
    # Then each side is wrong; of 60, 8 or more would have a probability of 1 % at alpha = 5 %
    assert sum(one is True for one in decided) < 8
    assert sum(one is False for one in decided) < 8


def test_rare_failures_do_not_deceive_the_gambler():
    # Given a policy that fails in one of twenty episodes, which costs 21 on average
    test, rng = BettingTest(-500.0, 0.0), np.random.default_rng(2)
    wrong = 0
    for _ in range(60):
        reference, other = acrobot(rng, -80.0, 200), np.array(acrobot(rng, -80.0, 200))
        other[rng.random(200) < 0.05] = -500.0
        wrong += first_decision(test, reference, other.tolist(), 15.0)[0] is True
    assert wrong < 8


@given(
    seed=st.integers(0, 10_000),
    tolerance=st.floats(1.0, 300.0),
    difference=st.floats(-200.0, 200.0),
)
def test_a_decision_stands_when_more_episodes_come(seed, tolerance, difference):
    rng = np.random.default_rng(seed)
    test = BettingTest(-500.0, 0.0)
    reference, other = acrobot(rng, -150.0, 80), acrobot(rng, -150.0 - difference, 80)
    first, _ = first_decision(test, reference, other, tolerance)
    if first is not None:
        later = test.decide(reference, other, tolerance, ALPHA)
        # Should both gamblers ever win, the one who bets on "within" is heard first.
        assert later is first or later is True


def test_equal_returns_without_variance_are_within():
    assert PairedTTest(8).decide([500.0] * 8, [500.0] * 8, 1.0, ALPHA) is True
    assert PairedTTest(8).decide([500.0] * 8, [400.0] * 8, 1.0, ALPHA) is False
    assert PairedTTest(8).decide([500.0] * 8, [499.0] * 8, 1.0, ALPHA) is None
    assert BettingTest(0.0, 500.0).decide([500.0] * 100, [500.0] * 100, 50.0, ALPHA) is True


@pytest.mark.parametrize("test", TESTS, ids=lambda test: type(test).__name__)
def test_no_episodes_decide_nothing(test):
    assert test.decide([], [], 10.0, ALPHA) is None


def test_wrong_ranges_are_refused():
    with pytest.raises(ValueError, match=r"must ascend, got \(0.0, -500.0\)"):
        BettingTest(0.0, -500.0)
    with pytest.raises(ValueError, match="must ascend"):
        BettingTest(-np.inf, 0.0)
    with pytest.raises(ValueError, match=r"returned 1.0, expected returns from -500.0 to 0.0"):
        BettingTest(-500.0, 0.0).decide([0.0], [1.0], 10.0, ALPHA)
    with pytest.raises(ValueError, match=r"tolerance must be below 500\.0"):
        BettingTest(-500.0, 0.0).decide([0.0], [0.0], 500.0, ALPHA)
