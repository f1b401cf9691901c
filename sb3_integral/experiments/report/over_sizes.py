"""Each network's score as one number, its mean over sizes, and by how much the leader's is larger.

``over_sizes.csv``, a file of the report, has a row per ``column``, in order, the leader first:

- ``label`` and ``kind``, as ``table.csv`` has them;
- ``n_runs``, and ``score_mean``: the mean over them of a run's mean score over sizes, which weigh alike;
- ``lead``: the leader's ``score_mean`` minus this one, with its 95 % bootstrap interval over runs from
  ``lead_low`` to ``lead_high``. It is empty for the leader, and the interval is where there is one run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sb3_integral.escaping import from_csv
from sb3_integral.evaluation import difference_of_means
from sb3_integral.experiments.report.tables import Column
from sb3_integral.experiments.report.text import MISSING, number

OVER_SIZES = "over_sizes.csv"


def mean_over_sizes(runs: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Return the rows of ``over_sizes.csv``, from runs with scores."""
    of_runs = runs.groupby(["column", "seed"], sort=False)["score"].mean()
    leader = of_runs[columns[0].name].tolist()
    rows = []
    for column in columns:
        scores = of_runs[column.name].tolist()
        row = {**column._asdict(), "n_runs": len(scores), "score_mean": sum(scores) / len(scores)}
        if column is not columns[0]:
            lead = difference_of_means(leader, scores)
            row.update(lead=lead.value, lead_low=lead.low, lead_high=lead.high)
        rows.append(row)
    names = ["name", "label", "kind", "n_runs", "score_mean", "lead", "lead_low", "lead_high"]
    return pd.DataFrame(rows, columns=names).rename(columns={"name": "column"})


def read_over_sizes(folder: Path) -> pd.DataFrame:
    """Return the content of a report's ``over_sizes.csv``."""
    frame = pd.read_csv(folder / OVER_SIZES, dtype={"label": str}, keep_default_na=False, na_values=[""])
    return frame.assign(label=frame["label"].map(from_csv))


def over_sizes_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows as text, one for each network."""
    leader = frame["label"].iloc[0]
    return pd.DataFrame(
        {
            "network": frame["label"],
            "mean score": [number(value, ".3f") for value in frame["score_mean"]],
            f"{leader} minus it": [number(value, ".3f") for value in frame["lead"]],
            "95 % interval": [
                _interval(low, high)
                for low, high in zip(frame["lead_low"], frame["lead_high"], strict=True)
            ],
        }
    )


def over_sizes_explanation(frame: pd.DataFrame) -> str:
    """Return what the rows are, as a paragraph of plain text."""
    leader, n_runs = frame["label"].iloc[0], int(frame["n_runs"].min())
    text = "The mean of a run's scores at all sizes of these tables, which weigh alike; mean over seeds."
    if len(frame) < 2:
        return text
    text += f" Beside it, how much more {leader} has"
    if n_runs < 2:
        return f"{text}; one seed says nothing of how sure that is, so there is no interval."
    text += (
        ", with the 95 % bootstrap interval over seeds, drawn again for each network on its own. Where "
        "0 lies in it, the difference can be chance. Its percentiles lie further out than the usual "
        "ones: of five seeds, those cover the truth in less than 90 % of cases, these in 92 % to 95 %."
    )
    return text if n_runs >= 5 else f"{text} Of {n_runs} seeds these still are too narrow."


def _interval(low: float, high: float) -> str:
    ends = number(low, ".3f"), number(high, ".3f")
    return MISSING if MISSING in ends else f"[{ends[0]}, {ends[1]}]"
