from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_integral.policies import (
    GivenSizes,
    LogUniformSizes,
    PowerLawSizes,
    SizeDistribution,
    UniformSizes,
)

DISTRIBUTIONS = (UniformSizes, LogUniformSizes, PowerLawSizes)
ends = st.tuples(st.integers(1, 500), st.integers(1, 500)).map(sorted)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@given(ends=ends, seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=30)
def test_sizes_are_integers_between_the_ends(distribution, ends, seed):
    # given
    low, high = ends
    rng = np.random.default_rng(seed)

    # when
    drawn = [distribution(low, high).draw(rng) for _ in range(50)]

    # then
    assert all(type(size) is int for size in drawn)
    assert low <= min(drawn)
    assert max(drawn) <= high


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@given(low=st.integers(1, 500), width=st.integers(0, 4))
@settings(deadline=None, max_examples=20)
def test_every_size_between_the_ends_is_drawn(distribution, low, width):
    rng = np.random.default_rng(0)
    drawn = {distribution(low, low + width).draw(rng) for _ in range(400)}
    assert drawn == set(range(low, low + width + 1))


@pytest.mark.parametrize(
    ("distribution", "probability"),
    [
        (UniformSizes(5, 24), lambda size: 1 / 20),
        (LogUniformSizes(5, 24), lambda size: math.log((size + 1) / size) / math.log(25 / 5)),
    ],
    ids=["uniform", "log-uniform"],
)
def test_sizes_are_as_frequent_as_the_distribution_says(distribution, probability):
    # given
    rng, draws = np.random.default_rng(0), 20_000

    # when
    sizes, counts = np.unique([distribution.draw(rng) for _ in range(draws)], return_counts=True)

    # then no count is five standard deviations off
    for size, count in zip(sizes, counts, strict=True):
        p = probability(int(size))
        assert abs(count - draws * p) < 5 * math.sqrt(draws * p * (1 - p)), size


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_draws_are_decided_by_the_generator(distribution):
    def draw(seed: int) -> list[int]:
        rng = np.random.default_rng(seed)
        return [distribution(5, 100).draw(rng) for _ in range(20)]

    assert draw(0) == draw(0)
    assert draw(0) != draw(1)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_it_is_a_size_distribution(distribution):
    assert isinstance(distribution(5, 100), SizeDistribution)


@pytest.mark.parametrize("wrong", [0, -3, 2.5, True, "5", None, float("nan")])
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_an_end_that_is_no_size_is_an_error_that_names_it(distribution, wrong):
    for name, ends in (("low", (wrong, 10)), ("high", (1, wrong))):
        with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1, got") as error:
            distribution(*ends)
        assert repr(wrong) in str(error.value)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_ends_in_the_wrong_order_are_an_error(distribution):
    with pytest.raises(ValueError, match=r"low must not be above high \(5\), got 6"):
        distribution(6, 5)


def test_a_power_law_draws_small_sizes_more_often_and_the_largest_as_often_as_asked() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([PowerLawSizes(5, 100, 1.5, 0.15).draw(rng) for _ in range(20_000)])

    # By hand: (5^-0.5 - 11^-0.5) / (5^-0.5 - 101^-0.5) of the other 85 %.
    assert (drawn <= 10).mean() == pytest.approx(0.85 * 0.4192, abs=0.01)
    assert (drawn == 100).mean() == pytest.approx(0.15 + 0.85 * 0.0014, abs=0.01)
    assert drawn.min() == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"exponent": 1.0}, "above 1, got 1.0"),
        ({"exponent": float("nan")}, "above 1, got nan"),
        ({"largest": 1.5}, "probability, got 1.5"),
        ({"largest": -0.1}, "probability, got -0.1"),
    ],
)
def test_a_power_law_refuses_what_is_none(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PowerLawSizes(5, 100, **arguments)


@given(sizes=st.sets(st.integers(1, 200), min_size=1, max_size=5), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_given_sizes_are_drawn_and_no_others(sizes: set[int], seed: int) -> None:
    given_sizes, rng = GivenSizes(tuple(sizes)), np.random.default_rng(seed)
    drawn = [given_sizes.draw(rng) for _ in range(200)]
    assert isinstance(given_sizes, SizeDistribution)
    assert set(drawn) == sizes
    assert all(type(size) is int for size in drawn)
    assert (given_sizes.low, given_sizes.high) == (min(sizes), max(sizes))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((), "at least one size, got none"),
        ((5, 0), "at least 1, got 0"),
        ((5, 2.5), "at least 1, got 2.5"),
        ((5, 8, 5), r"differ from each other, got \[5, 8, 5\]"),
    ],
)
def test_given_sizes_that_are_none_are_an_error(sizes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GivenSizes(sizes)
