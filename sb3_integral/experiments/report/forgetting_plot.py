"""The picture of forgetting: what is left of the first task, and backward transfer, against size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from sb3_integral.escaping import matplotlib as plotted_text
from sb3_integral.experiments.report.plot import COLOURS

FORGETTING_PLOT = "forgetting.png"


def plot_forgetting(path: Path, runs: pd.DataFrame, table: pd.DataFrame) -> None:
    """Draw the tables ``transfer_runs.csv`` and ``forgetting.csv``, a colour for each column.

    On the left are scores in the first task, after the last task as a solid line, and before all later
    ones dotted, means over seeds. On the right is backward transfer with its 95 % interval.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(11.0, 4.6), dpi=140, layout="constrained")
    first = runs[runs["task"] == 0]
    last = first["learned"].max()
    of_column = first.groupby(["column", "learned", "n_hidden"])["score"].mean()
    columns = table.drop_duplicates("column")[["column", "label"]]
    for place, (column, label) in enumerate(columns.itertuples(index=False)):
        style: dict[str, Any] = {"color": COLOURS[place % len(COLOURS)], "zorder": 4 - place / 10}
        after, before = (of_column[column, learned].sort_index() for learned in (last, 0))
        line: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": 1.6 if place else 2.4}
        left.plot(after.index, after, label=plotted_text(label), **line, **style)
        left.plot(before.index, before, linestyle=":", linewidth=1.2, **style)
        rows = table[table["column"] == column].sort_values("n_hidden")
        right.plot(rows["n_hidden"], rows["backward_transfer"], **line, **style)
        ends = rows["backward_transfer_low"], rows["backward_transfer_high"]
        right.fill_between(rows["n_hidden"], *ends, alpha=0.15, linewidth=0, **style)
    environment = plotted_text(first["env"].iloc[0])
    left.set(title=f"{environment} after {last + 1} tasks (dotted: after the first)", ylabel="score")
    right.set(title="what later tasks did to earlier ones", ylabel="backward transfer")
    right.axhline(0.0, color="0.4", linewidth=0.8, linestyle=":")
    for axes in (left, right):
        axes.set_xlabel("neurons in each hidden layer, N")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    layout: Any = {"loc": "outside lower center", "ncols": min(5, len(columns))}
    figure.legend(frameon=False, fontsize=9, **layout)
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)
