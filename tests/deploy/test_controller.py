from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_integral.deploy.controller import SizeController

IDLE = (10.0, 20.0, 40.0, 80.0)


def run(controller: SizeController, slowdown: float, steps: int, pauses: float = 0.0) -> list[int]:
    """Step a machine on which everything takes so many times as long, with pauses now and then."""
    rng = np.random.default_rng(0)
    places = []
    for _ in range(steps):
        places.append(controller.place)
        pause = 4000.0 if rng.random() < pauses else 0.0
        controller.record(IDLE[controller.place] * slowdown + pause)
    return places


def misses(places: list[int], slowdown: float, target: float) -> float:
    return float(np.mean([IDLE[place] * slowdown > target for place in places]))


def test_it_starts_with_the_largest_size_that_meets_the_target_when_idle():
    assert SizeController(IDLE, 120.0).place == 3
    assert SizeController(IDLE, 60.0).place == 2
    assert SizeController(IDLE, 5.0).place == 0


@given(slowdown=st.floats(0.5, 20.0))
def test_under_a_steady_load_it_settles_at_a_size_that_meets_the_target(slowdown):
    controller = SizeController(IDLE, 100.0)
    places = run(controller, slowdown, 2000)
    possible = [place for place in range(4) if IDLE[place] * slowdown <= 100.0]
    if not possible:
        assert places[-1] == 0
        return
    assert misses(places, slowdown, 100.0) <= 0.05
    # The largest that has room to spare, but for attempts upwards.
    comfortable = [place for place in possible if IDLE[place] * slowdown <= 80.0]
    assert np.median(places[200:]) in {max(possible), max(comfortable, default=0)}


def test_it_goes_down_at_once_by_as_many_places_as_needed():
    controller = SizeController(IDLE, 100.0)
    places = run(controller, 6.0, 10)
    assert places[0] == 3
    assert places[3:] == [0] * 7


def test_it_comes_back_when_the_load_is_gone():
    controller = SizeController(IDLE, 100.0)
    run(controller, 6.0, 100)
    assert run(controller, 1.0, 400)[-1] == 3


def test_rare_pauses_that_no_size_prevents_change_nothing():
    controller = SizeController(IDLE, 100.0)
    assert set(run(controller, 1.0, 3000, pauses=0.002)) == {3}


def test_a_size_that_has_to_be_left_again_is_tried_more_and_more_rarely():
    # Given a machine on which the largest size alone is interrupted
    controller = SizeController(IDLE, 100.0, patience=20)
    tries, before = [], controller.place
    for step in range(3000):
        controller.record(500.0 if controller.place == 3 else IDLE[controller.place])
        if controller.place == 3 and before < 3:
            tries.append(step)
        before = controller.place
    # Then
    pauses = np.diff(tries)
    assert len(tries) >= 4
    assert (pauses[1:] > 1.7 * pauses[:-1]).all()


def test_it_does_not_swing_between_two_sizes():
    # Given a load under which the second largest size has just room, and the largest has not
    controller = SizeController(IDLE, 100.0)
    places = run(controller, 1.15, 2000)
    assert np.count_nonzero(np.diff(places)) <= 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"idle_us": ()}, r"positive numbers, got \[\]"),
        ({"idle_us": (1.0, math.nan)}, "positive numbers, got"),
        ({"target_us": 0.0}, "target_us must be a positive number, got 0.0"),
        ({"max_miss_share": 1.0}, "max_miss_share must be from 0 to 1, got 1.0"),
        ({"headroom": 1.5}, "headroom must be above 0 and at most 1, got 1.5"),
        ({"window": 0}, "window and patience must be at least 1"),
        ({"patience": 10, "max_patience": 5}, "no less than patience, got 20, 10 and 5"),
    ],
)
def test_wrong_numbers_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        SizeController(**{"idle_us": IDLE, "target_us": 100.0, **arguments})
