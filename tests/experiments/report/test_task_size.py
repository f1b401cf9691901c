"""How many neurons a task needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sb3_integral.experiments.report.task_size import (
    correlations,
    kept_shares,
    mean_stable_rank,
    plot_task_sizes,
    smallest_kept,
    stable_rank,
)


def shares(rows: list[list[float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[100, 50, 10, 5])


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[1.0, 1.0, 0.96, 0.5]] * 3, (10, 10, 10)),
        ([[1.0, 1.0, 1.0, 1.0]] * 3, (5, 5, 5)),
        ([[1.0, 0.9, 1.0, 1.0]] * 3, (100, 100, 100)),  # 10 is good by chance: 50 is not
        ([[1.0, 1.0, 0.98, 0.1], [1.0, 1.0, 0.98, 0.1], [1.0, 1.0, 0.92, 0.1]], (10, 10, 50)),
    ],
)
def test_the_smallest_size_is_the_last_before_the_first_that_fails(rows, expected) -> None:
    # Given what runs keep at sizes 100, 50, 10 and 5
    found = smallest_kept(shares(rows)[[5, 100, 10, 50]])  # in any order

    # Then it is found, and drawn again over seeds its interval
    assert found == pytest.approx(expected)


def test_a_network_that_fails_at_full_size_has_no_smallest_one() -> None:
    with pytest.raises(ValueError, match=r"100 keeps 0\.900"):
        smallest_kept(shares([[0.9, 1.0, 1.0, 1.0]]))


def test_shares_refer_to_the_mean_at_full_size() -> None:
    # Given two seeds, whose returns at full size are 90 and 110, where random actions have -100
    runs = pd.DataFrame(
        [
            ("inn", seed, size, value)
            for seed, values in enumerate(([90.0, 0.0], [110.0, 60.0]))
            for size, value in zip((100, 5), values, strict=True)
        ]
        + [("nn", 0, 100, 5.0), ("nn", 0, 5, 5.0)],
        columns=["column", "seed", "n_hidden", "return_mean"],
    )

    # Then (0 + 100) / (100 + 100) of it are kept
    found = kept_shares(runs, "inn", -100.0)
    assert found[5].tolist() == [0.5, 0.8]
    assert found[100].tolist() == [0.95, 1.05]


def test_the_stable_rank_of_known_matrices() -> None:
    # Given the identity, a matrix of rank one, and diag(2, 1), whose norms are 5 and 4
    assert stable_rank(torch.eye(7)) == pytest.approx(7.0)
    assert stable_rank(torch.outer(torch.arange(1.0, 5), torch.ones(3))) == pytest.approx(1.0)
    network = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2))
    with torch.no_grad():
        network[0].weight.copy_(torch.diag(torch.tensor([2.0, 1.0])))
        network[2].weight.copy_(torch.eye(2))
    assert mean_stable_rank(network) == pytest.approx((1.25 + 2.0) / 2)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_the_stable_rank_lies_between_one_and_the_rank(n_out: int, n_in: int, seed: int) -> None:
    weight = torch.randn(n_out, n_in, generator=torch.Generator().manual_seed(seed))
    assert 1.0 - 1e-5 <= stable_rank(weight) <= min(n_out, n_in) + 1e-4
    assert stable_rank(3 * weight) == pytest.approx(stable_rank(weight), rel=1e-4)


def test_correlations_leave_out_what_is_not_known(tmp_path: Path) -> None:
    # Given tasks whose size grows with actions, falls with observations; one without expert
    table = pd.DataFrame(
        {
            "env": ["a", "b", "c", "d", "e"],
            "n_observations": [5, 4, 3, 2, 1],
            "n_actions": [1, 2, 3, 4, 6],
            "stable_rank": [np.nan, 2.0, 1.0, 3.0, 4.0],
            "smallest": [5.0, 10.0, 20.0, 30.0, 40.0],
            "low": [5.0, 5.0, 20.0, 20.0, 30.0],
            "high": [5.0, 20.0, 20.0, 30.0, 100.0],
        }
    )

    # When they are computed and drawn
    found = correlations(table).set_index("property")
    plot_task_sizes(tmp_path / "plot.png", table)

    # Then each is as by hand: 1 - 6 Σd² / (n³ - n), with Σd² = 2 and n = 4 for the ranks
    assert found["rho"].tolist() == pytest.approx([-1.0, 1.0, 1 - 6 * 2 / 60])
    assert found["n_environments"].tolist() == [5, 5, 4]
    assert (found["p_holm"] >= found["p"]).all()
    assert (tmp_path / "plot.png").stat().st_size > 10_000
