"""The tables of forgetting, against cases computed by hand."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest

from sb3_integral.evaluation import SweepEpisode, holm, welch_p
from sb3_integral.experiments.report.forgetting import (
    build_forgetting,
    read_transfer_runs,
    write_forgetting,
)
from sb3_integral.experiments.report.tables import Column

COLUMNS = [Column("inn", "INN", "student"), Column("nn_bicubic", "=NN", "baseline")]
TASKS = ["First-v0", "Second-v0"]
REFERENCES = [
    {"random": {"mean": 10.0}, "expert": {"mean": 110.0}},
    {"random": {"mean": -50.0}, "expert": {"mean": -10.0}},
]
RETURNS = {  # of two runs: in the first task, in it after the second, and in the second
    ("inn", 10): [(110.0, 60.0, -10.0), (90.0, 70.0, -30.0)],
    ("inn", 5): [(60.0, 60.0, -30.0), (60.0, 60.0, -30.0)],
    ("nn_bicubic", 10): [(110.0, 10.0, -10.0), (110.0, 20.0, -10.0)],
    ("nn_bicubic", 5): [(10.0, 0.0, -50.0), (10.0, 10.0, -50.0)],
}


@pytest.fixture
def sweeps(tmp_path):
    """A folder for each column, seed, learned task and tested task."""
    folders = []
    for column, seed, step in product(COLUMNS, range(2), range(3)):
        folder = tmp_path / column.name / str(seed) / str(step)
        folder.mkdir(parents=True)
        rows = [
            SweepEpisode(size, 0.0, episode, RETURNS[column.name, size][seed][step] + offset, 9)
            for size in (10, 5)
            for episode, offset in enumerate((-3.0, 0.0, 3.0))
        ]
        pd.DataFrame(rows).to_csv(folder / "episodes.csv", index=False)
        folders.append(folder)
    return folders


@pytest.fixture
def runs(sweeps) -> pd.DataFrame:
    return read_transfer_runs(sweeps, COLUMNS, [0, 1], TASKS, REFERENCES)


def test_scores_are_those_of_each_tasks_own_expert(runs):
    # given
    run = runs[(runs["column"] == "inn") & (runs["seed"] == 0) & (runs["n_hidden"] == 10)]
    # then
    assert run[["learned", "task", "env"]].to_numpy().tolist() == [
        [0, 0, "First-v0"],
        [1, 0, "First-v0"],
        [1, 1, "Second-v0"],
    ]
    assert run["return_mean"].tolist() == [110.0, 60.0, -10.0]
    assert run["score"].tolist() == pytest.approx([1.0, 0.5, 1.0])
    assert set(runs["n_episodes"]) == {3}


def test_measures_are_means_over_seeds_with_their_intervals(runs):
    # when
    leader = build_forgetting(runs, COLUMNS).iloc[0]
    # then seeds have (0.5 + 1.0) / 2 and (0.6 + 0.5) / 2, and 0.5 - 1.0 and 0.6 - 0.8
    assert (leader["column"], leader["n_hidden"], leader["n_runs"]) == ("inn", 10, 2)
    names = [f"average_accuracy{end}" for end in ("", "_low", "_high")]
    assert leader[names].tolist() == pytest.approx([0.65, 0.55, 0.75])
    names = [f"backward_transfer{end}" for end in ("", "_low", "_high")]
    assert leader[names].tolist() == pytest.approx([-0.35, -0.5, -0.2])


def test_backward_transfer_is_compared_with_the_leaders_at_the_same_size(runs):
    # when
    table = build_forgetting(runs, COLUMNS)
    # then
    expected = [welch_p([-0.5, -0.2], [-1.0, -0.9]), welch_p([0.0, 0.0], [-0.1, 0.0])]
    assert table["column"].tolist() == ["inn", "inn", "nn_bicubic", "nn_bicubic"]
    assert table["welch_p"][:2].isna().all()
    assert table["welch_p"][2:].tolist() == pytest.approx(expected)
    assert table["welch_p_holm"][2:].tolist() == pytest.approx(holm(expected))


def test_one_seed_has_no_interval(runs):
    table = build_forgetting(runs[runs["seed"] == 0], COLUMNS)
    assert table["backward_transfer"].iloc[0] == pytest.approx(-0.5)
    assert table[["backward_transfer_low", "backward_transfer_high", "welch_p"]].isna().all(axis=None)


def test_an_expert_that_is_no_better_than_random_gives_no_scores(sweeps):
    # given
    equal = [REFERENCES[0], {"random": {"mean": -50.0}, "expert": {"mean": -50.0}}]
    # when
    table = build_forgetting(read_transfer_runs(sweeps, COLUMNS, [0, 1], TASKS, equal), COLUMNS)
    # then
    assert table["average_accuracy"].isna().all()
    assert table["backward_transfer"].iloc[0] == pytest.approx(-0.35)  # it is about the first alone


def test_the_files_hold_both_tables_and_a_picture(sweeps, runs, tmp_path):
    # given
    references = []
    for number, returns in enumerate(REFERENCES):
        references.append(tmp_path / f"references-{number}")
        references[-1].mkdir()
        (references[-1] / "returns.json").write_text(json.dumps(returns))
    folder = tmp_path / "report"
    folder.mkdir()
    # when
    assert write_forgetting(folder, references, sweeps, TASKS, COLUMNS, [0, 1]) == REFERENCES
    # then
    pd.testing.assert_frame_equal(pd.read_csv(folder / "transfer_runs.csv"), runs)
    table = build_forgetting(runs, COLUMNS)
    written = pd.read_csv(folder / "forgetting.csv")
    pd.testing.assert_frame_equal(written.drop(columns="label"), table.drop(columns="label"))
    # and a spreadsheet takes no label for a formula
    assert set(written["label"]) == {"INN", "'=NN"}
    assert (folder / "forgetting.png").read_bytes().startswith(b"\x89PNG")
    assert np.isfinite(written["backward_transfer"]).all()
