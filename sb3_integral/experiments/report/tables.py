"""The numbers of an experiment: a row per run, and a row per column and size.

Both are files of the report, and tidy: what does not exist is an empty cell.

``runs.csv``, a row per column, seed and size:

==================  ================================================================================
column              short name: ``inn``, ``nn_bicubic``
seed                of the run
n_hidden            neurons in each hidden layer, N
compression_pct     percentage of the actor's parameters that is gone
n_episodes          how many were evaluated
return_mean         mean return of an episode
return_std          standard deviation over the run's episodes
score               0 for random actions, 1 for the mean over seeds of the plain network at full size
==================  ================================================================================

``table.csv``, a row per column and size, columns in order, the leader first:

==================  ================================================================================
column, label       short name, and what people read
kind                ``student``, or ``baseline``: a plain network resized with no retraining
n_hidden            N
compression_pct     of this column: it is not that of others of the same N for ``svd``
n_runs              seeds
return_mean         mean over seeds of a run's mean return
return_std          standard deviation over seeds
score_mean          mean over seeds of the score
score_iqm           interquartile mean of the scores
score_low           ends of its 95 % bootstrap interval
score_high
welch_p             Welch's t-test against the leader at the same N
paper_inn_mean      the paper's figures for this environment and N, in every row of that N
paper_inn_std
paper_nn_mean
paper_nn_std
paper_welch_p
==================  ================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from sb3_integral.evaluation import Moments, interquartile_mean, normalized_score, welch_p
from sb3_integral.experiments.files import SWEEP

Row = Mapping[Any, Any]
"""A row of a table: values by the names of columns."""

PAPER = {
    "inn_ar": "paper_inn_mean",
    "inn_std": "paper_inn_std",
    "nn_ar": "paper_nn_mean",
    "nn_std": "paper_nn_std",
    "welch_p": "paper_welch_p",
}
"""What the paper's figures are called in the table."""

PAPER_LABELS = {"paper_inn": "INN, paper", "paper_nn": "NN, paper"}
"""What people read of the paper's two networks, by the beginning of their columns' names."""

COMPRESSION_TOLERANCE = 0.05
"""Percentage points by which a network may be larger than the leader and still count as of its size."""


class Column(NamedTuple):
    """What is evaluated at every size.

    Attributes:
        name: Short name, in files.
        label: What people read.
        kind: ``student``, or ``baseline``: a plain network resized with no retraining.
    """

    name: str
    label: str
    kind: Literal["student", "baseline"]


class Scale(NamedTuple):
    """What scores refer to.

    Attributes:
        random: Return of random actions, whose score is 0.
        reference: Return whose score is 1.
        column: Where the reference is from: that column's mean over seeds at full size.
    """

    random: float
    reference: float
    column: str


def read_runs(
    sweep_folders: Sequence[Path], columns: Sequence[Column], seeds: Sequence[int]
) -> pd.DataFrame:
    """Read each run at each size: what ``runs.csv`` holds, but for the scores.

    Args:
        sweep_folders: A sweep per column and seed, seeds within columns.
        columns: The columns.
        seeds: The seeds.
    """
    frames = []
    keys = [(column, seed) for column in columns for seed in seeds]
    for (column, seed), sweep in zip(keys, sweep_folders, strict=True):
        frame = (
            pd.read_csv(sweep / SWEEP)
            .groupby("size", sort=False)
            .agg(
                compression_pct=("compression", "first"),
                n_episodes=("episode_return", "size"),
                return_mean=("episode_return", "mean"),
                return_std=("episode_return", "std"),
            )
        )
        frame = frame.reset_index(names="n_hidden")
        frame.insert(0, "seed", seed)
        frame.insert(0, "column", column.name)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def score_scale(runs: pd.DataFrame, columns: Sequence[Column], random_return: float) -> Scale:
    """Return what scores refer to: the plain network at full size, over all its seeds.

    It is one scale for the whole table, and a run that went wrong has a low score at every size. At
    full size every baseline is the plain network itself, so the first is taken; without any, it is
    the leader.

    Args:
        runs: Of :func:`read_runs`; the first size is the full one.
        columns: The columns, the leader first.
        random_return: Return of random actions.
    """
    plain = next((column for column in columns if column.kind == "baseline"), columns[0])
    full = runs[(runs["column"] == plain.name) & (runs["n_hidden"] == runs["n_hidden"].iloc[0])]
    return Scale(random_return, float(full["return_mean"].mean()), plain.name)


def with_scores(runs: pd.DataFrame, scale: Scale) -> pd.DataFrame:
    """Return the runs with their scores."""
    scores = [normalized_score(value, scale.random, scale.reference) for value in runs["return_mean"]]
    return runs.assign(score=scores)


def build_table(runs: pd.DataFrame, columns: Sequence[Column], paper: pd.DataFrame) -> pd.DataFrame:
    """Return what ``table.csv`` holds.

    Args:
        runs: With scores.
        columns: The columns, the leader first.
        paper: The paper's table; empty if it has none.
    """
    samples = dict(iter(runs.groupby(["column", "n_hidden"], sort=False)))
    sizes = list(dict.fromkeys(runs["n_hidden"]))
    rows = []
    for column in columns:
        for size in sizes:
            sample = samples[column.name, size]
            returns = sample["return_mean"].tolist()
            moments = Moments.of(returns)
            iqm = interquartile_mean(sample["score"].tolist())
            leader = samples[columns[0].name, size]["return_mean"].tolist()
            rows.append(
                {
                    **column._asdict(),
                    "n_hidden": size,
                    "compression_pct": float(sample["compression_pct"].iloc[0]),
                    "n_runs": moments.n_runs,
                    "return_mean": moments.mean,
                    "return_std": moments.std,
                    "score_mean": float(sample["score"].mean()),
                    "score_iqm": iqm.value,
                    "score_low": iqm.low,
                    "score_high": iqm.high,
                    "welch_p": float("nan") if column is columns[0] else welch_p(leader, returns),
                }
            )
    table = pd.DataFrame(rows).rename(columns={"name": "column"})
    printed = paper.set_index("n_hidden").rename(columns=PAPER)[list(PAPER.values())]
    return table.join(printed.astype(float), on="n_hidden")


def combined_scores(runs: Sequence[pd.DataFrame], columns: Sequence[Column]) -> pd.DataFrame:
    """Return the interquartile mean of scores over environments and seeds, per column and size.

    Runs are drawn again within their environment for the interval; columns and sizes that an
    environment lacks are left out.

    Args:
        runs: The runs of each environment, with scores.
        columns: The columns, in the order of the result.

    Returns:
        ``column``, ``label``, ``kind``, ``n_hidden``, ``n_environments``, ``n_runs``, ``score_iqm``,
        ``score_low``, ``score_high``.
    """
    samples = [
        {key: group["score"].tolist() for key, group in frame.groupby(["column", "n_hidden"])}
        for frame in runs
    ]
    rows = []
    for column in columns:
        for size in dict.fromkeys(runs[0]["n_hidden"]):
            strata = [sample[key] for sample in samples if (key := (column.name, size)) in sample]
            if len(strata) < len(samples):
                continue
            iqm = interquartile_mean(*strata)
            rows.append(
                {
                    **column._asdict(),
                    "n_hidden": size,
                    "n_environments": len(strata),
                    "n_runs": sum(map(len, strata)),
                    "score_iqm": iqm.value,
                    "score_low": iqm.low,
                    "score_high": iqm.high,
                }
            )
    names = ["name", "label", "kind", "n_hidden", "n_environments", "n_runs"]
    frame = pd.DataFrame(rows, columns=[*names, "score_iqm", "score_low", "score_high"])
    return frame.rename(columns={"name": "column"})


def columns_of(table: pd.DataFrame) -> list[Column]:
    """Return the columns that a table has, the leader first."""
    names = table[["column", "label", "kind"]].drop_duplicates("column")
    return [Column(*row) for row in names.itertuples(index=False)]


def rows_by_size(table: pd.DataFrame, column: Column) -> dict[Any, Row]:
    """Return a column's row of each size."""
    rows: dict[Any, Any] = table[table["column"] == column.name].set_index("n_hidden").to_dict("index")
    return rows


def best_baselines(table: pd.DataFrame) -> dict[Any, Row]:
    """Return for each size the row of the baseline with the highest return.

    Only those are asked that are not larger than the leader. Each row has a ``short_label`` too: without
    the name of the network where all baselines are of one, and empty where all are equal.
    """
    leader = rows_by_size(table, columns_of(table)[0])
    baselines = table[table["kind"] == "baseline"]
    one_network = baselines["label"].str.rpartition(", ")[0].nunique() == 1
    best: dict[Any, Row] = {}
    for size, rows in baselines.groupby("n_hidden", sort=False):
        fair = rows[rows["compression_pct"] >= leader[size]["compression_pct"] - COMPRESSION_TOLERANCE]
        if fair.empty:
            continue
        row = fair.loc[fair["return_mean"].idxmax()].to_dict()
        all_equal = len(fair) > 1 and fair["return_mean"].nunique() == 1
        short = row["label"].rpartition(", ")[2] if one_network else row["label"]
        best[size] = {**row, "short_label": "" if all_equal else short}
    return best
