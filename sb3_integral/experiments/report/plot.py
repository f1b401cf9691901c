"""The reward-against-size plot, as Fig. 3 of the paper: of one environment, or of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes as PlotAxes

from sb3_integral.escaping import matplotlib as plotted_text
from sb3_integral.experiments.report.load import Results
from sb3_integral.experiments.report.tables import PAPER_LABELS, paper_table

Measure = Literal["return", "score"]
"""The value of a curve: average returns, or scores (0: random actions, 1: the plain network)."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, distinguishable by colour-blind readers; as many as curves that stand out."""

OTHERS_COLOUR = "#9A9A9A"
PAPER_COLOURS = dict(zip(PAPER_LABELS.values(), (COLOURS[0], "#777777"), strict=True))
"""By the labels of the paper's curves, which no student can be called."""


def highlighted_columns(table: pd.DataFrame) -> dict[str, str]:
    """Return the labels, by name, of the columns whose curves stand out, in the table's order.

    They are the students, the first of which leads, and the rescaled bicubic baseline, or else the
    first baseline; at most as many as there are colours.
    """
    columns = table.drop_duplicates("column").set_index("column")["label"]
    kinds = table.drop_duplicates("column").set_index("column")["kind"]
    students, baselines = columns[kinds == "student"], columns[kinds != "student"]
    rescaled = baselines[baselines.index.str.endswith("bicubic_rescaled")]
    baseline = (rescaled if len(rescaled) else baselines).head(1)
    return dict(pd.concat([students.head(len(COLOURS) - len(baseline)), baseline]))


def curves(results: Results, measure: Measure = "return") -> pd.DataFrame:
    """Return the points of all curves, a row per curve and size, the paper's last.

    Returns:
        The columns of the table with the ``role`` of the curve (``highlighted``, ``others`` or
        ``paper``, whose label is its column), the ``mean`` that is drawn, and the ends of its band,
        ``low`` and ``high``: one standard deviation of returns, or the bootstrap interval of scores.
    """
    table = results.table
    role = np.where(table["column"].isin(highlighted_columns(table)), "highlighted", "others")
    mean, std = table[f"{measure}_mean"], table["return_std"].fillna(0.0)
    low, high = mean - std, mean + std
    if measure == "score":
        low, high = table["score_low"].fillna(mean), table["score_high"].fillna(mean)
    frames = [table.assign(role=role, mean=mean, low=low, high=high)]
    for name, label in PAPER_LABELS.items():
        known = table.drop_duplicates("n_hidden").dropna(subset=[f"{name}_mean"])
        mean, std = known[f"{name}_mean"], known[f"{name}_std"].fillna(0.0)
        if measure == "score":  # the paper's scores refer to the paper's plain network
            paper, random = paper_table(results.env), results.references.get("random", 0.0)
            span = paper.set_index("n_hidden")["nn_ar"].get(paper["n_hidden"].max(), np.nan) - random
            mean, std = (mean - random) / span, std / abs(span)
        printed = known[["n_hidden", "compression_pct"]].assign(column=label, label=label, role="paper")
        printed = printed.assign(return_std=std, mean=mean, low=mean - std, high=mean + std).dropna()
        frames += [printed] if len(printed) else []
    return pd.concat(frames, ignore_index=True)


def plot_results(path: Path, results: Sequence[Results], measure: Measure = "return") -> None:
    """Plot reward against hidden size, two environments in a row, a curve's colour the same in all.

    Args:
        path: The PNG file.
        results: One for each environment.
        measure: Returns with one standard deviation shaded, or scores with the 95 % bootstrap
            interval of their interquartile mean.

    Raises:
        ValueError: If there are no results.
    """
    if not results:
        raise ValueError("expected at least one experiment to draw, got none")
    across = min(2, len(results))
    down = -(-len(results) // across)
    size = (6.5 * across, 4.2 * down + 0.8)
    figure, grid = plt.subplots(down, across, figsize=size, dpi=140, layout="constrained", squeeze=False)
    names = dict.fromkeys(name for each in results for name in highlighted_columns(each.table))
    # Where environments have different students, colours repeat rather than run out.
    colours = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)} | PAPER_COLOURS
    handles: dict[str, Any] = {}
    for axes in grid.flat[len(results) :]:
        axes.remove()
    for axes, each in zip(grid.flat, results, strict=False):
        _draw(axes, each, colours, measure)
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    for axes in grid[:, 0]:
        axes.set_ylabel("average return" if measure == "return" else "score")
    layout: Any = {"loc": "outside lower center", "ncols": min(3 if across == 1 else 5, len(handles))}
    figure.legend(handles.values(), [*handles], frameon=False, fontsize=9, **layout)
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def _draw(axes: PlotAxes, results: Results, colours: Mapping[str, str], measure: Measure) -> None:
    rows = curves(results, measure).sort_values("n_hidden", kind="stable")
    order = [*highlighted_columns(results.table), *PAPER_COLOURS]
    for place, name in enumerate(order):
        curve = rows[rows["column"] == name]
        # The first is what the plot is about: no other curve hides it.
        style: dict[str, Any] = {"color": colours[name], "zorder": 4 - place / len(order)}
        line: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": 1.6 if place else 2.4}
        if name in PAPER_COLOURS:
            line = {"linestyle": "--", "linewidth": 1.1}
        label = plotted_text(curve["label"].iloc[0]) if len(curve) else None
        axes.plot(curve["n_hidden"], curve["mean"], label=label, **line, **style)
        alpha = 0.07 if name in PAPER_COLOURS else 0.18
        axes.fill_between(
            curve["n_hidden"], curve["low"], curve["high"], alpha=alpha, linewidth=0, **style
        )
    references = results.references if measure == "return" else {"random": 0.0, "NN": 1.0}
    for name, value in references.items():
        axes.axhline(value, color="0.4", linewidth=0.8, linestyle=":")
        beside: Any = {"transform": axes.get_yaxis_transform(), "va": "center"}
        axes.text(1.01, value, plotted_text(name), fontsize=8, color="0.35", **beside)
    # Drawn last and without a say in the limits: a method that fails badly must not flatten the rest.
    limits = axes.get_ylim()
    others = rows[rows["role"] == "others"]
    label = "others" if (others["kind"] == "student").any() else "NN, other methods"
    for _, curve in others.groupby("column", sort=False):
        style = {"color": OTHERS_COLOUR, "linewidth": 0.8, "zorder": 1.5, "label": label}
        axes.plot(curve["n_hidden"], curve["mean"], **style)
    axes.set_ylim(*limits)
    axes.set(title=plotted_text(results.env), xlabel="neurons in each hidden layer, N")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
