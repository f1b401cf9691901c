"""Sizes that are worth a test."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from sb3_integral.deploy.compress.candidates import PER_LAYER, candidates
from sb3_integral.deploy.compress.goal import Goal
from sb3_integral.imitation import Demonstrations, StudentArchitecture

VECTORS = spaces.Box(-1.0, 1.0, (3,), np.float32)


def demonstrations(space: spaces.Space[Any], count: int = 20) -> Demonstrations:
    space.seed(0)
    observations = torch.as_tensor(np.stack([space.sample() for _ in range(count)]))
    return Demonstrations(observations, torch.arange(count) % 2, torch.zeros(count))


@pytest.mark.parametrize("hidden_sizes", [(9,), (9, 7), (6, 5, 4), (6, 5, 4, 3, 2)], ids=len)
def test_candidates_cost_more_and_lose_less_one_after_the_other(hidden_sizes: tuple[int, ...]) -> None:
    # given
    student = StudentArchitecture("integral", hidden_sizes).build(VECTORS, spaces.Discrete(2), 0)
    # when
    found = candidates(student, demonstrations(VECTORS), Goal())
    # then
    assert found[-1].sizes == hidden_sizes
    parameters = [one.costs.parameters for one in found]
    assert parameters == sorted(parameters)
    losses = [one.loss for one in found[:-1]]
    assert losses == sorted(losses, reverse=True)


def test_the_layers_of_a_student_of_images_shrink_together() -> None:
    # given a student with so many layers that their combinations would be millions
    architecture = StudentArchitecture("integral", (16, 16))
    student: Any = architecture.build(spaces.Box(0, 255, (1, 36, 36), np.uint8), spaces.Discrete(2), 0)
    images = demonstrations(student.observation_space, 4)
    # when
    found = candidates(student, images, Goal())
    # then
    assert len(student.max_sizes) > 3
    assert 1 <= len(found) <= PER_LAYER
    assert found[-1].sizes == student.max_sizes
