from __future__ import annotations

import csv
import functools
from importlib.resources import files
from typing import Any

import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_integral import ResizablePolicy

DIMENSIONS = {
    "Acrobot-v1": (6, 3),
    "LunarLander-v3": (8, 4),
    "HalfCheetah-v4": (17, 6),
    "Ant-v4": (27, 8),
}
"""Observation and action dimensions of the paper's environments."""

# Read as a file of the package: importing sb3_integral.experiments would ask for its extra.
with (files("sb3_integral") / "experiments" / "report" / "paper_tables.csv").open() as file:
    PAPER = [(row["env"], int(row["n_hidden"]), row["compression_pct"]) for row in csv.DictReader(file)]

features = st.lists(st.integers(2, 40), min_size=3, max_size=5)


@functools.cache
def policy_of(n_in: int, sizes: tuple[int, ...], n_out: int) -> ResizablePolicy:
    observed, chosen = spaces.Box(-1.0, 1.0, (n_in,)), spaces.Discrete(n_out)
    arch: Any = {"pi": list(sizes), "vf": []}
    return ResizablePolicy(ActorCriticPolicy(observed, chosen, lambda _: 0.0, net_arch=arch))


def test_the_paper_has_a_row_for_each_environment_and_size() -> None:
    assert len(PAPER) == 48
    assert len({(env, size) for env, size, _ in PAPER}) == 48
    assert {env for env, _, _ in PAPER} == set(DIMENSIONS)


@pytest.mark.parametrize(("env", "size", "printed"), PAPER)
def test_compression_is_the_papers(env: str, size: int, printed: str) -> None:
    # given
    observations, actions = DIMENSIONS[env]
    # when
    rate = policy_of(observations, (100, 100), actions).compression((size, size))
    # then
    assert f"{rate:.1f}" == printed


def test_compression_by_hand() -> None:
    # given: 2 inputs, 4 hidden neurons of which 2 are left, 1 output
    kept, full = (3 * 2 + 3 * 1) + 1, (3 * 4 + 5 * 1) + 1
    # then
    assert policy_of(2, (4,), 1).compression(2) == pytest.approx(100 * (1 - kept / full))


@given(features, st.data())
def test_compression_is_zero_at_full_size_and_grows_as_neurons_go(
    features: list[int], data: st.DataObject
) -> None:
    # given
    n_in, *max_sizes, n_out = features
    layer = data.draw(st.integers(0, len(max_sizes) - 1))
    smaller = [size - (i == layer) for i, size in enumerate(max_sizes)]
    larger = [size + (i == layer) for i, size in enumerate(max_sizes)]
    policy = policy_of(n_in, tuple(max_sizes), n_out)
    # then
    assert policy.compression(max_sizes) == 0.0
    assert policy.compression(larger) < 0.0
    assert 0.0 < policy.compression(smaller) < 100.0
