"""Networks under conditions: perturbed environments, and weights as whole numbers.

``runs.csv`` in the stage's folder has a row for each condition of each run, ``none`` for the first:

- ``condition``, and ``column``, ``seed``, ``n_hidden``, ``compression_pct``, ``n_episodes``,
  ``return_mean``, ``return_std`` and ``score`` as in the report;
- ``bytes`` of the actor's numbers, if the conditions are formats of weights.

``conditions.csv`` has a row per condition, column and size:

- ``n_runs``, and ``return_mean`` and ``return_std`` over runs, and ``bytes``;
- ``score_iqm``, the interquartile mean, with its 95 % bootstrap interval;
- ``loss``: by how much the mean score is below that of the same networks at that size under no
  condition, with the 95 % bootstrap interval of the difference, ``loss_low`` to ``loss_high``;
- ``welch_p``: Welch's t-test of scores against the leader under the same condition at the same size,
  and ``welch_p_holm``, corrected for all of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sb3_integral import escaping
from sb3_integral.evaluation import Moments, difference_of_means, holm, interquartile_mean, welch_p
from sb3_integral.experiments.engine.stage import Report
from sb3_integral.experiments.files import REFERENCES, SWEEP
from sb3_integral.experiments.report import tables
from sb3_integral.experiments.report.load import RUNS
from sb3_integral.experiments.report.plot import COLOURS

CONDITIONS = "conditions"  # name of the stage, and of its table and plot
NONE = "none"


def write_conditions(
    folder: Path,
    report: Report,
    references_folder: Path,
    sweep_folders: Sequence[Path],
    *,
    seeds: list[int],
    columns: list[dict[str, Any]],
    conditions: list[str],
) -> None:
    """Write ``runs.csv``, ``conditions.csv`` and ``conditions.png``.

    There is a sweep per condition, column and seed, seeds within columns within conditions, and the
    first condition is :data:`NONE`; ``columns`` has the fields of each ``Column``.
    """
    all_columns = [tables.Column(**column) for column in columns]
    references = json.loads((references_folder / REFERENCES).read_text(encoding="utf-8"))
    runs = read_condition_runs(sweep_folders, all_columns, seeds, conditions)
    unperturbed = runs[runs["condition"] == NONE]
    scale = tables.score_scale(unperturbed, all_columns, references["random"]["mean"])
    runs = tables.with_scores(runs, scale)
    table = condition_table(runs, all_columns)
    runs.to_csv(folder / RUNS, index=False, encoding="utf-8")
    escaped = table.assign(label=table["label"].map(escaping.csv))
    escaped.to_csv(folder / f"{CONDITIONS}.csv", index=False, encoding="utf-8")
    plot_conditions(folder / f"{CONDITIONS}.png", table)


def read_condition_runs(
    sweep_folders: Sequence[Path],
    columns: Sequence[tables.Column],
    seeds: Sequence[int],
    conditions: Sequence[str],
) -> pd.DataFrame:
    """Read the rows of ``runs.csv`` without the scores, from the sweeps of :func:`write_conditions`."""
    n_sweeps = len(columns) * len(seeds)
    frames = []
    for place, condition in enumerate(conditions):
        of_condition = sweep_folders[place * n_sweeps : (place + 1) * n_sweeps]
        frame = tables.read_runs(of_condition, columns, seeds)
        frame.insert(0, "condition", condition)
        frames.append(frame.assign(**_bytes(of_condition)))
    runs = pd.concat(frames, ignore_index=True)
    if "float32_bytes" not in runs:
        return runs
    # A network of a size has as many numbers in each format, and under no condition they are floats.
    key = ["column", "n_hidden"]
    floats = runs.groupby(key)["float32_bytes"].transform("max")
    return runs.assign(bytes=runs["bytes"].fillna(floats).astype(int)).drop(columns="float32_bytes")


def _bytes(sweep_folders: Sequence[Path]) -> dict[str, list[int]]:
    """Return the bytes of each run and size, if the sweeps have them."""
    names = ("bytes", "float32_bytes")
    firsts = [pd.read_csv(sweep / SWEEP).groupby("size", sort=False).first() for sweep in sweep_folders]
    if not all(name in first for first in firsts for name in names):
        return {}
    return {name: [int(value) for first in firsts for value in first[name]] for name in names}


def condition_table(runs: pd.DataFrame, columns: Sequence[tables.Column]) -> pd.DataFrame:
    """Return the rows of ``conditions.csv`` from runs with scores."""
    samples = dict(iter(runs.groupby(["condition", "column", "n_hidden"], sort=False)))
    conditions, sizes = runs["condition"].unique(), runs["n_hidden"].unique()
    rows = []
    for condition, column, size in product(conditions.tolist(), columns, sizes.tolist()):
        sample = samples[condition, column.name, size]
        scores = sample["score"].tolist()
        row: dict[str, Any] = {
            "condition": condition,
            "column": column.name,
            "label": column.label,
            "n_hidden": size,
            **({"bytes": int(sample["bytes"].iloc[0])} if "bytes" in sample else {}),
        }
        moments = Moments.from_runs(sample["return_mean"].tolist())
        row |= {"n_runs": moments.n_runs, "return_mean": moments.mean, "return_std": moments.std}
        value, low, high = interquartile_mean(scores)
        row |= {"score_iqm": value, "score_low": low, "score_high": high}
        if condition != NONE:
            before = samples[NONE, column.name, size]["score"].tolist()
            loss = difference_of_means(before, scores)
            row |= {"loss": loss.value, "loss_low": loss.low, "loss_high": loss.high}
        if column is not columns[0]:
            leader = samples[condition, columns[0].name, size]["score"].tolist()
            row["welch_p"] = welch_p(leader, scores)
        rows.append(row)
    table = pd.DataFrame(rows)
    for name in ("loss", "loss_low", "loss_high", "welch_p"):
        if name not in table:
            table[name] = np.nan
    return table.assign(welch_p_holm=holm(table["welch_p"].tolist()))


def plot_conditions(path: Path, table: pd.DataFrame) -> None:
    """Plot the score against the size, or against bytes where weights have formats.

    Perturbations have a panel each with a curve per column; formats are curves in a panel per column.
    """
    panel, curve, x = "condition", "label", "n_hidden"
    if "bytes" in table:
        panel, curve, x = "label", "condition", "bytes"
    panels, curves = table[panel].unique(), table[curve].unique()
    across = min(4, len(panels))
    down = -(-len(panels) // across)
    figure, grid = plt.subplots(
        *(down, across),
        figsize=(3.2 * across, 2.7 * down + 0.6),
        dpi=140,
        layout="constrained",
        squeeze=False,
        sharey=True,
    )
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes, title in zip(grid.flat, panels, strict=False):
        for place, name in enumerate(curves):
            rows = table[(table[panel] == title) & (table[curve] == name)].sort_values(x)
            colour = COLOURS[place % len(COLOURS)]
            label, dashes = escaping.matplotlib(str(name)), "-" if place < len(COLOURS) else "--"
            axes.plot(rows[x], rows["score_iqm"], dashes, marker="o", ms=3, color=colour, label=label)
            ends = rows["score_low"].astype(float), rows["score_high"].astype(float)
            axes.fill_between(rows[x], *ends, color=colour, alpha=0.12, linewidth=0)
        words = "neurons in each hidden layer, N" if x == "n_hidden" else "bytes of the actor"
        axes.set_title(escaping.matplotlib(str(title)), fontsize=9)
        axes.set(xscale="log", xlabel=words)
        if x == "n_hidden":
            axes.set_xticks(table[x].unique(), table[x].unique())
            axes.set_xticks([], minor=True)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("score")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=min(5, len(labels)))
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)
