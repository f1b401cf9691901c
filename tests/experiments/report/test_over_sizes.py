"""The mean over sizes, against cases computed by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from sb3_integral.experiments.report.over_sizes import (
    OVER_SIZES,
    mean_over_sizes,
    over_sizes_cells,
    over_sizes_explanation,
    read_over_sizes,
)
from sb3_integral.experiments.report.tables import Column

COLUMNS = [Column("inn", "INN", "student"), Column("nn", "-NN", "baseline")]
SCORES = {  # of two runs, by column and size
    ("inn", 10): (1.0, 1.0),
    ("inn", 5): (0.8, 0.6),
    ("nn", 10): (1.0, 1.0),
    ("nn", 5): (0.0, 0.0),
}


def over_sizes_of(scores, columns=COLUMNS) -> pd.DataFrame:
    runs = pd.DataFrame(
        {"column": column, "seed": seed, "n_hidden": size, "score": score}
        for (column, size), values in scores.items()
        for seed, score in enumerate(values)
    )
    return mean_over_sizes(runs, columns)


def test_sizes_are_averaged_within_a_run_and_runs_after_that():
    # when
    leader, other = over_sizes_of(SCORES).to_dict("records")
    # then runs of the leader have 0.9 and 0.8
    assert (leader["column"], leader["label"], leader["kind"]) == ("inn", "INN", "student")
    assert leader["score_mean"] == pytest.approx(0.85)
    assert all(map(pd.isna, (leader["lead"], leader["lead_low"], leader["lead_high"])))
    assert other["n_runs"] == 2
    assert other["score_mean"] == pytest.approx(0.5)
    # and the interval of two runs ends at them
    expected = (0.35, 0.3, 0.4)
    assert (other["lead"], other["lead_low"], other["lead_high"]) == pytest.approx(expected)


def test_people_read_the_lead_and_its_interval():
    frame = over_sizes_of(SCORES)
    assert over_sizes_cells(frame).to_numpy().tolist() == [
        ["INN", "0.850", "-", "-"],
        ["-NN", "0.500", "0.350", "[0.300, 0.400]"],
    ]
    assert "how much more INN has, with the 95 % bootstrap interval" in over_sizes_explanation(frame)
    assert over_sizes_explanation(frame).endswith("Of 2 seeds these still are too narrow.")


def test_five_seeds_are_enough():
    frame = over_sizes_of(dict.fromkeys(SCORES, (1.0, 0.9, 0.8, 0.7, 0.6)))
    assert "too narrow" not in over_sizes_explanation(frame)


def test_one_seed_has_no_interval_and_that_is_said():
    frame = over_sizes_of({key: values[:1] for key, values in SCORES.items()})
    assert over_sizes_cells(frame).iloc[1].tolist() == ["-NN", "0.500", "0.400", "-"]
    assert over_sizes_explanation(frame).endswith("so there is no interval.")


def test_a_leader_alone_has_nothing_to_be_compared_with():
    frame = over_sizes_of(
        {key: values for key, values in SCORES.items() if key[0] == "inn"}, COLUMNS[:1]
    )
    assert over_sizes_cells(frame).to_numpy().tolist() == [["INN", "0.850", "-", "-"]]
    assert "interval" not in over_sizes_explanation(frame)


def test_the_file_is_read_back(tmp_path, over_sizes):
    over_sizes.to_csv(tmp_path / OVER_SIZES, index=False)
    pd.testing.assert_frame_equal(read_over_sizes(tmp_path), over_sizes)
