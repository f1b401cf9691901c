"""The tables of an experiment as Markdown: ``table.md``."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sb3_integral.escaping import markdown
from sb3_integral.experiments.report import text
from sb3_integral.experiments.report.over_sizes import over_sizes_cells, over_sizes_explanation
from sb3_integral.experiments.report.roughness import ROUGHNESS_EXPLANATION, roughness_cells
from sb3_integral.experiments.report.tables import (
    COMPRESSION_TOLERANCE,
    SIGNIFICANT,
    Scale,
    columns_of,
    rows_by_size,
)


def markdown_report(
    table: pd.DataFrame,
    over_sizes: pd.DataFrame,
    scale: Scale,
    heading: str,
    introduction: str,
    weights: pd.DataFrame | None = None,
) -> str:
    """Return all tables, below a heading and a paragraph of Markdown.

    Args:
        table: The content of ``table.csv``.
        over_sizes: The content of ``over_sizes.csv``.
        scale: What scores refer to.
        heading: Plain text.
        introduction: The paragraph.
        weights: The content of ``weights.csv``, if there is one.
    """
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
        "## Mean over sizes",
        markdown(over_sizes_explanation(over_sizes)),
        _table(over_sizes_cells(over_sizes).assign(network=over_sizes["label"].map(markdown))),
    ]
    if others:
        explanation = (
            f"Welch's t-test of returns against {markdown(leader.label)}; - where neither sample varies."
        )
        if n_tests := table["welch_p"].notna().sum():
            explanation += (
                f" In brackets: after Holm's correction for all {n_tests} p-values of this table. Where "
                f"that is below {SIGNIFICANT}, returns differ: the probability that this is wrong even "
                f"once in the table is below {100 * SIGNIFICANT:.0f} %."
            )
        p_values = text.cells(table, others, text.corrected_p_value)
        parts += ["## p-values", explanation, _table(sizes, p_values)]
    if unequal:
        removed_cells = text.cells(table, unequal, lambda row: text.number(row["compression_pct"]))
        parts += [
            "## Parameters removed, where it is not the percentage above",
            _table(sizes, removed_cells),
        ]
    if weights is not None:
        cells = roughness_cells(weights).assign(network=weights["label"].map(markdown))
        parts += ["## Weights of the second layer", ROUGHNESS_EXPLANATION, _table(cells)]
    return "\n\n".join(parts) + "\n"


def _table(*parts: pd.DataFrame) -> str:
    frame = pd.concat(parts, axis=1).rename(columns=markdown)
    options: Any = {"tablefmt": "github", "disable_numparse": True, "stralign": "right"}
    return str(frame.to_markdown(index=False, **options))
