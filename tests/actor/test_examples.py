"""Examples are observations of their spaces, and are where the statistics say."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_integral.actor import Statistics, example_observation
from sb3_integral.actor.examples import example_observations

SPACE = spaces.Dict(
    {
        "unbounded": spaces.Box(-np.inf, np.inf, (3,)),
        "half": spaces.Box(5.0, np.inf, (2, 2), np.float64),
        "of one sign": spaces.Box(np.float32([0.0, -3e38]), np.float32([0.1, 3e38])),
        "image": spaces.Box(0, 255, (2, 2, 3), np.uint8),
        "whole": spaces.Box(-5, 5, (2,), np.int32),
        "later": spaces.Discrete(3, start=7),
        "several": spaces.MultiDiscrete([3, 2]),
    }
)


def test_an_example_is_in_its_space_and_always_the_same() -> None:
    first, again = example_observation(SPACE), example_observation(SPACE)
    assert SPACE.contains(first)
    for name, own in first.items():
        np.testing.assert_array_equal(own, again[name])
    assert np.abs(first["of one sign"]).max() <= 1.0


def test_examples_of_a_batch_differ() -> None:
    batch = example_observations(SPACE, 3)
    for row in range(3):
        assert SPACE.contains({name: own[row] for name, own in batch.items()})
    assert len(np.unique(batch["unbounded"])) == 9


def test_statistics_say_where_an_example_is() -> None:
    space: Any = spaces.Box(-np.inf, np.inf, (3,), np.float64)
    mean, std = np.array([1e6, -3.0, 0.0]), np.array([2.0, 0.1, 1.0])
    got = example_observation(space, {None: Statistics(mean, std, 10.0)})
    np.testing.assert_allclose((got - mean) / std, [-1.0, 0.0, 1.0], atol=1e-9)
