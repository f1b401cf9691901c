"""What is left of earlier tasks after later ones, by size: the tables of an experiment with ``then``.

Both are files of the report, and tidy. ``transfer_runs.csv`` has a row per ``column``, ``seed``,
``n_hidden``, ``learned``, the number of the task that was learned last, from 0, and ``task``, the number
of the one that was tested:

- ``env``: the tested task's environment;
- ``n_episodes``, and ``return_mean`` over them;
- ``score``: 0 for random actions in that environment, 1 for its expert.

``forgetting.csv`` has a row per ``column`` and ``n_hidden``, columns in order, the leader first:

- ``label`` and ``kind``, as ``table.csv`` has them;
- ``n_runs``, and over them the means of ``average_accuracy`` and ``backward_transfer``, which are
  measured on scores and explained in :mod:`sb3_integral.evaluation.forgetting`, with their 95 %
  bootstrap intervals over seeds, from ``..._low`` to ``..._high``, empty where there is one run;
- ``welch_p``: Welch's t-test of backward transfer against the leader's at the same N, and
  ``welch_p_holm``: the same after Holm's correction for all p-values of the table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from sb3_integral import escaping
from sb3_integral.evaluation import Interval, difference_of_means, holm, normalized_score, welch_p
from sb3_integral.evaluation.forgetting import average_accuracy, backward_transfer
from sb3_integral.experiments.files import REFERENCES, SWEEP
from sb3_integral.experiments.report.forgetting_plot import FORGETTING_PLOT, plot_forgetting
from sb3_integral.experiments.report.tables import Column

FORGETTING = "forgetting.csv"
TRANSFER_RUNS = "transfer_runs.csv"

References = Mapping[str, Mapping[str, float]]
"""The returns of the expert and of random actions in an environment, by their names."""


def write_forgetting(
    folder: Path,
    reference_folders: Sequence[Path],
    sweep_folders: Sequence[Path],
    tasks: Sequence[str],
    columns: Sequence[Column],
    seeds: Sequence[int],
) -> list[References]:
    """Write both tables and the picture, and return the references of each task.

    There is a folder of references for each task, and one of a sweep for each column, seed, learned task
    and tested task. The tasks are the ids of their environments.
    """
    references = [
        json.loads((path / REFERENCES).read_text(encoding="utf-8")) for path in reference_folders
    ]
    runs = read_transfer_runs(sweep_folders, columns, seeds, tasks, references)
    table = build_forgetting(runs, columns)
    runs.to_csv(folder / TRANSFER_RUNS, index=False, encoding="utf-8")
    escaped = table.assign(label=table["label"].map(escaping.csv))
    escaped.to_csv(folder / FORGETTING, index=False, encoding="utf-8")
    plot_forgetting(folder / FORGETTING_PLOT, runs, table)
    return references


def read_transfer_runs(
    sweep_folders: Sequence[Path],
    columns: Sequence[Column],
    seeds: Sequence[int],
    tasks: Sequence[str],
    references: Sequence[References],
) -> pd.DataFrame:
    """Return the rows of ``transfer_runs.csv``; see :func:`write_forgetting`."""
    steps = [(learned, task) for learned in range(len(tasks)) for task in range(learned + 1)]
    rows = []
    for (column, seed, step), folder in zip(product(columns, seeds, steps), sweep_folders, strict=True):
        learned, task = step
        random, expert = (references[task][name]["mean"] for name in ("random", "expert"))
        for size, returns in pd.read_csv(folder / SWEEP).groupby("size", sort=False)["episode_return"]:
            mean = float(returns.mean())
            rows.append(
                {
                    "column": column.name,
                    "seed": seed,
                    "n_hidden": size,
                    "learned": learned,
                    "task": task,
                    "env": tasks[task],
                    "n_episodes": len(returns),
                    "return_mean": mean,
                    "score": normalized_score(mean, random, expert),
                }
            )
    return pd.DataFrame(rows)


def build_forgetting(runs: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Return the rows of ``forgetting.csv``, from those of ``transfer_runs.csv``."""
    measured = {
        key: [_scores(run) for _, run in of_key.groupby("seed", sort=False)]
        for key, of_key in runs.groupby(["column", "n_hidden"], sort=False)
    }
    rows = []
    for column, size in product(columns, runs["n_hidden"].unique().tolist()):
        scores = measured[column.name, size]
        transfers = [backward_transfer(run) for run in scores]
        of_leader = [backward_transfer(run) for run in measured[columns[0].name, size]]
        rows.append(
            {
                "column": column.name,
                "label": column.label,
                "kind": column.kind,
                "n_hidden": size,
                "n_runs": len(scores),
                **_mean("average_accuracy", [average_accuracy(run) for run in scores]),
                **_mean("backward_transfer", transfers),
                "welch_p": float("nan") if column is columns[0] else welch_p(of_leader, transfers),
            }
        )
    table = pd.DataFrame(rows)
    return table.assign(welch_p_holm=holm(table["welch_p"].tolist()))


def _scores(run: pd.DataFrame) -> list[list[float]]:
    """Return the scores of a run at one size, as :mod:`sb3_integral.evaluation.forgetting` has them."""
    ordered = run.sort_values(["learned", "task"])
    return [of_step["score"].tolist() for _, of_step in ordered.groupby("learned")]


def _mean(name: str, runs: Sequence[float]) -> dict[str, Any]:
    # The difference from runs without any spread is the mean itself.
    interval: Interval = difference_of_means(runs, [0.0] * len(runs))
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
