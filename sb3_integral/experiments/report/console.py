"""The tables of experiments for a terminal, as detailed as its width allows."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table

from sb3_integral.escaping import one_line
from sb3_integral.experiments.report.markdown import p_value, spread
from sb3_integral.experiments.report.tables import Column, Row, best_baselines, columns_of, rows_by_size

HEADING_WIDTH = 8
LABEL_WIDTH = 10
WORD_WIDTH = 20
"""Characters of a heading's line, of a baseline's label, and of the longest word that is left whole."""

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


def console_table(table: pd.DataFrame, title: str, width: int) -> Table | Group:
    """Return a table for a terminal: the paper, the students, and the best baseline of each row.

    It says as much as fits: with p-values, with deviations, means alone, and those without the paper's.
    What does not fit even so is several tables below each other.

    Args:
        table: What :func:`~sb3_integral.experiments.report.tables.build_table` returns.
        title: Stands above it.
        width: Of the terminal, in characters.
    """
    columns = columns_of(table)
    plain = [column for column in columns if column.kind == "baseline"][:1]
    shown = [*(column for column in columns if column.kind == "student"), *plain]
    best = best_baselines(table) if sum(column.kind == "baseline" for column in columns) > 1 else {}
    for detail in DETAILS:
        whole = _table(table, title, detail, shown, best)
        if _fits(whole, width):
            return whole
    parts: list[list[Column]] = [[]]
    for column in shown:
        if parts[-1] and not _fits(_table(table, "", detail, [*parts[-1], column], {}), width):
            parts.append([])
        parts[-1].append(column)
    tables = [_table(table, title if part is parts[0] else "", detail, part, {}) for part in parts]
    return Group(*tables, *([_table(table, "", detail, [], best)] if best else []))


def combined_console_table(table: pd.DataFrame, environments: Sequence[str], width: int) -> Table:
    """Return a table for a terminal: a row per column, a column per size.

    Args:
        table: What :func:`~sb3_integral.experiments.report.tables.combined_scores` returns.
        environments: What it is about.
        width: Of the terminal, in characters; where it is narrow, bounds stand below each other.
    """
    printed = _combined(table, environments, " to ")
    return printed if _fits(printed, width) else _combined(table, environments, "\n")


def _combined(table: pd.DataFrame, environments: Sequence[str], between: str) -> Table:
    printed = _empty_table(f"{', '.join(environments)}: interquartile mean of scores")
    printed.caption = "0: random actions, 1: the plain network at full size; below: 95 % intervals"
    printed.add_column("N")
    sizes = list(dict.fromkeys(table["n_hidden"]))
    for size in sizes:
        printed.add_column(str(size), justify="right", no_wrap=True)
    for label, rows in table.groupby("label", sort=False):
        by_size = rows.set_index("n_hidden").to_dict("index")
        printed.add_row(
            escape(one_line(label)),
            *(_score(by_size[size], between) if size in by_size else "-" for size in sizes),
        )
    return printed


def _score(row: dict[Any, Any], between: str) -> str:
    if pd.isna(row["score_iqm"]):
        return "-"
    bounds = (
        "" if pd.isna(row["score_low"]) else f"\n{row['score_low']:.2f}{between}{row['score_high']:.2f}"
    )
    return f"{row['score_iqm']:.2f}{bounds}"


def _table(
    table: pd.DataFrame,
    title: str,
    detail: Detail,
    shown: Sequence[Column],
    best: Mapping[Any, Row],
) -> Table:
    columns = columns_of(table)
    paper = [name for name in ("inn", "nn") if detail.paper and table["paper_inn_mean"].notna().any()]
    headings = ["N", "removed %", *(f"paper {name.upper()}" for name in paper)]
    for column in shown:
        headings += [column.label, *(["p"] if detail.p_values and column is not columns[0] else [])]
    printed = _empty_table(title)
    for heading in [*headings, *(["best baseline", BEST_LABEL] if best else [])]:
        side: Literal["left", "right"] = "left" if heading == BEST_LABEL else "right"
        printed.add_column(escape(_folded(heading, HEADING_WIDTH)), justify=side, no_wrap=True)
    by_size = {column: rows_by_size(table, column) for column in shown}
    for size, row in rows_by_size(table, columns[0]).items():
        cells = [str(size), f"{row['compression_pct']:.1f}"]
        for name in paper:
            cells.append(_mean(row[f"paper_{name}_mean"], row[f"paper_{name}_std"], detail, 0))
        for column in shown:
            own = by_size[column][size]
            cells.append(_mean(own["return_mean"], own["return_std"], detail))
            if detail.p_values and column is not columns[0]:
                cells.append(p_value(own))
        if best:
            row = best.get(size, {"short_label": "", "return_mean": math.nan, "return_std": math.nan})
            label = row["short_label"]
            label = one_line(label) if detail.long_labels else _folded(label, LABEL_WIDTH)
            cells += [_mean(row["return_mean"], row["return_std"], detail), escape(label) or "-"]
        printed.add_row(*cells)
    return printed


def _empty_table(title: str) -> Table:
    shown = escape(one_line(title)) or None
    return Table(title=shown, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)


def _fits(table: Table, width: int) -> bool:
    # The console is not drawn to, so its own width must not matter; without a height, Rich ignores
    # the width where the terminal is a dumb one.
    return Console(width=10_000, height=1).measure(table).maximum <= width


def _folded(text: str, width: int) -> str:
    """Return text on several lines, and a word on one unless it is very long."""
    words = (textwrap.wrap(word, WORD_WIDTH) for word in one_line(text).split())
    return textwrap.fill(
        " ".join(part for parts in words for part in parts), width, break_long_words=False
    )


def _mean(mean: float, std: float, detail: Detail, digits: int = 1) -> str:
    return spread(mean, std if detail.spread else float("nan"), digits)
