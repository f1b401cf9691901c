"""The tables of an experiment as Markdown: ``table.md``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
from tabulate import tabulate

from sb3_integral.escaping import markdown
from sb3_integral.experiments.report.tables import (
    COMPRESSION_TOLERANCE,
    Column,
    Row,
    Scale,
    columns_of,
    rows_by_size,
)


def markdown_report(table: pd.DataFrame, scale: Scale, heading: str, introduction: str) -> str:
    """Return the tables of returns, scores and p-values, with every column, as Markdown.

    Args:
        table: What :func:`~sb3_integral.experiments.report.tables.build_table` returns.
        scale: What its scores refer to.
        heading: The title.
        introduction: The paragraph below it, as Markdown.
    """
    columns = columns_of(table)
    leader = columns[0]
    reference = next(column.label for column in columns if column.name == scale.column)
    groups = [[column for column in columns if column.kind == kind] for kind in ("student", "baseline")]
    groups = [group for group in groups if group]
    parts = [f"# {markdown(heading)}", introduction, "## Average return"]
    parts.append(
        "Mean ± standard deviation over seeds of a run's average return; the paper's over its ten runs."
    )
    parts += [_table(table, group, returns, with_paper=True) for group in groups]
    parts += [
        "## Normalised score",
        f"Interquartile mean over seeds, and its 95 % bootstrap interval. 0 is {scale.random:.1f}, the "
        f"return of random actions; 1 is {scale.reference:.1f}, that of {markdown(reference)} at full "
        "size, where every way to resize a plain network is the network itself; mean over seeds.",
    ]
    parts += [_table(table, group, scores) for group in groups]
    others = [column for column in columns if column is not leader]
    if others:
        parts += [
            "## p-values",
            f"Welch's t-test of returns against {markdown(leader.label)}; "
            "- where neither sample varies.",
            _table(table, others, p_value),
        ]
    unequal = _of_other_size(table, columns)
    if unequal:
        parts += [
            "## Parameters removed, where it is not the percentage above",
            _table(table, unequal, lambda row: f"{row['compression_pct']:.1f}"),
        ]
    return "\n\n".join(parts) + "\n"


def returns(row: Row) -> str:
    """Return a row's mean and standard deviation of returns as text."""
    return spread(row["return_mean"], row["return_std"])


def scores(row: Row) -> str:
    """Return a row's score and its interval as text."""
    if pd.isna(row["score_iqm"]):
        return "-"
    # Adding zero makes a rounded -0.00 an ordinary zero.
    value, low, high = (round(row[f"score_{name}"], 2) + 0.0 for name in ("iqm", "low", "high"))
    return f"{value:.2f}" + ("" if pd.isna(low) else f" [{low:.2f}, {high:.2f}]")


def p_value(row: Row) -> str:
    """Return a row's p-value as text."""
    return "-" if pd.isna(row["welch_p"]) else f"{row['welch_p']:.1e}"


def spread(mean: float, std: float = float("nan"), digits: int = 1) -> str:
    """Return a mean and, where there is one, a standard deviation as text."""
    if pd.isna(mean):
        return "-"
    digits = 0 if abs(mean) >= 1000 else digits
    return f"{mean:.{digits}f}" + ("" if pd.isna(std) else f" ± {std:.{digits}f}")


def _table(
    table: pd.DataFrame,
    columns: Sequence[Column],
    cell: Callable[[Row], str],
    *,
    with_paper: bool = False,
) -> str:
    paper = [name for name in ("inn", "nn") if with_paper and table[f"paper_{name}_mean"].notna().any()]
    headings = ["N", "removed %", *(f"paper {name.upper()}" for name in paper)]
    by_size = [rows_by_size(table, column) for column in columns]
    rows = []
    for size, row in rows_by_size(table, columns_of(table)[0]).items():
        cells = [str(size), f"{row['compression_pct']:.1f}"]
        cells += [spread(row[f"paper_{name}_mean"], row[f"paper_{name}_std"], 0) for name in paper]
        rows.append(cells + [cell(own[size]) for own in by_size])
    headings += [markdown(column.label) for column in columns]
    return tabulate(rows, headings, tablefmt="github", disable_numparse=True, stralign="right")


def _of_other_size(table: pd.DataFrame, columns: Sequence[Column]) -> list[Column]:
    leader = rows_by_size(table, columns[0])
    return [
        column
        for column in columns
        if any(
            abs(row["compression_pct"] - leader[size]["compression_pct"]) > COMPRESSION_TOLERANCE
            for size, row in rows_by_size(table, column).items()
        )
    ]
