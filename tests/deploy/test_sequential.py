from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_integral.deploy.sequential import (
    FIRST_PAIRS,
    RATIOS,
    BettingTest,
    Block,
    Evidence,
    PairedTTest,
)

TESTS = [BettingTest((-500.0, 0.0)), BettingTest()]
ALPHA = 0.05


def acrobot(rng: np.random.Generator, mean: float, n: int) -> list[float]:
    """Draw returns of a skewed distribution with a standard deviation of 20."""
    return np.clip(mean + 20.0 - rng.standard_gamma(1.0, n) * 20.0, -500.0, 0.0).tolist()


def pairs(reference: list[float], other: list[float]) -> list[Block]:
    return [Block(full, (smaller,), True) for full, smaller in zip(reference, other, strict=True)]


def decided(evidence: Evidence) -> bool | None:
    if evidence.within >= -math.log(ALPHA):
        return True
    return False if evidence.degraded >= -math.log(ALPHA) else None


def first_decision(test: BettingTest, blocks: list[Block], tolerance: float) -> tuple[bool | None, int]:
    for n in range(8, len(blocks) + 1, 8):
        decision = decided(test.evidence(blocks[:n], tolerance))
        if decision is not None:
            return decision, n
    return None, len(blocks)


@pytest.mark.parametrize("test", TESTS, ids=repr)
def test_clear_cases_are_decided_early(test):
    rng = np.random.default_rng(0)
    reference = acrobot(rng, -80.0, 200)
    within, n_within = first_decision(test, pairs(reference, acrobot(rng, -80.0, 200)), 40.0)
    degraded, n_degraded = first_decision(test, pairs(reference, acrobot(rng, -300.0, 200)), 40.0)
    assert (within, degraded) == (True, False)
    assert n_within <= 100
    assert n_degraded <= 40


@pytest.mark.parametrize("test", TESTS, ids=repr)
def test_at_the_tolerance_itself_it_errs_no_oftener_than_alpha(test):
    # Given two policies between which exactly the tolerance lies, looked at 25 times
    rng = np.random.default_rng(1)
    decisions = [
        first_decision(test, pairs(acrobot(rng, -80.0, 200), acrobot(rng, -120.0, 200)), 40.0)[0]
        for _ in range(60)
    ]
    # Then each side is wrong; of 60, 8 or more would have a probability of 1 % at alpha = 5 %
    assert sum(one is True for one in decisions) < 8
    assert sum(one is False for one in decisions) < 8


@pytest.mark.parametrize("ratio", RATIOS[1:])
def test_bets_on_episodes_of_different_seeds_err_no_oftener_either(ratio):
    # Given the same, with several episodes of one policy for one of the other
    rng, test = np.random.default_rng(ratio), BettingTest((-500.0, 0.0))
    decisions = []
    for _ in range(60):
        full = acrobot(rng, -80.0, 60)
        smaller = np.reshape(acrobot(rng, -120.0, 60 * ratio), (60, ratio)).tolist()
        blocks = pairs(acrobot(rng, -80.0, 8), acrobot(rng, -120.0, 8))
        blocks += [Block(one, tuple(few), False) for one, few in zip(full, smaller, strict=True)]
        decisions.append(first_decision(test, blocks, 40.0)[0])
    # Then
    assert sum(one is True for one in decisions) < 8
    assert sum(one is False for one in decisions) < 8


def test_pairs_are_played_where_the_same_seed_makes_returns_alike():
    rng, test = np.random.default_rng(3), BettingTest((-500.0, 0.0))
    common, own = rng.uniform(-400.0, -50.0, 40), rng.normal(size=40)
    alike = pairs(common.tolist(), np.clip(common - 30.0 + own, -500.0, 0.0).tolist())
    unlike = pairs(acrobot(rng, -80.0, 40), np.clip(-110.0 + 40.0 * own, -500.0, 0.0).tolist())
    assert test.next_ratio(alike, 40.0) == 0
    assert test.next_ratio(unlike, 40.0) > 1
    assert test.next_ratio(unlike[: FIRST_PAIRS - 1], 40.0) == 0


def test_rare_failures_do_not_deceive_the_gambler():
    # Given a policy that fails in one of twenty episodes, which costs 21 on average
    test, rng = BettingTest((-500.0, 0.0)), np.random.default_rng(2)
    wrong = 0
    for _ in range(60):
        reference, other = acrobot(rng, -80.0, 200), np.array(acrobot(rng, -80.0, 200))
        other[rng.random(200) < 0.05] = -500.0
        wrong += first_decision(test, pairs(reference, other.tolist()), 15.0)[0] is True
    assert wrong < 8


@given(
    returns=st.lists(
        st.tuples(st.floats(-500.0, 0.0), st.lists(st.floats(-500.0, 0.0), min_size=1, max_size=4)),
        min_size=FIRST_PAIRS,
        max_size=30,
    ),
    tolerance=st.floats(1.0, 499.0),
)
def test_no_returns_in_the_range_take_all_of_the_capital(returns, tolerance):
    # Given pairs, and then episodes of different seeds
    test = BettingTest((-500.0, 0.0))
    blocks = [
        Block(full, tuple(smaller[:1] if number < FIRST_PAIRS else smaller), number < FIRST_PAIRS)
        for number, (full, smaller) in enumerate(returns)
    ]
    # When / Then
    before = test.evidence(blocks[:-1], tolerance)
    after = test.evidence(blocks, tolerance)
    for one, other in zip(before, after, strict=True):
        # a bet can lose 95 % of the capital at most, and there are five in a block
        assert other - one >= 5 * math.log(0.05) - 1e-9


def test_equal_returns_without_variance_are_within():
    assert decided(BettingTest().evidence(pairs([500.0] * 16, [500.0] * 16), 1.0)) is True
    assert decided(BettingTest().evidence(pairs([500.0] * 16, [400.0] * 16), 1.0)) is False
    assert decided(BettingTest().evidence(pairs([500.0] * 16, [499.0] * 16), 1.0)) is None
    always = pairs([500.0] * 100, [500.0] * 100)
    assert decided(BettingTest((0.0, 500.0)).evidence(always, 50.0)) is True


@pytest.mark.parametrize("test", TESTS, ids=repr)
def test_no_episodes_decide_nothing(test):
    assert test.evidence([], 10.0) == Evidence(0.0, 0.0)
    assert decided(test.evidence(pairs([0.0] * 7, [0.0] * 7), 10.0)) is None


def test_wrong_ranges_are_refused():
    with pytest.raises(ValueError, match=r"must ascend, got \(0.0, -500.0\)"):
        BettingTest((0.0, -500.0))
    with pytest.raises(ValueError, match="must ascend"):
        BettingTest((-np.inf, 0.0))
    with pytest.raises(ValueError, match=r"returned 1.0, expected returns from -500.0 to 0.0"):
        BettingTest((-500.0, 0.0)).evidence(pairs([0.0], [1.0]), 10.0)
    with pytest.raises(ValueError, match=r"tolerance must be below 500\.0"):
        BettingTest((-500.0, 0.0)).evidence(pairs([0.0], [0.0]), 500.0)


def paired_decision(
    reference: list[float], other: list[float], tolerance: float
) -> tuple[bool | None, int]:
    for n in range(8, len(other) + 1, 8):
        decision = PairedTTest(8).decide(reference[:n], other[:n], tolerance, ALPHA)
        if decision is not None:
            return decision, n
    return None, len(other)


def test_a_t_test_decides_clear_cases_early():
    rng = np.random.default_rng(0)
    reference = acrobot(rng, -80.0, 200)
    within, n_within = paired_decision(reference, acrobot(rng, -80.0, 200), 40.0)
    degraded, n_degraded = paired_decision(reference, acrobot(rng, -300.0, 200), 40.0)
    assert (within, degraded) == (True, False)
    assert n_within <= 100
    assert n_degraded <= 40


def test_a_t_test_at_the_tolerance_itself_errs_no_oftener_than_alpha():
    rng = np.random.default_rng(1)
    decisions = [
        paired_decision(acrobot(rng, -80.0, 200), acrobot(rng, -120.0, 200), 40.0)[0] for _ in range(60)
    ]
    assert sum(one is True for one in decisions) < 8
    assert sum(one is False for one in decisions) < 8


def test_a_t_test_of_equal_returns_decides_at_once_and_of_none_nothing():
    assert PairedTTest(8).decide([500.0] * 8, [500.0] * 8, 1.0, ALPHA) is True
    assert PairedTTest(8).decide([500.0] * 8, [400.0] * 8, 1.0, ALPHA) is False
    assert PairedTTest(8).decide([500.0] * 8, [499.0] * 8, 1.0, ALPHA) is None
    assert PairedTTest(8).decide([], [], 10.0, ALPHA) is None


def test_a_first_look_that_comes_later_sees_failures_that_the_first_episodes_do_not_show() -> None:
    # given a policy that is as good in sixteen episodes, and then falls in every fourth
    reference = [500.0 + number % 2 for number in range(32)]
    other = reference[:16] + [
        own - 400.0 * (number % 4 == 0) for number, own in enumerate(reference[16:])
    ]
    # when / then
    assert PairedTTest(16).decide(reference, other, 10.0, ALPHA) is True
    assert PairedTTest(16, first=32).decide(reference, other, 10.0, ALPHA) is not True
    assert PairedTTest(16, first=32).decide(reference[:31], other[:31], 10.0, ALPHA) is None
