"""The tables of an experiment as Markdown: ``table.md``."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sb3_integral.escaping import markdown
from sb3_integral.experiments.report import text
from sb3_integral.experiments.report.tables import COMPRESSION_TOLERANCE, Scale, columns_of, rows_by_size


def markdown_report(table: pd.DataFrame, scale: Scale, heading: str, introduction: str) -> str:
    """Return the tables of returns, scores and p-values, below a heading and a paragraph of Markdown."""
    columns = columns_of(table)
    leader, *others = columns
    reference = next(column.label for column in columns if column.name == scale.column)
    groups = [[column for column in columns if column.kind == kind] for kind in ("student", "baseline")]
    groups = [group for group in groups if group]
    sizes, paper = text.size_cells(table), text.paper_cells(table, ".0f")
    removed = rows_by_size(table, leader)
    unequal = [
        column
        for column in columns
        if any(
            abs(row["compression_pct"] - removed[size]["compression_pct"]) > COMPRESSION_TOLERANCE
            for size, row in rows_by_size(table, column).items()
        )
    ]
    parts = [
        f"# {markdown(heading)}",
        introduction,
        "## Average return",
        "Mean ± standard deviation over seeds of a run's average return; the paper's over its ten runs.",
        *(_table(sizes, paper, text.cells(table, group, text.returns)) for group in groups),
        "## Normalised score",
        f"Interquartile mean over seeds, and its 95 % bootstrap interval. 0 is {scale.random:.1f}, the "
        f"return of random actions; 1 is {scale.reference:.1f}, that of {markdown(reference)} at full "
        "size, where every way to resize a plain network is the network itself; mean over seeds.",
        *(_table(sizes, text.cells(table, group, text.score)) for group in groups),
    ]
    if others:
        explanation = (
            f"Welch's t-test of returns against {markdown(leader.label)}; - where neither sample varies."
        )
        parts += ["## p-values", explanation, _table(sizes, text.cells(table, others, text.p_value))]
    if unequal:
        removed_cells = text.cells(table, unequal, lambda row: text.number(row["compression_pct"]))
        parts += [
            "## Parameters removed, where it is not the percentage above",
            _table(sizes, removed_cells),
        ]
    return "\n\n".join(parts) + "\n"


def _table(*parts: pd.DataFrame) -> str:
    frame = pd.concat(parts, axis=1).rename(columns=markdown)
    options: Any = {"tablefmt": "github", "disable_numparse": True, "stralign": "right"}
    return str(frame.to_markdown(index=False, **options))
