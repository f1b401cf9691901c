"""The numbers of an experiment, against cases computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sb3_integral.evaluation import SweepEpisode
from sb3_integral.experiments.files import SWEEP
from sb3_integral.experiments.report.tables import (
    Column,
    Scale,
    build_table,
    columns_of,
    paper_table,
    read_runs,
    score_scale,
    with_scores,
)

COLUMNS = [
    Column("inn", "INN", "student"),
    Column("nn_bicubic", "NN, bicubic", "baseline"),
]
NO_PAPER = paper_table("CartPole-v1")
RANDOM = 20.0
# Mean returns of three runs, by column and size.
MEANS = {
    ("inn", 10): (100.0, 110.0, 120.0),
    ("inn", 5): (80.0, 90.0, 70.0),
    ("nn_bicubic", 10): (100.0, 100.0, 100.0),
    ("nn_bicubic", 5): (10.0, 20.0, 60.0),
}
COMPRESSIONS = {10: 0.0, 5: 71.43}


def runs_of(means: dict[tuple[str, int], tuple[float, ...]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "column": column,
            "seed": seed,
            "n_hidden": size,
            "compression_pct": COMPRESSIONS[size],
            "n_episodes": 3,
            "return_mean": mean,
            "return_std": 3.0,
        }
        for (column, size), values in means.items()
        for seed, mean in enumerate(values)
    )


def table_of(runs: pd.DataFrame, random_return: float = RANDOM, paper: pd.DataFrame = NO_PAPER):
    return build_table(with_scores(runs, score_scale(runs, COLUMNS, random_return)), COLUMNS, paper)


@pytest.fixture
def table() -> pd.DataFrame:
    return table_of(runs_of(MEANS))


def of(table: pd.DataFrame, column: str, field: str) -> list[float]:
    return table.loc[table["column"] == column, field].tolist()


# The runs


@pytest.fixture
def sweeps(tmp_path):
    """A sweep per column and seed, of three episodes at each size."""
    folders = []
    for column in COLUMNS:
        for seed in range(3):
            folder = tmp_path / f"seed-{seed}" / column.name
            folder.mkdir(parents=True)
            rows = [
                SweepEpisode(size, COMPRESSIONS[size], i, MEANS[column.name, size][seed] + offset, 9)
                for size in (10, 5)
                for i, offset in enumerate((-3.0, 0.0, 3.0))
            ]
            pd.DataFrame(rows).to_csv(folder / SWEEP, index=False)
            folders.append(folder)
    return folders


def test_every_run_is_read_back(sweeps):
    # when
    runs = read_runs(sweeps, COLUMNS, [0, 1, 2])
    # then
    order = ["column", "seed", "n_hidden"]
    expected = runs_of(MEANS).sort_values(order, ignore_index=True)
    pd.testing.assert_frame_equal(runs.sort_values(order, ignore_index=True), expected)


def test_runs_keep_the_order_of_columns_seeds_and_sizes(sweeps):
    runs = read_runs(sweeps, COLUMNS, [0, 1, 2])
    keys = [("inn", seed, size) for seed in range(3) for size in (10, 5)]
    assert list(zip(runs["column"], runs["seed"], runs["n_hidden"], strict=True))[:6] == keys


def test_a_missing_sweep_is_an_error(sweeps):
    with pytest.raises(ValueError, match="shorter"):
        read_runs(sweeps[:-1], COLUMNS, [0, 1, 2])


# Scores


def test_scores_refer_to_the_plain_network_at_full_size_over_all_seeds():
    scale = score_scale(runs_of(MEANS), COLUMNS, RANDOM)
    assert scale == Scale(RANDOM, 100.0, "nn_bicubic")


def test_without_a_plain_network_they_refer_to_the_leader():
    runs = runs_of({key: value for key, value in MEANS.items() if key[0] == "inn"})
    assert score_scale(runs, COLUMNS[:1], RANDOM) == Scale(RANDOM, 110.0, "inn")


def test_scores_by_hand():
    # given 0 at a return of 20 and 1 at 100
    scored = with_scores(runs_of(MEANS), Scale(20.0, 100.0, "nn_bicubic"))
    # then
    assert of(scored, "inn", "score") == pytest.approx([1.0, 1.125, 1.25, 0.75, 0.875, 0.625])
    assert of(scored, "nn_bicubic", "score") == pytest.approx([1.0, 1.0, 1.0, -0.125, 0.0, 0.5])


# The table


def test_there_is_a_row_for_each_column_and_size_in_order(table):
    assert list(zip(table["column"], table["n_hidden"], strict=True)) == list(MEANS)
    assert of(table, "inn", "compression_pct") == [0.0, 71.43]
    assert list(table.columns) == [
        "column",
        "label",
        "kind",
        "n_hidden",
        "compression_pct",
        "n_runs",
        "return_mean",
        "return_std",
        "score_mean",
        "score_iqm",
        "score_low",
        "score_high",
        "welch_p",
        "welch_p_holm",
        "paper_inn_mean",
        "paper_inn_std",
        "paper_nn_mean",
        "paper_nn_std",
        "paper_welch_p",
    ]
    assert columns_of(table) == COLUMNS


def test_means_and_deviations_are_over_runs(table):
    assert of(table, "inn", "return_mean") == pytest.approx([110.0, 80.0])
    assert of(table, "inn", "return_std") == pytest.approx([10.0, 10.0])
    assert of(table, "nn_bicubic", "return_mean") == pytest.approx([100.0, 30.0])
    # The squares are 0, and 20² + 10² + 30² over two degrees of freedom.
    assert of(table, "nn_bicubic", "return_std") == pytest.approx([0.0, math.sqrt(700.0)])
    assert set(table["n_runs"]) == {3}


def test_scores_of_three_runs_are_averaged_whole_and_have_an_interval(table):
    for field in ("score_mean", "score_iqm"):
        assert of(table, "inn", field) == pytest.approx([1.125, 0.75])
        assert of(table, "nn_bicubic", field) == pytest.approx([1.0, 0.125])
    # All three draws the same run once in nine times each: above 2.5 %.
    assert of(table, "inn", "score_low") == pytest.approx([1.0, 0.625])
    assert of(table, "inn", "score_high") == pytest.approx([1.25, 0.875])


def test_p_values_are_those_of_welchs_test_against_the_first_column(table):
    # At 10 only the first varies: t = 10 / √(100/3) with 2 degrees of freedom.
    p_full = 2 * stats.t.sf(10 / math.sqrt(100 / 3), 2)
    # At 5: variances 100 and 700 over 3 runs; Welch and Satterthwaite's degrees of freedom.
    a, b = 100 / 3, 700 / 3
    p_small = 2 * stats.t.sf((80 - 30) / math.sqrt(a + b), (a + b) ** 2 / (a**2 / 2 + b**2 / 2))
    assert of(table, "nn_bicubic", "welch_p") == pytest.approx([p_full, p_small])
    assert all(map(math.isnan, of(table, "inn", "welch_p")))


def test_p_values_are_corrected_for_all_of_the_table(table):
    # given two: the smaller counts twice, the larger once, and not less than the other
    full, small = of(table, "nn_bicubic", "welch_p")
    assert small < full
    # then
    corrected = [max(full, 2 * small), 2 * small]
    assert of(table, "nn_bicubic", "welch_p_holm") == pytest.approx(corrected)
    assert all(map(math.isnan, of(table, "inn", "welch_p_holm")))


@given(
    st.lists(st.tuples(*[st.floats(-500, 500)] * 4), min_size=2, max_size=5),
    st.floats(-1000, -600),
)
def test_the_table_does_not_depend_on_how_seeds_are_numbered(runs, random_return):
    # given
    rows = runs_of({key: tuple(run[i] for run in runs) for i, key in enumerate(MEANS)})
    # when
    table = table_of(rows, random_return)
    again = table_of(rows.assign(seed=-rows["seed"]), random_return)
    # then
    pd.testing.assert_frame_equal(table, again)
    assert of(table, "nn_bicubic", "score_mean")[0] == pytest.approx(1.0)


def test_one_run_has_no_deviation_no_interval_and_no_p_value():
    table = table_of(runs_of({key: values[:1] for key, values in MEANS.items()}))
    assert of(table, "inn", "return_mean") == [100.0, 80.0]
    assert of(table, "inn", "score_iqm") == pytest.approx([1.0, 0.75])
    missing = table[["return_std", "score_low", "score_high", "welch_p"]]
    assert missing.isna().to_numpy().all()


def test_the_figures_of_the_paper_stand_beside_ours():
    # given sizes of which the paper has one
    runs = runs_of(MEANS).replace({"n_hidden": {10: 11}})
    # when
    table = table_of(runs, paper=paper_table("Acrobot-v1"))
    # then
    assert table["n_hidden"].tolist() == [11, 5, 11, 5]
    assert table["paper_inn_mean"].isna().tolist() == [True, False, True, False]
    printed = [-409.0, 160.0, -500.0, 0.0, 0.11]
    names = ["paper_inn_mean", "paper_inn_std", "paper_nn_mean", "paper_nn_std", "paper_welch_p"]
    np.testing.assert_equal(table.loc[[1, 3], names].to_numpy(), [printed, printed])
