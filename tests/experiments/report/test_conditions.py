"""The table of networks under conditions."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sb3_integral.evaluation import welch_p
from sb3_integral.experiments.files import REFERENCES, SWEEP
from sb3_integral.experiments.report.conditions import (
    CONDITIONS,
    NONE,
    read_condition_runs,
    write_conditions,
)
from sb3_integral.experiments.report.tables import Column

COLUMNS = [Column("inn", "INN", "student"), Column("nn", "NN, bicubic", "baseline")]
SEEDS = [0, 1]
SIZES = [10, 5]


def sweep(folder: Path, returns: dict[int, list[float]], n_bytes: dict[int, tuple[int, int]]) -> Path:
    """Write the episodes of a sweep."""
    rows = [
        {
            "size": size,
            "compression": 100.0 - 10 * size,
            "episode": i,
            "episode_return": value,
            "length": 3,
        }
        | (dict(zip(("bytes", "float32_bytes"), n_bytes[size], strict=True)) if n_bytes else {})
        for size, values in returns.items()
        for i, value in enumerate(values)
    ]
    folder.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(folder / SWEEP, index=False)
    return folder


def sweeps(root: Path, conditions: list[str], n_bytes: dict[int, tuple[int, int]]) -> list[Path]:
    """Write sweeps: 100, less 10 for each condition, 20 for the small size and 5 for nn."""
    folders = []
    for (place, condition), column, seed in product(enumerate(conditions), COLUMNS, SEEDS):
        returns = {}
        for size in SIZES:
            mean = 100 - 10 * place - 20 * (size == 5) - 5 * (column.name == "nn") + seed
            returns[size] = [mean - 1.0, mean + 1.0]
        of_condition = {} if condition == NONE else n_bytes
        folders.append(sweep(root / f"{condition}-{column.name}-{seed}", returns, of_condition))
    return folders


def written(tmp_path: Path, conditions: list[str], n_bytes: dict[int, tuple[int, int]]) -> Path:
    (tmp_path / "references").mkdir()
    entry = {"mean": 0.0, "std": 1.0, "episodes": 3}
    text = json.dumps({"random": entry, "expert": entry | {"mean": 100.0}})
    (tmp_path / "references" / REFERENCES).write_text(text)
    target = tmp_path / "made"
    target.mkdir()
    write_conditions(
        target,
        lambda _: None,
        tmp_path / "references",
        sweeps(tmp_path / "sweeps", conditions, n_bytes),
        seeds=SEEDS,
        columns=[column._asdict() for column in COLUMNS],
        conditions=conditions,
    )
    return target


def test_the_table_has_the_loss_against_the_same_network_under_no_condition(tmp_path: Path) -> None:
    # Given returns that each condition lowers by 10
    folder = written(tmp_path, [NONE, "gravity-2", "mass-2"], {})

    # When the table is read
    table = pd.read_csv(folder / f"{CONDITIONS}.csv").set_index(["condition", "column", "n_hidden"])
    runs = pd.read_csv(folder / "runs.csv")

    # Then a score of 1 is the plain network at full size, 95 and 96 on average, and losses follow
    assert table.loc[(NONE, "inn", 10), "score_iqm"] == pytest.approx(100.5 / 95.5)
    assert table.loc[("gravity-2", "nn", 5), "return_mean"] == pytest.approx(65.5)
    for (condition, *_), row in table.iterrows():  # type: ignore[misc]
        expected = {NONE: np.nan, "gravity-2": 10 / 95.5, "mass-2": 20 / 95.5}[condition]
        assert row["loss"] == pytest.approx(expected, nan_ok=True)
    assert len(runs) == 3 * 2 * 2 * 2
    assert set(runs["condition"]) == {NONE, "gravity-2", "mass-2"}
    # And other columns are compared with the leader under the same condition, corrected for all six
    scores = [[value / 95.5 for value in values] for values in ((90.0, 91.0), (85.0, 86.0))]
    row = table.loc[("gravity-2", "nn", 10)]
    assert row["welch_p"] == pytest.approx(welch_p(*scores))
    assert row["welch_p_holm"] == pytest.approx(min(1.0, 6 * row["welch_p"]))
    assert np.isnan(table.loc[("gravity-2", "inn", 10), "welch_p"])
    assert (folder / f"{CONDITIONS}.png").stat().st_size > 10_000


def test_formats_of_weights_have_their_bytes_and_floats_have_theirs(tmp_path: Path) -> None:
    # Given formats, in which the two sizes need 40 and 20 bytes where floats need 160 and 80
    folder = written(tmp_path, [NONE, "int8-row"], {10: (40, 160), 5: (20, 80)})

    # When the runs are read
    runs = pd.read_csv(folder / "runs.csv")

    # Then each has the bytes of its format
    found = runs.groupby(["condition", "n_hidden"])["bytes"].unique().map(list).to_dict()
    assert found == {
        (NONE, 10): [160],
        (NONE, 5): [80],
        ("int8-row", 10): [40],
        ("int8-row", 5): [20],
    }
    assert "float32_bytes" not in runs


def test_sweeps_go_to_their_condition_column_and_seed(tmp_path: Path) -> None:
    # Given sweeps in order
    conditions = [NONE, "gravity-2"]
    runs = read_condition_runs(sweeps(tmp_path, conditions, {}), COLUMNS, SEEDS, conditions)

    # Then each row has its return
    for row in runs.to_dict("records"):
        expected = 100 - 10 * (row["condition"] != NONE) - 20 * (row["n_hidden"] == 5)
        assert row["return_mean"] == expected - 5 * (row["column"] == "nn") + row["seed"]
