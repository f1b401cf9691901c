"""The table of an experiment as people read it: in a terminal, and as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tabulate import tabulate

from sb3_integral.experiments.report.tables import Column, Scale, columns_of

Row = Mapping[Any, Any]
Cell = Callable[[Row], str]

COMPRESSION_TOLERANCE = 0.05
"""Percentage points by which a network may be larger than the leader and still count as of its size."""

HEADING_WIDTH = 8


LABEL_WIDTH = 10

BEST_LABEL = "which is"


class Detail(NamedTuple):
    """How much a table in a terminal says.

    Attributes:
        p_values: Whether each column has its p-values.
        spread: Whether means have their deviations.
        long_labels: Whether a baseline's name is on one line.
        paper: Whether the paper's figures are there.
    """

    p_values: bool = False
    spread: bool = False
    long_labels: bool = False
    paper: bool = False


DETAILS = (
    Detail(p_values=True, spread=True, long_labels=True, paper=True),
    Detail(spread=True, long_labels=True, paper=True),
    Detail(spread=True, paper=True),
    Detail(long_labels=True, paper=True),
    Detail(paper=True),
    Detail(),
)


def console_table(table: pd.DataFrame, title: str, width: int) -> Table:
    """Return a table for a terminal: the paper, the students, and the best baseline of each row.

    It says as much as fits: with p-values, with deviations, means alone, and those without the paper's.

    Args:
        table: What :func:`~sb3_integral.experiments.report.tables.build_table` returns.
        title: Stands above it.
        width: Of the terminal, in characters.
    """
    # Not drawn to, so its own width must not matter.
    measure = Console(width=10_000)
    for detail in DETAILS:
        printed = _console_table(table, title, detail)
        if measure.measure(printed).maximum <= width:
            break
    return printed


def best_baselines(table: pd.DataFrame) -> dict[Any, tuple[str, float, float]]:
    """Return for each size which baseline has the highest return: its label, mean and deviation.

    Only those are asked that are not larger than the leader; the label is empty where all are equal.
    """
    leader = _by_size(table, columns_of(table)[0])
    baselines = table[table["kind"] == "baseline"]
    # What all labels begin with says nothing about which it is.
    networks = {label.rpartition(", ")[0] for label in baselines["label"]}
    best = {}
    for size, rows in baselines.groupby("n_hidden", sort=False):
        fair = rows[rows["compression_pct"] >= leader[size]["compression_pct"] - COMPRESSION_TOLERANCE]
        if fair.empty:
            continue
        row = fair.loc[fair["return_mean"].idxmax()]
        all_equal = len(fair) > 1 and fair["return_mean"].nunique() == 1
        label = row["label"].rpartition(", ")[2] if len(networks) == 1 else row["label"]
        best[size] = (
            "" if all_equal else label,
            float(row["return_mean"]),
            float(row["return_std"]),
        )
    return best


def markdown_report(table: pd.DataFrame, scale: Scale, heading: str, introduction: str) -> str:
    """Return the tables of returns, scores and p-values, with every column, as Markdown.

    Args:
        table: What :func:`~sb3_integral.experiments.report.tables.build_table` returns.
        scale: What its scores refer to.
        heading: The title.
        introduction: The paragraph below it.
    """
    columns = columns_of(table)
    leader = columns[0]
    labels = {column.name: column.label for column in columns}
    students = [column for column in columns if column.kind == "student"]
    baselines = [column for column in columns if column.kind == "baseline"]
    parts = [f"# {heading}", introduction, "## Average return"]
    parts.append(
        "Mean ± standard deviation over seeds of a run's average return; the paper's over its ten runs."
    )
    for chosen in (students, baselines):
        if chosen:
            parts.append(_markdown(table, chosen, _returns, with_paper=True))
    parts += [
        "## Normalised score",
        f"Interquartile mean over seeds, and its 95 % bootstrap interval. 0 is {scale.random:.1f}, the "
        f"return of random actions; 1 is {scale.reference:.1f}, that of {labels[scale.column]} at full "
        "size, where every way to resize a plain network is the network itself; mean over seeds.",
    ]
    for chosen in (students, baselines):
        if chosen:
            parts.append(_markdown(table, chosen, _scores))
    others = [column for column in columns if column is not leader]
    if others:
        parts += [
            "## p-values",
            f"Welch's t-test of returns against {leader.label}; - where neither sample varies.",
            _markdown(table, others, _p_value),
        ]
    unequal = _of_other_size(table, columns)
    if unequal:
        parts += [
            "## Parameters removed, where it is not the percentage above",
            _markdown(table, unequal, lambda row: f"{row['compression_pct']:.1f}"),
        ]
    return "\n\n".join(parts) + "\n"


def _console_table(table: pd.DataFrame, title: str, detail: Detail) -> Table:
    columns = columns_of(table)
    plain = [column for column in columns if column.kind == "baseline"][:1]
    shown = [*(column for column in columns if column.kind == "student"), *plain]
    best = best_baselines(table) if sum(column.kind == "baseline" for column in columns) > 1 else {}
    by_size = {column: _by_size(table, column) for column in shown}
    has_paper = detail.paper and table["paper_inn_mean"].notna().any()

    headings = ["N", "removed %", *(["paper INN", "paper NN"] if has_paper else [])]
    for column in shown:
        headings += [column.label, *(["p"] if detail.p_values and column is not columns[0] else [])]
    headings += ["best baseline", BEST_LABEL] if best else []
    printed = Table(title=escape(title), box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in headings:
        folded = textwrap.fill(heading, HEADING_WIDTH, break_long_words=False)
        side: Literal["left", "right"] = "left" if heading == BEST_LABEL else "right"
        printed.add_column(escape(folded), justify=side, no_wrap=True)
    for size, row in by_size[columns[0]].items():
        cells = [str(size), f"{row['compression_pct']:.1f}"]
        if has_paper:
            for name in ("inn", "nn"):
                cells.append(
                    _spread(row[f"paper_{name}_mean"], row[f"paper_{name}_std"], detail.spread, 0)
                )
        for column in shown:
            own = by_size[column][size]
            cells.append(_spread(own["return_mean"], own["return_std"], detail.spread))
            if detail.p_values and column is not columns[0]:
                cells.append(_p_value(own))
        if best:
            label, mean, std = best.get(size, ("", float("nan"), float("nan")))
            label = label if detail.long_labels else textwrap.fill(label, LABEL_WIDTH)
            cells += [_spread(mean, std, detail.spread), escape(label) or "-"]
        printed.add_row(*cells)
    return printed


def _markdown(
    table: pd.DataFrame, columns: Sequence[Column], cell: Cell, *, with_paper: bool = False
) -> str:
    with_paper = with_paper and bool(table["paper_inn_mean"].notna().any())
    headings = ["N", "removed %", *(["paper INN", "paper NN"] if with_paper else [])]
    headings += [column.label for column in columns]
    by_size = [_by_size(table, column) for column in columns]
    rows = []
    for size, row in _by_size(table, columns_of(table)[0]).items():
        cells = [str(size), f"{row['compression_pct']:.1f}"]
        if with_paper:
            for name in ("inn", "nn"):
                cells.append(_spread(row[f"paper_{name}_mean"], row[f"paper_{name}_std"], True, 0))
        rows.append(cells + [cell(own[size]) for own in by_size])
    return tabulate(rows, headings, tablefmt="github", disable_numparse=True, stralign="right")


def _of_other_size(table: pd.DataFrame, columns: Sequence[Column]) -> list[Column]:
    leader = _by_size(table, columns[0])
    return [
        column
        for column in columns
        if any(
            abs(row["compression_pct"] - leader[size]["compression_pct"]) > COMPRESSION_TOLERANCE
            for size, row in _by_size(table, column).items()
        )
    ]


def _by_size(table: pd.DataFrame, column: Column) -> dict[Any, dict[Any, Any]]:
    """Return a column's row of each size."""
    rows: dict[Any, dict[Any, Any]] = (
        table[table["column"] == column.name].set_index("n_hidden").to_dict("index")
    )
    return rows


def _returns(row: Row) -> str:
    return _spread(row["return_mean"], row["return_std"], True)


def _scores(row: Row) -> str:
    if pd.isna(row["score_iqm"]):
        return "-"
    # Adding zero makes a rounded -0.00 an ordinary zero.
    value, low, high = (round(row[f"score_{name}"], 2) + 0.0 for name in ("iqm", "low", "high"))
    return f"{value:.2f}" + ("" if pd.isna(low) else f" [{low:.2f}, {high:.2f}]")


def _p_value(row: Row) -> str:
    return "-" if pd.isna(row["welch_p"]) else f"{row['welch_p']:.1e}"


def _spread(mean: float, std: float, with_std: bool, digits: int = 1) -> str:
    if pd.isna(mean):
        return "-"
    digits = 0 if abs(mean) >= 1000 else digits
    return f"{mean:.{digits}f}" + (f" ± {std:.{digits}f}" if with_std and not pd.isna(std) else "")
