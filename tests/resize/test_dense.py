from __future__ import annotations

import csv
from importlib.resources import files
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sb3_integral.resize import compression_rate, parameter_count

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

features = st.lists(st.integers(1, 40), min_size=2, max_size=5)


def test_the_paper_has_a_row_for_each_environment_and_size() -> None:
    assert len(PAPER) == 48
    assert len({(env, size) for env, size, _ in PAPER}) == 48
    assert {env for env, _, _ in PAPER} == set(DIMENSIONS)


@pytest.mark.parametrize(("env", "size", "printed"), PAPER)
def test_compression_is_the_papers(env: str, size: int, printed: str) -> None:
    # given
    observations, actions = DIMENSIONS[env]
    # when
    rate = compression_rate(observations, (size, size), (100, 100), actions)
    # then
    assert f"{rate:.1f}" == printed


def test_compression_by_hand() -> None:
    # given: 2 inputs, 4 hidden neurons of which 2 are left, 1 output
    kept, full = (3 * 2 + 3 * 1) + 1, (3 * 4 + 5 * 1) + 1
    # then
    assert compression_rate(2, [2], [4], 1) == pytest.approx(100 * (1 - kept / full))


@given(features)
def test_the_count_is_that_of_a_torch_network(features: list[int]) -> None:
    # given
    network = nn.Sequential(*(nn.Linear(n_in, n_out) for n_in, n_out in pairwise(features)))
    # then
    assert parameter_count(features) == sum(parameter.numel() for parameter in network.parameters())


@given(features.filter(lambda f: len(f) > 2), st.data())
def test_compression_is_zero_at_full_size_and_grows_as_neurons_go(
    features: list[int], data: st.DataObject
) -> None:
    # given
    n_in, *max_sizes, n_out = features
    layer = data.draw(st.integers(0, len(max_sizes) - 1))
    smaller = [size - (i == layer) for i, size in enumerate(max_sizes)]
    larger = [size + (i == layer) for i, size in enumerate(max_sizes)]
    # then
    assert compression_rate(n_in, max_sizes, max_sizes, n_out) == 0.0
    assert compression_rate(n_in, larger, max_sizes, n_out) < 0.0
    assert 0.0 < compression_rate(n_in, smaller, max_sizes, n_out) < 100.0
