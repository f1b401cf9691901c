"""Observations become the vector that gymnasium makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from sb3_integral.actor.flattening import flattened

SPACES: tuple[spaces.Space[Any], ...] = (
    spaces.Box(-1.0, 1.0, (3,)),
    spaces.Box(-1.0, 1.0, (2, 3), np.float64),
    spaces.Discrete(4),
    spaces.MultiDiscrete([3, 2]),
    spaces.MultiBinary(5),
    spaces.Dict(
        {"b": spaces.Discrete(3), "a": spaces.Box(-1.0, 1.0, (2, 2)), "c": spaces.MultiBinary(2)}
    ),
)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_one_observation_and_a_batch_are_flat_as_in_gymnasium(space: spaces.Space[Any]) -> None:
    # Given
    space.seed(0)
    several = [space.sample() for _ in range(5)]
    wanted = np.stack([spaces.flatten(space, one) for one in several]).astype(np.float32)
    # When
    batch: Any = several
    if isinstance(space, spaces.Dict):
        batch = {name: np.stack([one[name] for one in several]) for name in space}
    # Then
    np.testing.assert_array_equal(flattened(space, batch), wanted)
    np.testing.assert_array_equal(flattened(space, several[1]), wanted[1])
    assert flattened(space, batch).dtype == np.float32
