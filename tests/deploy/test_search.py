from __future__ import annotations

from itertools import pairwise, product

from hypothesis import given
from hypothesis import strategies as st

from sb3_integral.deploy.search import coarseness, finest_fitting, frontier, rank


@st.composite
def problems(draw):
    """Draw full and smallest sizes of one to four layers, and a limit on a dense network's weights."""
    layers = draw(st.integers(1, 4))
    full = tuple(draw(st.integers(1, 9)) for _ in range(layers))
    lowest = tuple(draw(st.integers(1, min(2, size))) for size in full)
    ends = draw(st.integers(1, 20)), draw(st.integers(1, 20))

    def weights(sizes):
        chain = (ends[0], *sizes, ends[1])
        return sum(one * other for one, other in pairwise(chain))

    limit = draw(st.integers(weights(lowest), weights(full) + 1))
    return (lambda sizes: weights(sizes) <= limit), lowest, full


def everything(fits, lowest, full):
    ranges = (range(low, high + 1) for low, high in zip(lowest, full, strict=True))
    return [sizes for sizes in product(*ranges) if fits(sizes)]


@given(problem=problems())
def test_the_finest_is_found(problem):
    _fits, _lowest, full = problem
    best = min(everything(*problem), key=lambda sizes: rank(sizes, full))
    assert finest_fitting(*problem) == best


@given(problem=problems())
def test_the_frontier_is_all_that_fits_and_cannot_grow(problem):
    fitting = set(everything(*problem))

    def grown(sizes):
        return [(*sizes[:axis], sizes[axis] + 1, *sizes[axis + 1 :]) for axis in range(len(sizes))]

    maximal = {sizes for sizes in fitting if not fitting.intersection(grown(sizes))}
    found = list(frontier(*problem, count=10_000))
    assert set(found) == maximal
    assert len(found) == len(maximal)


@given(problem=problems(), count=st.integers(1, 30))
def test_a_part_of_the_frontier_is_no_more_than_asked_for(problem, count):
    maximal = set(frontier(*problem, count=10_000))
    found = set(frontier(*problem, count=count))
    assert found
    assert found <= maximal
    # Two shapes of each layer but the last are looked at in any case.
    assert len(found) <= max(count, 2 ** (len(problem[1]) - 1))


@given(sizes=st.lists(st.integers(1, 50), min_size=1, max_size=4), axis=st.integers(0, 3))
def test_a_larger_layer_is_a_finer_sampling(sizes, axis):
    axis %= len(sizes)
    full = [50] * len(sizes)
    larger = [*sizes[:axis], sizes[axis] + 1, *sizes[axis + 1 :]]
    assert coarseness(larger, full) < coarseness(sizes, full)
    assert coarseness(full, full) == len(full)


def test_a_network_without_hidden_layers_has_one_size():
    def fits(sizes):
        return sizes == ()

    assert finest_fitting(fits, (), ()) == ()
    assert list(frontier(fits, (), (), 10)) == [()]
