from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sb3_integral.evaluation import SweepEpisode
from sb3_integral.experiments import paper_table
from sb3_integral.experiments.report import (
    Column,
    build_table,
    read_runs,
    readable_table,
    write_report,
)

COLUMNS = [Column("inn", "INN", "inn", None), Column("nn_bicubic", "NN, bicubic", "nn", "bicubic")]
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
            "size": size,
            "mean": mean,
            "compression": COMPRESSIONS[size],
            "column": column,
            "seed": seed,
        }
        for (column, size), values in means.items()
        for seed, mean in enumerate(values)
    )


@pytest.fixture
def table() -> pd.DataFrame:
    return build_table(runs_of(MEANS), COLUMNS, RANDOM, NO_PAPER)


@pytest.fixture
def experiment(tmp_path):
    """The folders that a report is written from: references, and a sweep per column and seed."""
    references = tmp_path / "references"
    references.mkdir()
    (references / "stage.json").write_text(json.dumps({"seconds": 1.5}))
    returns = {
        "expert": {"mean": 130.0, "std": 4.0, "episodes": 100},
        "random": {"mean": RANDOM, "std": 2.5, "episodes": 100},
    }
    (references / "returns.json").write_text(json.dumps(returns))
    sweeps = []
    for column in COLUMNS:
        for seed in range(3):
            folder = tmp_path / f"seed-{seed}" / column.student / "sweep"
            folder.mkdir(parents=True)
            rows = [
                SweepEpisode(
                    size, COMPRESSIONS[size], episode, MEANS[column.name, size][seed] + offset, 9
                )
                for size in (10, 5)
                for episode, offset in enumerate((-3.0, 0.0, 3.0))
            ]
            pd.DataFrame(rows).to_csv(folder / "episodes.csv", index=False)
            sweeps.append(folder)
    return references, sweeps


# The runs


def test_the_mean_of_every_run_is_read_back(experiment):
    # given sweeps of three episodes at each size
    _, sweeps = experiment

    # when
    runs = read_runs(tuple(sweeps), COLUMNS, [0, 1, 2])

    # then
    order = ["column", "seed", "size"]
    expected = runs_of(MEANS).sort_values(order, ignore_index=True)
    runs = runs.sort_values(order, ignore_index=True)
    pd.testing.assert_frame_equal(runs, expected, check_like=True)


def test_runs_keep_the_order_of_the_sizes(experiment):
    runs = read_runs(tuple(experiment[1]), COLUMNS, [0, 1, 2])
    assert list(dict.fromkeys(runs["size"])) == [10, 5]


def test_a_missing_sweep_is_an_error(experiment):
    with pytest.raises(ValueError, match="shorter"):
        read_runs(tuple(experiment[1][:-1]), COLUMNS, [0, 1, 2])


# The table


def test_there_is_a_row_for_each_size_in_order(table):
    assert table["n_hidden"].tolist() == [10, 5]
    assert table["compression_pct"].tolist() == [0.0, 71.4]
    assert list(table.columns) == [
        "n_hidden",
        "compression_pct",
        "inn_ar",
        "inn_std",
        "inn_score",
        "nn_bicubic_ar",
        "nn_bicubic_std",
        "nn_bicubic_score",
        "nn_bicubic_welch_p",
    ]


def test_means_and_deviations_are_over_runs(table):
    assert table["inn_ar"].tolist() == pytest.approx([110.0, 80.0])
    assert table["inn_std"].tolist() == pytest.approx([10.0, 10.0])
    assert table["nn_bicubic_ar"].tolist() == pytest.approx([100.0, 30.0])
    # The squares are 0, and 20² + 10² + 30² over two degrees of freedom.
    assert table["nn_bicubic_std"].tolist() == pytest.approx([0.0, math.sqrt(700.0)])


def test_scores_are_0_for_random_actions_and_1_for_the_same_run_at_full_size(table):
    assert table["inn_score"].tolist() == pytest.approx([1.0, (60 / 80 + 70 / 90 + 50 / 100) / 3])
    assert table["nn_bicubic_score"].tolist() == pytest.approx([1.0, (-10 / 80 + 0 / 80 + 40 / 80) / 3])


def test_p_values_are_those_of_welchs_test_against_the_first_column(table):
    # At 10 only the first varies: t = 10 / √(100/3) with 2 degrees of freedom.
    p_full = 2 * stats.t.sf(10 / math.sqrt(100 / 3), 2)
    # At 5: variances 100 and 700 over 3 runs; Welch and Satterthwaite's degrees of freedom.
    a, b = 100 / 3, 700 / 3
    p_small = 2 * stats.t.sf((80 - 30) / math.sqrt(a + b), (a + b) ** 2 / (a**2 / 2 + b**2 / 2))
    assert table["nn_bicubic_welch_p"].tolist() == pytest.approx([p_full, p_small])
    assert p_small == pytest.approx(stats.ttest_ind((80, 90, 70), (10, 20, 60), equal_var=False).pvalue)


@given(
    st.lists(st.tuples(*[st.floats(-500, 500)] * 4), min_size=2, max_size=5),
    st.floats(-1000, -600),
)
def test_the_table_does_not_depend_on_how_seeds_are_ordered(runs, random_return):
    # given
    keys = list(MEANS)
    means = {key: tuple(run[i] for run in runs) for i, key in enumerate(keys)}
    rows = runs_of(means)

    # when
    table = build_table(rows, COLUMNS, random_return, NO_PAPER)
    reversed_seeds = rows.assign(seed=-rows["seed"])
    again = build_table(reversed_seeds, COLUMNS, random_return, NO_PAPER)

    # then
    pd.testing.assert_frame_equal(table, again, rtol=1e-6)
    for (column, size), values in means.items():
        row = table.set_index("n_hidden").loc[size]
        assert row[f"{column}_ar"] == pytest.approx(np.mean(values))
        assert row[f"{column}_std"] == pytest.approx(np.std(values, ddof=1))
    assert table["inn_score"][0] == pytest.approx(1.0)


def test_one_run_has_no_deviation_and_no_p_value():
    means = {key: values[:1] for key, values in MEANS.items()}
    table = build_table(runs_of(means), COLUMNS, RANDOM, NO_PAPER)
    assert table["inn_ar"].tolist() == [100.0, 80.0]
    assert table[["inn_std", "nn_bicubic_std", "nn_bicubic_welch_p"]].isna().to_numpy().all()
    _, rows = readable_table(table, COLUMNS)
    assert rows[0] == ["10", "0.0", "100.0", "1.00", "100.0", "1.00", "-"]


def test_the_figures_of_the_paper_stand_beside_ours():
    # given sizes of which the paper has one
    runs = runs_of(MEANS).replace({"size": {10: 11}})

    # when
    table = build_table(runs, COLUMNS, RANDOM, paper_table("Acrobot-v1"))

    # then
    assert table["n_hidden"].tolist() == [11, 5]
    assert table["paper_inn_ar"].isna().tolist() == [True, False]
    paper = paper_table("Acrobot-v1").set_index("n_hidden").loc[5]
    for name in ("inn_ar", "inn_std", "nn_ar", "nn_std", "welch_p"):
        np.testing.assert_equal(table[f"paper_{name}"][1], paper[name])
    headings, rows = readable_table(table, COLUMNS)
    assert headings[2:4] == ["paper INN", "paper NN"]
    assert rows[0][2:4] == ["-", "-"]
    assert rows[1][2:4] == ["-409 ± 160", "-500 ± 0"]


# The table as people read it


def test_people_read_rounded_numbers(table):
    headings, rows = readable_table(table, COLUMNS)
    assert headings == ["N", "removed %", "INN", "score", "NN, bicubic", "score", "p"]
    assert rows == [
        ["10", "0.0", "110.0 ± 10.0", "1.00", "100.0 ± 0.0", "1.00", "2.3e-01"],
        ["5", "71.4", "80.0 ± 10.0", "0.68", "30.0 ± 26.5", "0.12", "6.7e-02"],
    ]


def test_without_details_there_are_means_only(table):
    headings, rows = readable_table(table, COLUMNS, details=False)
    assert headings == ["N", "removed %", "INN", "NN, bicubic"]
    assert rows[1] == ["5", "71.4", "80.0 ± 10.0", "30.0 ± 26.5"]


# The files


@pytest.fixture
def written(experiment, tmp_path, ignore_progress):
    references, sweeps = experiment
    folder = tmp_path / "report"
    folder.mkdir()
    write_report(
        folder,
        ignore_progress,
        references,
        *sweeps,
        config={
            "env": "CartPole-v1",
            "seeds": [0, 1, 2],
            "expert": {"seed": 4},
            "evaluation": {"episodes": 3},
        },
        hyperparams={"n_steps": 250},
        columns=[column._asdict() for column in COLUMNS],
    )
    return folder


def test_a_report_has_the_table_the_plot_and_what_made_them(written):
    names = sorted(path.name for path in written.iterdir())
    assert names == [
        "experiment.yml",
        "provenance.json",
        "reward_vs_size.png",
        "table.csv",
        "table.md",
    ]
    assert (written / "reward_vs_size.png").read_bytes().startswith(b"\x89PNG")


def test_the_csv_file_holds_the_table_unrounded(written, table):
    pd.testing.assert_frame_equal(pd.read_csv(written / "table.csv"), table)


def test_the_markdown_file_has_every_column_and_row(written, table):
    # given
    text = (written / "table.md").read_text()
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    headings, rule, *rows = [[cell.strip() for cell in line] for line in lines]

    # then
    assert (headings, rows) == readable_table(table, COLUMNS)
    assert all(set(cell) == {"-"} for cell in rule)
    assert text.startswith("# CartPole-v1\n")
    assert "Expert: 130.0 ± 4.0 over 100 deterministic episodes; random actions: 20.0 ± 2.5." in text
    assert "Seeds 0, 1, 2; 3 episodes per seed and size." in text
    assert "Welch's t-test against INN" in text


def test_the_experiment_is_kept_with_its_hyperparameters(written):
    kept = yaml.safe_load((written / "experiment.yml").read_text())
    assert kept["env"] == "CartPole-v1"
    assert kept["expert_hyperparams"] == {"n_steps": 250}


def test_provenance_has_seeds_versions_and_times(written):
    provenance = json.loads((written / "provenance.json").read_text())
    assert provenance["seeds"] == {"expert": 4, "runs": [0, 1, 2]}
    assert provenance["references"]["random"]["mean"] == RANDOM
    assert {"torch", "imitation", "stable-baselines3"} <= provenance["versions"].keys()
    assert provenance["stage_seconds"] == {"references": 1.5}
