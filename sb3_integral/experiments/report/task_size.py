"""How many neurons a task needs: the smallest size that keeps the return, beside what a task has.

``table.csv`` has a row per environment:

- ``n_observations`` and ``n_actions``: the numbers of one observation, and of one action; for a discrete
  action the number of choices;
- ``smallest``: the smallest size from which on every larger one keeps 95 % of the return at full size
  above random actions, in the mean over seeds, with the 95 % bootstrap interval over seeds, ``low`` to
  ``high``;
- ``stable_rank``: of the expert's first two layers, the mean of ‖W‖²_F / ‖W‖²₂; empty without expert.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from sb3_integral import escaping
from sb3_integral.evaluation import Interval

KEPT = 0.95
RESAMPLES = 2000

PROPERTIES = {
    "n_observations": "numbers in an observation",
    "n_actions": "actions",
    "stable_rank": "stable rank of the expert's layers",
}
"""What a task's size is compared with, and how plots call it."""


def smallest_kept(shares: pd.DataFrame, kept: float = KEPT, seed: int = 0) -> Interval:
    """Return the smallest size that keeps a share, with its 95 % bootstrap interval over seeds.

    Args:
        shares: The share of the return that each run keeps: a row per seed, a column per size.
        kept: The share that the mean over seeds has at every size from it on.
        seed: Seeds the bootstrap.

    Raises:
        ValueError: If the largest size does not keep it itself.
    """
    ordered = shares[sorted(shares.columns, reverse=True)]
    sizes, values = ordered.columns.to_numpy(), ordered.to_numpy(dtype=float)
    value = _smallest(values.mean(axis=0), sizes, kept)
    if value is None:
        raise ValueError(f"size {sizes[0]} keeps {values.mean(axis=0)[0]:.3f} itself, expected {kept}")
    rng = np.random.default_rng(seed)
    drawn = values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    found = [_smallest(means, sizes, kept) or int(sizes[0]) for means in drawn]
    low, high = np.quantile(found, (0.025, 0.975), method="nearest")
    return Interval(float(value), float(low), float(high))


def _smallest(means: np.ndarray, sizes: np.ndarray, kept: float) -> int | None:
    (failing,) = np.nonzero(means < kept)
    if not len(failing):
        return int(sizes[-1])
    return int(sizes[failing[0] - 1]) if failing[0] else None


def kept_shares(runs: pd.DataFrame, column: str, random_return: float) -> pd.DataFrame:
    """Return the share of the return at full size above random actions that runs keep.

    It has a row per seed and a column per size. Full size is the mean over seeds, so that a run that
    went wrong has a low share at every size.
    """
    returns = runs[runs["column"] == column].pivot(
        index="seed", columns="n_hidden", values="return_mean"
    )
    full = float(returns[max(returns.columns)].mean())
    shares: pd.DataFrame = (returns - random_return) / (full - random_return)
    return shares


@torch.no_grad()
def stable_rank(weight: Tensor) -> float:
    """Return ‖W‖²_F / ‖W‖²₂: how many directions a matrix has, by their strength. Shape: (out, in)."""
    return float(torch.linalg.matrix_norm(weight) ** 2 / torch.linalg.matrix_norm(weight, ord=2) ** 2)


def mean_stable_rank(network: nn.Module) -> float:
    """Return the mean stable rank of the linear layers of a network."""
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    return float(np.mean([stable_rank(layer.weight) for layer in layers]))


def correlations(table: pd.DataFrame) -> pd.DataFrame:
    """Return Spearman's rank correlation of the smallest size with each property, and its p-value.

    It has a row per ``property``: ``n_environments``, ``rho``, ``p`` and ``p_holm``.
    """
    from scipy import stats

    from sb3_integral.evaluation import holm

    rows = []
    for name in PROPERTIES:
        known = table.dropna(subset=[name])
        rho, p = stats.spearmanr(known[name], known["smallest"])
        rows.append({"property": name, "n_environments": len(known), "rho": float(rho), "p": float(p)})
    result = pd.DataFrame(rows)
    return result.assign(p_holm=holm(result["p"].tolist()))


def plot_task_sizes(path: Path, table: pd.DataFrame, names: Sequence[str] = tuple(PROPERTIES)) -> None:
    """Plot the smallest size of each task with its interval, and against each property."""
    ordered = table.sort_values(["smallest", "high"], kind="stable").reset_index(drop=True)
    figure, panels = plt.subplots(
        *(1, 1 + len(names)),
        figsize=(4.4 + 2.8 * len(names), 4.2),
        dpi=140,
        layout="constrained",
        width_ratios=[1.4, *[1] * len(names)],
    )
    places = np.arange(len(ordered))
    ends = ordered["smallest"] - ordered["low"], ordered["high"] - ordered["smallest"]
    panels[0].errorbar(ordered["smallest"], places, xerr=ends, fmt="o", capsize=3, color="#0072B2")
    panels[0].set_yticks(places, [escaping.matplotlib(env) for env in ordered["env"]], fontsize=8)
    panels[0].set(xlabel="smallest N that keeps 95 %", xscale="log")
    for axes, name in zip(panels[1:], names, strict=True):
        axes.errorbar(ordered[name], ordered["smallest"], yerr=ends, fmt="o", capsize=3, color="#0072B2")
        axes.set(xlabel=PROPERTIES[name], yscale="log")
    panels[1].set_ylabel("smallest N that keeps 95 %")
    for axes in panels:
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)
