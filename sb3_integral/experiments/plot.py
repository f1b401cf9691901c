"""The reward-against-size plot, as Fig. 3 of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes as PlotAxes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, distinguishable by colour-blind readers."""

PAPER_CURVES = {"paper_inn": ("INN, paper", "#0072B2"), "paper_nn": ("NN, paper", "#777777")}


def plot_reward_against_size(
    path: Path,
    table: pd.DataFrame,
    labels: Mapping[str, str],
    *,
    title: str,
    references: Mapping[str, float],
) -> None:
    """Plot the average return against the hidden size, one standard deviation shaded.

    Args:
        path: The PNG file.
        table: What :func:`~sb3_integral.experiments.report.build_table` returns.
        labels: What each column of the table is called.
        title: Stands above the plot.
        references: Returns to draw as horizontal lines, by name.
    """
    figure, axes = plt.subplots(figsize=(8, 5), dpi=150, layout="constrained")
    for place, (colour, (name, label)) in enumerate(zip(cycle(COLOURS), labels.items(), strict=False)):
        # The first is what the plot is about: no other curve hides it.
        _curve(axes, table, name, label, colour, zorder=3 - place / len(labels))
    for name, (label, colour) in PAPER_CURVES.items():
        if f"{name}_ar" in table:
            _curve(axes, table, name, label, colour, zorder=1.5, paper=True)
    for name, value in references.items():
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
    axes.set(
        title=f"{title}: one network, resized after training",
        xlabel="neurons in each hidden layer, N",
        ylabel="average return of an episode",
    )
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def _curve(
    axes: PlotAxes,
    table: pd.DataFrame,
    name: str,
    label: str,
    colour: str,
    *,
    zorder: float,
    paper: bool = False,
) -> None:
    size, mean = table["n_hidden"], table[f"{name}_ar"]
    std = table[f"{name}_std"].fillna(0.0)
    axes.plot(
        size,
        mean,
        label=label,
        color=colour,
        marker=None if paper else "o",
        markersize=4,
        linewidth=1.0 if paper else 1.8,
        linestyle="--" if paper else "-",
        zorder=zorder,
    )
    axes.fill_between(size, mean - std, mean + std, color=colour, alpha=0.08 if paper else 0.2)
