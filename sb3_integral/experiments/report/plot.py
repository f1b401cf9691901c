"""The reward-against-size plot, as Fig. 3 of the paper: of one environment, or of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes as PlotAxes
from matplotlib.figure import Figure

Measure = Literal["return", "score"]
"""What a curve shows: average returns, or scores (0: random actions, 1: the plain network)."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, distinguishable by colour-blind readers; as many as curves that stand out."""

OTHERS_COLOUR = "#9A9A9A"
PAPER_CURVES = {"paper_inn": ("INN, paper", COLOURS[0]), "paper_nn": ("NN, paper", "#777777")}


class Panel(NamedTuple):
    """What is drawn of one environment.

    Attributes:
        title: Stands above it.
        table: What :func:`~sb3_integral.experiments.report.tables.build_table` returns.
        references: Returns of the expert and of random actions, by ``expert`` and ``random``.
    """

    title: str
    table: pd.DataFrame
    references: Mapping[str, float]


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


def plot_reward_against_size(
    path: Path, table: pd.DataFrame, *, title: str, references: Mapping[str, float]
) -> None:
    """Plot the average return against the hidden size, one standard deviation shaded.

    Args:
        path: The PNG file.
        table: What :func:`~sb3_integral.experiments.report.tables.build_table` returns.
        title: Stands above the plot.
        references: Returns to draw as horizontal lines, by name.
    """
    figure, axes = plt.subplots(figsize=(8, 5.6), dpi=150, layout="constrained")
    panel = Panel(f"{title}: one network, resized after training", table, references)
    _draw(axes, panel, _colours([table]), "return")
    axes.set_ylabel("average return of an episode")
    _finish(path, figure, [axes], legend_columns=3)


def plot_environments(path: Path, panels: Sequence[Panel], measure: Measure = "return") -> None:
    """Plot several environments in one picture, a curve having the same colour in all of them.

    Args:
        path: The PNG file.
        panels: The environments, two in a row.
        measure: Returns with one standard deviation shaded, or scores with the 95 % bootstrap
            interval of their interquartile mean. The paper's scores refer to the paper's plain network.

    Raises:
        ValueError: If there is no panel.
    """
    if not panels:
        raise ValueError("expected at least one experiment to draw, got none")
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    figure, grid = plt.subplots(
        down,
        across,
        figsize=(6.5 * across, 4.2 * down + 0.8),
        dpi=130,
        layout="constrained",
        squeeze=False,
    )
    colours = _colours([panel.table for panel in panels])
    used = list(grid.flat)[: len(panels)]
    for axes in list(grid.flat)[len(panels) :]:
        axes.remove()
    for axes, panel in zip(used, panels, strict=True):
        _draw(axes, panel, colours, measure)
    for axes in used[::across]:
        axes.set_ylabel("average return" if measure == "return" else "score")
    _finish(path, figure, used, legend_columns=3 if across == 1 else 5)


def _colours(tables: Sequence[pd.DataFrame]) -> dict[str, str]:
    names = dict.fromkeys(name for table in tables for name in highlighted_columns(table))
    # Where environments have different students, colours repeat rather than run out.
    return {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}


def _draw(axes: PlotAxes, panel: Panel, colours: Mapping[str, str], measure: Measure) -> None:
    table = panel.table
    random = panel.references.get("random", 0.0)
    highlighted = highlighted_columns(table)
    for place, (name, label) in enumerate(highlighted.items()):
        rows = table[table["column"] == name]
        band = _band(rows, measure)
        # The first is what the plot is about: no other curve hides it.
        zorder = 4 - place / len(highlighted)
        axes.plot(
            rows["n_hidden"],
            rows[f"{measure}_mean"],
            label=label,
            color=colours[name],
            marker="o",
            markersize=4,
            linewidth=2.4 if place == 0 else 1.6,
            zorder=zorder,
        )
        axes.fill_between(
            rows["n_hidden"], *band, color=colours[name], alpha=0.18, linewidth=0, zorder=zorder
        )
    for name, (label, colour) in PAPER_CURVES.items():
        rows = _paper_rows(table, name, random, measure)
        if len(rows):
            axes.plot(
                rows["n"], rows["mean"], "--", label=label, color=colour, linewidth=1.1, zorder=2.5
            )
            low, high = rows["mean"] - rows["std"], rows["mean"] + rows["std"]
            axes.fill_between(rows["n"], low, high, color=colour, alpha=0.07, linewidth=0)
    references = panel.references if measure == "return" else {"random": 0.0, "NN": 1.0}
    for name, value in references.items():
        _reference(axes, name, value)
    _draw_others(axes, table[~table["column"].isin(highlighted)], measure)
    axes.set(title=panel.title, xlabel="neurons in each hidden layer, N")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_others(axes: PlotAxes, others: pd.DataFrame, measure: Measure) -> None:
    # Drawn last and without a say in the limits: a method that fails badly must not flatten the rest.
    limits = axes.get_ylim()
    names = list(dict.fromkeys(others["column"]))
    label = "others" if (others["kind"] == "student").any() else "NN, other methods"
    for place, name in enumerate(names):
        rows = others[others["column"] == name]
        axes.plot(
            rows["n_hidden"],
            rows[f"{measure}_mean"],
            color=OTHERS_COLOUR,
            linewidth=0.8,
            zorder=1.5,
            label=label if place == 0 else None,
        )
    axes.set_ylim(*limits)


def _band(rows: pd.DataFrame, measure: Measure) -> tuple[pd.Series[float], pd.Series[float]]:
    mean = rows[f"{measure}_mean"]
    if measure == "score":
        return rows["score_low"].fillna(mean), rows["score_high"].fillna(mean)
    std = rows["return_std"].fillna(0.0)
    return mean - std, mean + std


def _paper_rows(table: pd.DataFrame, name: str, random: float, measure: Measure) -> pd.DataFrame:
    """Return the paper's ``n``, ``mean`` and ``std``; empty where it has none."""
    known = table.drop_duplicates("n_hidden").dropna(subset=[f"{name}_mean"])
    rows = pd.DataFrame(
        {"n": known["n_hidden"], "mean": known[f"{name}_mean"], "std": known[f"{name}_std"].fillna(0.0)}
    )
    if measure == "score" and len(rows):
        scale = known.sort_values("n_hidden")["paper_nn_mean"].iloc[-1] - random
        rows = rows.assign(mean=(rows["mean"] - random) / scale, std=rows["std"] / abs(scale))
    return rows


def _reference(axes: PlotAxes, name: str, value: float) -> None:
    axes.axhline(value, color="0.4", linewidth=0.8, linestyle=":")
    axes.annotate(
        name,
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
