"""A policy that one thread asks for actions while another one resizes it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from sb3_contrib import CrossQ
from stable_baselines3 import DQN, PPO, SAC

from sb3_integral import ResizablePolicy

ROUNDS = 150
SIZES = ([16, 12], [7, 5], [3, 9])


@pytest.mark.parametrize("algorithm", [PPO, SAC, DQN, CrossQ])
@pytest.mark.parametrize("kind", ["IntegralMlpPolicy", "MlpPolicy"])
def test_every_answer_is_that_of_one_size(
    make_model: Callable[..., Any], algorithm: Any, kind: str
) -> None:
    # given
    without_norms = {"batch_norm": False} if algorithm is CrossQ else {}
    policy = make_model(algorithm, kind, net_arch=[16, 12], **without_norms).policy
    policy = policy if kind.startswith("Integral") else ResizablePolicy(policy)
    observations = 3 * np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    answers = []
    for sizes in SIZES:
        with policy.resized(sizes):
            answers.append(policy.predict(observations, deterministic=True)[0])

    def ask() -> None:
        for _ in range(ROUNDS):
            actions = policy.predict(observations, deterministic=True)[0]
            assert any(np.array_equal(actions, answer) for answer in answers)

    def resize() -> None:
        for number in range(ROUNDS):
            policy.resize(SIZES[number % len(SIZES)])
            policy.discretize(SIZES[(number + 1) % len(SIZES)])

    # when
    with ThreadPoolExecutor(3) as threads:
        for job in [threads.submit(work) for work in (ask, resize, ask)]:
            job.result()
    # then: and what it says of its size is so
    last = [list(sizes) for sizes in SIZES].index(list(policy.sizes))
    np.testing.assert_array_equal(policy.predict(observations, deterministic=True)[0], answers[last])


def test_a_copy_does_not_wait_for_its_original(make_model: Callable[..., Any]) -> None:
    policy = make_model(PPO, net_arch=[8]).policy
    other = copy.deepcopy(policy)
    observation = np.zeros(4, np.float32)
    with policy._lock, ThreadPoolExecutor(1) as thread:
        thread.submit(other.predict, observation).result(timeout=60)
