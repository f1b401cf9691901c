"""Draw the pictures of the documentation: scores of results/, and the library's own functions.

``python scripts/draw_pictures.py`` writes docs/images/*.svg.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sb3_integral.nn import CubicConvolution, ScaleCorrections, Trapezoidal, nested_order

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
INK, BLUE, ORANGE, GREEN = "#768390", "#3b8fd0", "#d0803b", "#2f9e6e"  # legible on light and on dark
PANELS = {
    "halfcheetah": "HalfCheetah-v4",
    "ant": "Ant-v4",
    "lunarlander": "LunarLander-v3",
    "acrobot": "Acrobot-v1",
}
STYLE = {
    "svg.hashsalt": "sb3-integral",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
LAM = torch.tensor([0.3, 0.9, 0.2, -0.5, -0.2, 0.4, 0.8, 0.5, -0.3, -0.6, 0.1], dtype=torch.float64)


def curve(axes: Axes, size: int) -> None:
    """Draw a weight function along one axis, and its samples at a size."""
    kernel, rule = CubicConvolution(), Trapezoidal()
    places = torch.linspace(0, 1, 400, dtype=torch.float64)
    nodes, points = rule.points(len(LAM)), rule.points(size)
    axes.plot(places, kernel.matrix(places, len(LAM)) @ LAM, color=INK, lw=1.5)
    axes.plot(nodes, LAM, "o", mfc="none", color=INK, ms=8, label="nodes λ, which are trained")
    samples = kernel.matrix(points, len(LAM)) @ LAM
    axes.vlines(points, 0, samples, color=BLUE, lw=2)
    axes.plot(points, samples, "o", color=BLUE, ms=5, label=f"the weights at N = {size}")
    axes.axhline(0, color=INK, lw=0.6)
    axes.set(xlabel="position on the axis", yticks=[], xticks=[0, 1], ylim=(-1.1, 1.7))
    axes.legend(frameon=False, loc="upper center", fontsize=9)


def kernels() -> Figure:
    """Draw one function at two sizes."""
    figure, both = plt.subplots(1, 2, figsize=(9, 2.9), layout="constrained")
    for axes, size in zip(both, (11, 6), strict=True):
        curve(axes, size)
    return figure


def partitions() -> Figure:
    """Draw where neurons are at several sizes, in even partitions and in those that nest."""
    figure, both = plt.subplots(1, 2, figsize=(9, 2.4), layout="constrained", sharey=True)
    sizes, full = (16, 11, 6, 4), 16
    nodes = Trapezoidal().points(full).numpy()
    for row, size in enumerate(sizes):
        both[0].plot(np.linspace(0, 1, size), np.full(size, row), "o", color=ORANGE, ms=6)
        nested = nodes[list(nested_order(full)[:size])]
        both[1].plot(nodes, np.full(full, row), ".", color=INK, ms=3)
        both[1].plot(nested, np.full(size, row), "o", color=BLUE, ms=6)
    both[0].set_title("even: other neurons at every size", fontsize=10)
    both[1].set_title("nested: a small network's neurons are the large one's", fontsize=10)
    for axes in both:
        axes.set(xticks=[0, 1], xlabel="position on the axis", ylim=(3.6, -0.6))
        axes.set_yticks(range(len(sizes)), [f"N = {size}" for size in sizes])
    return figure


def corrections() -> Figure:
    """Draw how much each level of corrections counts at each size of 100."""
    figure, axes = plt.subplots(figsize=(9, 2.6), layout="constrained")
    levels = ScaleCorrections(torch.zeros(100, 100), None, (True, True), 9)
    sizes = np.linspace(5, 100, 1200)
    counts = np.zeros((len(sizes), len(levels.scales)))
    for row, size in enumerate(sizes):
        for level, factor in levels.at(size / 100):
            counts[row, level] = factor * np.sqrt(levels.scales[level])
    for level, count in enumerate(counts.T):
        axes.plot(sizes, count, color=(BLUE, ORANGE)[level % 2], lw=1.4)
    axes.set(xscale="log", xlim=(100, 5), ylim=(0, 1.05), xlabel="N", ylabel="how much a level counts")
    axes.set_xticks([100, 70, 50, 35, 25, 16, 10, 5], ["100", "70", "50", "35", "25", "16", "10", "5"])
    axes.minorticks_off()
    return figure


def _resized(folder: str) -> pd.DataFrame:
    """Return the scores of all ways to resize a plain network, from the preset that has them all."""
    results = ROOT / "results"
    kept = results / "resized" / folder
    table = pd.read_csv((kept if kept.exists() else results / folder) / "table.csv")
    rows = table.pivot(index="n_hidden", columns="label", values="score_mean").sort_index()
    return rows[[label for label in rows if label.startswith("NN, ")]]


def scores() -> Figure:
    """Draw score against size, without the columns that are no fair comparison."""
    figure, panels = plt.subplots(1, 4, figsize=(11, 3.1), layout="constrained", sharey=True)
    for axes, (folder, title) in zip(panels, PANELS.items(), strict=True):
        table = pd.read_csv(ROOT / "results" / folder / "table.csv")
        rows = table.pivot(index="n_hidden", columns="label", values="score_mean").sort_index()
        others = _resized(folder)
        axes.plot(
            others.max(axis=1),
            color=INK,
            lw=1.4,
            label="plain network, the best of 16 ways at each size",
        )
        axes.plot(
            rows["NN, bicubic"], color=ORANGE, lw=1.6, label="plain network, bicubic, the paper's way"
        )
        axes.plot(
            rows["NN from scratch"],
            color=GREEN,
            lw=1.6,
            ls="--",
            label="a network trained for each size",
        )
        axes.plot(rows["INN"], color=BLUE, lw=2.6, label="integral network: one, at every size")
        axes.set(title=title, xlabel="neurons in each hidden layer", xlim=(103, 2), ylim=(-0.25, 1.1))
    panels[0].set_ylabel("score")
    handles = panels[0].get_legend_handles_labels()
    order = (3, 2, 0, 1)
    figure.legend(
        *([each[i] for i in order] for each in handles),
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    return figure


def main() -> None:
    """Write the drawings."""
    IMAGES.mkdir(exist_ok=True)
    with plt.rc_context(STYLE):
        for draw in (kernels, partitions, corrections, scores):
            figure = draw()
            target = IMAGES / f"{draw.__name__}.svg"
            figure.savefig(target, transparent=True, metadata={"Date": None})
            plt.close(figure)
            print(target)


if __name__ == "__main__":
    main()
