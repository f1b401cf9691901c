"""Several environments in one table."""

from __future__ import annotations

import math
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console

from sb3_integral.experiments.report.console import combined_console_table
from sb3_integral.experiments.report.tables import Column, combined_scores

COLUMNS = [Column(name, name.upper(), "student") for name in ("inn", "nn")]


@pytest.fixture
def runs() -> list[pd.DataFrame]:
    """Two environments; the second lacks a size, and has a column more."""
    scores = [
        {("inn", 10): [1.0, 1.0, 0.8], ("inn", 5): [0.5, 0.6, 0.7], ("nn", 10): [1.0] * 3},
        {("inn", 10): [0.2, 0.4], ("nn", 10): [1.0, 1.0], ("nn_svd", 10): [1.0, 1.0]},
    ]
    names = ["column", "seed", "n_hidden", "score"]
    return [
        pd.DataFrame(
            [(c, seed, n, s) for (c, n), own in each.items() for seed, s in enumerate(own)],
            columns=names,
        )
        for each in scores
    ]


def test_scores_are_averaged_over_the_runs_of_all_environments(runs):
    # when
    table = combined_scores(runs, COLUMNS)
    # then what both have is there
    assert table[["column", "n_hidden"]].to_numpy().tolist() == [["inn", 10], ["nn", 10]]
    assert table["n_environments"].tolist() == [2, 2]
    assert table["n_runs"].tolist() == [5, 5]
    # and of five scores the middle three count: 0.4, 0.8 and 1
    assert table["score_iqm"].tolist() == pytest.approx([2.2 / 3, 1.0])
    assert table["score_low"][0] < 2.2 / 3 < table["score_high"][0]
    assert table["score_low"][1] == table["score_high"][1] == 1.0


def test_one_environment_is_its_own_table(runs):
    table = combined_scores(runs[:1], COLUMNS)
    assert table["score_iqm"].tolist() == pytest.approx([2.8 / 3, 0.6, 1.0])


def test_a_terminal_shows_a_row_per_column(runs):
    # given
    console = Console(width=80, record=True, file=StringIO())
    table = combined_scores(runs, COLUMNS)
    table.loc[1, "score_low"] = math.nan
    # when
    console.print(combined_console_table(table, ["One-v0", "Two-v0"], 80))
    # then
    lines = [line.split() for line in console.export_text().splitlines() if line.strip()]

    assert ["INN", "0.73"] in lines
    assert ["NN", "1.00"] in lines
    assert any("to" in line for line in lines)


def test_a_narrow_terminal_has_bounds_below_each_other(runs):
    # given more sizes than fit side by side
    wide = runs[0][runs[0]["column"] == "inn"]
    wide = pd.concat([wide.assign(n_hidden=wide["n_hidden"] + 10 * more) for more in range(5)])
    # when
    console = Console(width=80, record=True, file=StringIO())
    console.print(combined_console_table(combined_scores([wide], COLUMNS), ["One-v0"], 80))
    # then
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert " to " not in text.split("INN")[1].split("0:")[0]
