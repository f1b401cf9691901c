from __future__ import annotations

import json

import pandas as pd
import pytest
import torch
import yaml

from sb3_integral.evaluation import SweepEpisode
from sb3_integral.experiments.report.over_sizes import mean_over_sizes
from sb3_integral.experiments.report.roughness import ROUGHNESS, write_roughness
from sb3_integral.experiments.report.tables import (
    Column,
    build_table,
    paper_table,
    read_runs,
    score_scale,
    with_scores,
)
from sb3_integral.experiments.report.write import write_report

COLUMNS = [
    Column("inn", "INN", "student"),
    Column("nn_bicubic", "NN, bicubic", "baseline"),
]
RANDOM = 20.0
# Mean returns of three runs, by column and size.
MEANS = {
    ("inn", 10): (100.0, 110.0, 120.0),
    ("inn", 5): (80.0, 90.0, 70.0),
    ("nn_bicubic", 10): (100.0, 100.0, 100.0),
    ("nn_bicubic", 5): (10.0, 20.0, 60.0),
}
COMPRESSIONS = {10: 0.0, 5: 71.43}


@pytest.fixture
def experiment(tmp_path):
    """The folders that a report is written from: references, and a sweep per column and seed."""
    references = tmp_path / "references"
    references.mkdir()
    (references / "stage.json").write_text(json.dumps({"seconds": 1.5, "versions": {"numpy": "2"}}))
    returns = {
        "expert": {"mean": 130.0, "std": 4.0, "episodes": 100},
        "random": {"mean": RANDOM, "std": 2.5, "episodes": 100},
    }
    (references / "returns.json").write_text(json.dumps(returns))
    sweeps = []
    for column in COLUMNS:
        for seed in range(3):
            folder = tmp_path / f"seed-{seed}" / column.name
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


@pytest.fixture
def written(experiment, tmp_path, ignore_progress):
    references, sweeps = experiment
    folder, figures = tmp_path / "report", tmp_path / "figures"
    folder.mkdir()
    figures.mkdir()
    weights = {"INN": torch.ones(4, 4), "=NN": torch.tensor([[1.0, -1.0, 1.0, -1.0]])}
    write_roughness(figures / ROUGHNESS, weights)
    write_report(
        folder,
        ignore_progress,
        references,
        sweeps,
        figures,
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
        "over_sizes.csv",
        "provenance.json",
        "reward_vs_size.png",
        "runs.csv",
        "table.csv",
        "table.md",
    ]
    assert (written / "reward_vs_size.png").read_bytes().startswith(b"\x89PNG")


def test_the_csv_files_hold_runs_and_table_unrounded(written, experiment):
    # given
    runs = read_runs(experiment[1], COLUMNS, [0, 1, 2])
    scored = with_scores(runs, score_scale(runs, COLUMNS, RANDOM))
    # then
    pd.testing.assert_frame_equal(pd.read_csv(written / "runs.csv"), scored)
    table = build_table(scored, COLUMNS, paper_table("CartPole-v1"))
    pd.testing.assert_frame_equal(pd.read_csv(written / "table.csv"), table)
    over_sizes = mean_over_sizes(scored, COLUMNS)
    pd.testing.assert_frame_equal(pd.read_csv(written / "over_sizes.csv"), over_sizes)


def test_the_markdown_file_says_what_was_measured(written):
    text = (written / "table.md").read_text()
    assert text.startswith("# CartPole-v1\n")
    assert "Expert: 130.0 ± 4.0 over 100 deterministic episodes; random actions: 20.0 ± 2.5." in text
    assert "Seeds 0, 1, 2; 3 episodes per seed and size." in text
    assert "Welch's t-test of returns against INN" in text
    assert "| 110.0 ± 10.0 |" in text
    assert "## Mean over sizes" in text
    assert "INN minus it" in text
    # and how rough weights are, as the figures' stage measured it
    (row,) = [line for line in text.splitlines() if "=NN" in line]
    assert row.replace(" ", "") == "|=NN|2.000|-|1.000|"


def test_the_experiment_is_kept_with_its_hyperparameters(written):
    kept = yaml.safe_load((written / "experiment.yml").read_text())
    assert kept["env"] == "CartPole-v1"
    assert kept["expert_hyperparams"] == {"n_steps": 250}


def test_provenance_has_seeds_versions_and_times(written):
    provenance = json.loads((written / "provenance.json").read_text())
    assert provenance["seeds"] == {"expert": 4, "runs": [0, 1, 2]}
    assert provenance["references"]["random"]["mean"] == RANDOM
    assert provenance["scores"] == {"random": RANDOM, "reference": 100.0, "column": "nn_bicubic"}
    assert {"torch", "imitation", "stable-baselines3"} <= provenance["versions"].keys()
    assert provenance["stage_seconds"] == {"references": 1.5}
    assert provenance["stage_versions"] == {"references": {"numpy": "2"}}
