"""The reward-against-size plot, as Fig. 3 of the paper: of one environment, or of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes as PlotAxes
from matplotlib.figure import Figure

from sb3_integral.escaping import matplotlib as plotted_text
from sb3_integral.experiments.report.load import Results
from sb3_integral.experiments.report.paper import paper_table
from sb3_integral.experiments.report.tables import PAPER_LABELS

Measure = Literal["return", "score"]
"""What a curve shows: average returns, or scores (0: random actions, 1: the plain network)."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, distinguishable by colour-blind readers; as many as curves that stand out."""

OTHERS_COLOUR = "#9A9A9A"
PAPER_COLOURS = {"paper_inn": COLOURS[0], "paper_nn": "#777777"}


def highlighted_columns(table: pd.DataFrame) -> dict[str, str]:
    """Choose the curves that stand out: the students, and one way to resize a plain network.

    Args:
        table: What :func:`~sb3_integral.experiments.report.tables.build_table` returns.

    Returns:
        Labels by the names of columns, in the table's order: all students, the first of which leads,
        and the rescaled bicubic baseline, or else the first. At most as many as there are colours.
    """
    columns = table.drop_duplicates("column")
    students = columns[columns["kind"] == "student"]
    baselines = columns[columns["kind"] != "student"]
    rescaled = baselines[baselines["column"].str.endswith("bicubic_rescaled")]
    baseline = (rescaled if len(rescaled) else baselines).head(1)
    chosen = pd.concat([students.head(len(COLOURS) - len(baseline)), baseline])
    return {row["column"]: row["label"] for _, row in chosen.iterrows()}


def plot_results(path: Path, results: Sequence[Results], measure: Measure = "return") -> None:
    """Plot reward against hidden size, two environments in a row, a curve's colour the same in all.

    Args:
        path: The PNG file.
        results: One for each environment.
        measure: Returns with one standard deviation shaded, or scores with the 95 % bootstrap
            interval of their interquartile mean. The paper's scores refer to the paper's plain network.

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
    colours = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
    used = list(grid.flat)[: len(results)]
    for axes in list(grid.flat)[len(results) :]:
        axes.remove()
    for axes, each in zip(used, results, strict=True):
        _draw(axes, each, colours, measure)
    for axes in used[::across]:
        axes.set_ylabel("average return" if measure == "return" else "score")
    _finish(path, figure, used, legend_columns=3 if across == 1 else 5)


def _draw(axes: PlotAxes, results: Results, colours: Mapping[str, str], measure: Measure) -> None:
    table = results.table
    highlighted = highlighted_columns(table)
    for place, (name, label) in enumerate(highlighted.items()):
        rows = table[table["column"] == name].sort_values("n_hidden")
        # The first is what the plot is about: no other curve hides it.
        style: dict[str, Any] = {"color": colours[name], "zorder": 4 - place / len(highlighted)}
        axes.plot(
            rows["n_hidden"],
            rows[f"{measure}_mean"],
            label=plotted_text(label),
            marker="o",
            markersize=4,
            linewidth=2.4 if place == 0 else 1.6,
            **style,
        )
        axes.fill_between(rows["n_hidden"], *_band(rows, measure), alpha=0.18, linewidth=0, **style)
    for name, label in PAPER_LABELS.items():
        rows = _paper_rows(results, name, measure)
        if len(rows):
            style = {"color": PAPER_COLOURS[name]}
            axes.plot(rows["n"], rows["mean"], "--", label=label, linewidth=1.1, zorder=2.5, **style)
            low, high = rows["mean"] - rows["std"], rows["mean"] + rows["std"]
            axes.fill_between(rows["n"], low, high, alpha=0.07, linewidth=0, **style)
    references = results.references if measure == "return" else {"random": 0.0, "NN": 1.0}
    for name, value in references.items():
        _reference(axes, name, value)
    _draw_others(axes, table[~table["column"].isin(highlighted)], measure)
    axes.set(title=plotted_text(results.env), xlabel="neurons in each hidden layer, N")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_others(axes: PlotAxes, others: pd.DataFrame, measure: Measure) -> None:
    # Drawn last and without a say in the limits: a method that fails badly must not flatten the rest.
    limits = axes.get_ylim()
    label: str | None = "others" if (others["kind"] == "student").any() else "NN, other methods"
    for _, rows in others.groupby("column", sort=False):
        rows = rows.sort_values("n_hidden")
        axes.plot(
            rows["n_hidden"],
            rows[f"{measure}_mean"],
            color=OTHERS_COLOUR,
            linewidth=0.8,
            zorder=1.5,
            label=label,
        )
        label = None
    axes.set_ylim(*limits)


def _band(rows: pd.DataFrame, measure: Measure) -> tuple[pd.Series[float], pd.Series[float]]:
    mean = rows[f"{measure}_mean"]
    if measure == "score":
        return rows["score_low"].fillna(mean), rows["score_high"].fillna(mean)
    std = rows["return_std"].fillna(0.0)
    return mean - std, mean + std


def _paper_rows(results: Results, name: str, measure: Measure) -> pd.DataFrame:
    """Return the paper's ``n``, ``mean`` and ``std``; empty where it has none."""
    known = results.table.drop_duplicates("n_hidden").dropna(subset=[f"{name}_mean"])
    rows = pd.DataFrame(
        {"n": known["n_hidden"], "mean": known[f"{name}_mean"], "std": known[f"{name}_std"].fillna(0.0)}
    ).sort_values("n")
    if measure == "return" or rows.empty:
        return rows
    paper, random = paper_table(results.env), results.references.get("random", 0.0)
    if paper.empty:
        return rows.head(0)
    scale = float(paper.sort_values("n_hidden")["nn_ar"].iloc[-1]) - random
    return rows.assign(mean=(rows["mean"] - random) / scale, std=rows["std"] / abs(scale))


def _reference(axes: PlotAxes, name: str, value: float) -> None:
    axes.axhline(value, color="0.4", linewidth=0.8, linestyle=":")
    axes.annotate(
        plotted_text(name),
        (1.0, value),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color="0.35",
    )


def _finish(path: Path, figure: Figure, panels: Sequence[PlotAxes], *, legend_columns: int) -> None:
    handles = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=min(legend_columns, len(handles)),
        frameon=False,
        fontsize=9,
    )
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)
