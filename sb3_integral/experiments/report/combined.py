"""Several environments in one table: scores over all their runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from sb3_integral.evaluation import interquartile_mean
from sb3_integral.experiments.report.write import RUNS, TABLE


def combined_table(reports: Sequence[Path]) -> pd.DataFrame:
    """Return the interquartile mean of scores over environments and seeds, per column and size.

    Runs are drawn again within their environment for the interval; columns and sizes that an
    environment lacks are left out.

    Args:
        reports: The folders of finished reports, one for each environment.

    Returns:
        ``column``, ``label``, ``kind``, ``n_hidden``, ``n_environments``, ``n_runs``, ``score_iqm``,
        ``score_low``, ``score_high``; in the first report's order.
    """
    runs = [pd.read_csv(report / RUNS) for report in reports]
    samples = [
        {key: group["score"].tolist() for key, group in frame.groupby(["column", "n_hidden"])}
        for frame in runs
    ]
    rows = []
    for row in pd.read_csv(reports[0] / TABLE)[["column", "label", "kind", "n_hidden"]].to_dict(
        "records"
    ):
        key = (row["column"], row["n_hidden"])
        if not all(key in sample for sample in samples):
            continue
        strata = [sample[key] for sample in samples]
        iqm = interquartile_mean(*strata)
        rows.append(
            {
                **row,
                "n_environments": len(strata),
                "n_runs": sum(map(len, strata)),
                "score_iqm": iqm.value,
                "score_low": iqm.low,
                "score_high": iqm.high,
            }
        )
    names = ["column", "label", "kind", "n_hidden", "n_environments", "n_runs"]
    return pd.DataFrame(rows, columns=[*names, "score_iqm", "score_low", "score_high"])


def combined_console_table(table: pd.DataFrame, environments: Sequence[str]) -> Table:
    """Return a table for a terminal: a row per column, a column per size.

    Args:
        table: What :func:`combined_table` returns.
        environments: What it is about.
    """
    printed = Table(
        title=escape(f"{', '.join(environments)}: interquartile mean of scores"),
        caption="0: random actions, 1: the plain network at full size; bounds of 95 % intervals below",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    printed.add_column("N")
    sizes = list(dict.fromkeys(table["n_hidden"]))
    for size in sizes:
        printed.add_column(str(size), justify="right", no_wrap=True)
    for label, rows in table.groupby("label", sort=False):
        by_size = rows.set_index("n_hidden").to_dict("index")
        cells = []
        for size in sizes:
            row = by_size.get(size)
            cells.append(
                "-"
                if row is None or pd.isna(row["score_iqm"])
                else f"{row['score_iqm']:.2f}"
                + (
                    ""
                    if pd.isna(row["score_low"])
                    else f"\n{row['score_low']:.2f} to {row['score_high']:.2f}"
                )
            )
        printed.add_row(escape(str(label)), *cells)
    return printed
