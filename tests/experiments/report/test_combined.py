"""Several environments in one table."""

from __future__ import annotations

import math
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from sb3_integral.experiments.report.combined import combined_console_table, combined_table


@pytest.fixture
def reports(tmp_path: Path) -> list[Path]:
    """Two environments; the second lacks a size, and has a column more."""
    scores = {
        "one": {("inn", 10): [1.0, 1.0, 0.8], ("inn", 5): [0.5, 0.6, 0.7], ("nn", 10): [1.0] * 3},
        "two": {("inn", 10): [0.2, 0.4], ("nn", 10): [1.0, 1.0], ("nn_svd", 10): [1.0, 1.0]},
    }
    folders = []
    for name, samples in scores.items():
        folder = tmp_path / name
        folder.mkdir()
        table = [(column, column.upper(), "student", size) for column, size in samples]
        names = ["column", "label", "kind", "n_hidden"]
        pd.DataFrame(table, columns=names).to_csv(folder / "table.csv", index=False)
        runs = [(c, seed, n, s) for (c, n), own in samples.items() for seed, s in enumerate(own)]
        names = ["column", "seed", "n_hidden", "score"]
        pd.DataFrame(runs, columns=names).to_csv(folder / "runs.csv", index=False)
        folders.append(folder)
    return folders


def test_scores_are_averaged_over_the_runs_of_all_environments(reports):
    # when
    table = combined_table(reports)
    # then what both have is there
    assert table[["column", "n_hidden"]].to_numpy().tolist() == [["inn", 10], ["nn", 10]]
    assert table["n_environments"].tolist() == [2, 2]
    assert table["n_runs"].tolist() == [5, 5]
    # and of five scores the middle three count: 0.4, 0.8 and 1
    assert table["score_iqm"].tolist() == pytest.approx([2.2 / 3, 1.0])
    assert table["score_low"][0] < 2.2 / 3 < table["score_high"][0]
    assert table["score_low"][1] == table["score_high"][1] == 1.0


def test_one_environment_is_its_own_table(reports):
    table = combined_table(reports[:1])
    assert table["score_iqm"].tolist() == pytest.approx([2.8 / 3, 0.6, 1.0])


def test_a_terminal_shows_a_row_per_column(reports):
    # given
    console = Console(width=80, record=True, file=StringIO())
    table = combined_table(reports)
    table.loc[1, "score_low"] = math.nan
    # when
    console.print(combined_console_table(table, ["One-v0", "Two-v0"]))
    # then
    lines = [line.split() for line in console.export_text().splitlines() if line.strip()]

    assert ["INN", "0.73"] in lines
    assert ["NN", "1.00"] in lines
    assert any("to" in line for line in lines)
