"""The numbers of an experiment: a row per run, and a row per column and size.

Both are files of the report, and tidy: a value that does not exist is an empty cell. ``runs.csv`` has
a row per ``column`` (``inn``, ``nn_bicubic``), ``seed``, and ``n_hidden``, the neurons in each hidden
layer, N:

- ``compression_pct``: the percentage of the actor's parameters that is gone;
- ``n_episodes``, and ``return_mean`` and ``return_std`` over them;
- ``score``: 0 for random actions, 1 for the mean over seeds of the plain network at full size.

``table.csv`` has a row per ``column`` and ``n_hidden``, columns in order, the leader first:

- ``label``, and ``kind``: ``student``, or ``baseline`` for a plain network resized with no retraining;
- ``compression_pct`` of this column, which for ``svd`` is not that of others of the same N;
- ``n_runs``, and ``return_mean`` and ``return_std`` over the runs' mean returns;
- ``score_mean``, and the interquartile mean ``score_iqm`` with its 95 % bootstrap interval from
  ``score_low`` to ``score_high``;
- ``welch_p``: Welch's t-test against the leader at the same N, and ``welch_p_holm``: the same after
  Holm's correction for all p-values of the table;
- ``paper_inn_mean``, ``paper_inn_std``, ``paper_nn_mean``, ``paper_nn_std`` and ``paper_welch_p``: the
  paper's figures for this environment and N, in every row of that N.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from sb3_integral.evaluation import (
    Moments,
    holm,
    interquartile_mean,
    normalized_score,
    welch_p,
)
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
"""The names of the paper's figures in the table."""

PAPER_LABELS = {"paper_inn": "INN, paper", "paper_nn": "NN, paper"}
"""The labels of the paper's two networks, by the beginning of their columns' names."""

SIGNIFICANT = 0.05
"""Below this, a p-value after Holm's correction counts as a difference."""

COMPRESSION_TOLERANCE = 0.05
"""Percentage points by which a network may be larger than the leader and still count as of its size."""


class Column(NamedTuple):
    """A network that is evaluated at every size: its name in files, its label, and its kind."""

    name: str
    label: str
    kind: Literal["student", "baseline"]


class Scale(NamedTuple):
    """The returns that scores refer to.

    The score of random actions is 0, that of the reference 1: a column's mean over seeds at full size.
    """

    random: float
    reference: float
    column: str


def read_runs(
    sweep_folders: Sequence[Path], columns: Sequence[Column], seeds: Sequence[int]
) -> pd.DataFrame:
    """Read the rows of ``runs.csv``, without the scores, from a sweep per column and seed within it."""
    frames = []
    for (column, seed), sweep in zip(product(columns, seeds), sweep_folders, strict=True):
        by_size = pd.read_csv(sweep / SWEEP).groupby("size", sort=False)
        frame = by_size.agg(
            compression_pct=("compression", "first"),
            n_episodes=("episode_return", "size"),
            return_mean=("episode_return", "mean"),
            return_std=("episode_return", "std"),
        ).reset_index(names="n_hidden")
        frame.insert(0, "seed", seed)
        frame.insert(0, "column", column.name)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def score_scale(runs: pd.DataFrame, columns: Sequence[Column], random_return: float) -> Scale:
    """Return the scale of scores: the plain network at full size, over all its seeds, has 1.

    It is one scale for the whole table, and a run that went wrong has a low score at every size. At
    full size, which comes first, every baseline is the plain network itself, so the first is taken;
    without any, it is the first column, the leader.
    """
    plain = next((column for column in columns if column.kind == "baseline"), columns[0])
    full = runs[(runs["column"] == plain.name) & (runs["n_hidden"] == runs["n_hidden"].iloc[0])]
    return Scale(random_return, float(full["return_mean"].mean()), plain.name)


def with_scores(runs: pd.DataFrame, scale: Scale) -> pd.DataFrame:
    """Return the runs with their scores."""
    scores = [normalized_score(value, scale.random, scale.reference) for value in runs["return_mean"]]
    return runs.assign(score=scores)


def build_table(runs: pd.DataFrame, columns: Sequence[Column], paper: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``table.csv``, from runs with scores, and the paper's table or an empty one."""
    samples = dict(iter(runs.groupby(["column", "n_hidden"], sort=False)))
    rows = []
    for column, size in product(columns, runs["n_hidden"].unique().tolist()):
        sample = samples[column.name, size]
        returns = sample["return_mean"].tolist()
        leader = samples[columns[0].name, size]["return_mean"].tolist()
        moments = Moments.from_runs(returns)
        rows.append(
            {
                **_key(column, size),
                "compression_pct": float(sample["compression_pct"].iloc[0]),
                "n_runs": moments.n_runs,
                "return_mean": moments.mean,
                "return_std": moments.std,
                "score_mean": float(sample["score"].mean()),
                **_score(sample["score"].tolist()),
                "welch_p": float("nan") if column is columns[0] else welch_p(leader, returns),
            }
        )
    table = pd.DataFrame(rows)
    table["welch_p_holm"] = holm(table["welch_p"].tolist())
    printed = paper.set_index("n_hidden").rename(columns=PAPER)[list(PAPER.values())]
    return table.join(printed.astype(float), on="n_hidden")


def combined_scores(runs: Sequence[pd.DataFrame], columns: Sequence[Column]) -> pd.DataFrame:
    """Return the interquartile mean of scores over environments and seeds, per column and size.

    The bootstrap draws runs again within their environment. Columns and sizes that an environment lacks
    are left out. The result has the key and the scores of ``table.csv``, ``n_environments``, and
    ``n_runs`` over all of them.
    """
    samples = [
        {key: group["score"].tolist() for key, group in frame.groupby(["column", "n_hidden"])}
        for frame in runs
    ]
    rows = []
    for column, size in product(columns, runs[0]["n_hidden"].unique().tolist()):
        strata = [sample[column.name, size] for sample in samples if (column.name, size) in sample]
        if len(strata) == len(samples):
            counts = {"n_environments": len(strata), "n_runs": sum(map(len, strata))}
            rows.append({**_key(column, size), **counts, **_score(*strata)})
    names = ["column", "label", "kind", "n_hidden", "n_environments", "n_runs"]
    return pd.DataFrame(rows, columns=[*names, "score_iqm", "score_low", "score_high"])


def _key(column: Column, size: int) -> dict[str, Any]:
    return {"column": column.name, "label": column.label, "kind": column.kind, "n_hidden": size}


def _score(*strata: Sequence[float]) -> dict[str, float]:
    value, low, high = interquartile_mean(*strata)
    return {"score_iqm": value, "score_low": low, "score_high": high}


def paper_table(env_id: str) -> pd.DataFrame:
    """Return the paper's table for an environment (its Tables 1-4, Appendix III); empty if it has none.

    It has a row per ``n_hidden``: ``compression_pct``, ``inn_ar``, ``inn_std``, ``nn_ar``, ``nn_std``
    and ``welch_p``.
    """
    with (files(__package__) / "paper_tables.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file)
    return table[table["env"] == env_id].drop(columns="env").reset_index(drop=True)


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

    Baselines that are larger than the leader do not count. Each row has a ``short_label`` too: without
    the name of the network where all baselines are of one, and empty where all are equal.
    """
    leader = rows_by_size(table, columns_of(table)[0])
    baselines = table[table["kind"] == "baseline"]
    one_network = baselines["label"].map(lambda label: label.rpartition(", ")[0]).nunique() == 1
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
