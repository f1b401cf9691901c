"""The tables of experiments for a terminal, as detailed as its width allows."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection, Sequence

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table

from sb3_integral.escaping import one_line
from sb3_integral.experiments.report import text
from sb3_integral.experiments.report.tables import Column, Row, best_baselines, columns_of, rows_by_size

HEADING_WIDTH = 8
"""Characters of a heading's line, where its words and the cells below it are not longer."""

BEST_LABEL = "which is"
"""The heading of the column with the names of the best baselines, whose cells may have several lines."""

DETAILS = (("p", "std", "paper"), ("std", "paper"), ("paper",), ())
"""The figures beside mean returns: p-values, standard deviations, and the paper's."""


def console_table(table: pd.DataFrame, title: str, width: int) -> Table | Group:
    """Return a table for a terminal: the paper, the students, and the best baseline of each row.

    It is as detailed as the width allows: with p-values, with deviations, means alone, and those without
    the paper's. Columns for which even that is too narrow follow in more tables.
    """
    columns = columns_of(table)
    baselines = [column for column in columns if column.kind == "baseline"]
    shown = [*(column for column in columns if column.kind == "student"), *baselines[:1]]
    for detail in DETAILS:
        if "std" not in detail:
            table = table.assign(return_std=math.nan, paper_inn_std=math.nan, paper_nn_std=math.nan)
        best = _best(table) if len(baselines) > 1 else pd.DataFrame()
        whole = _table(title, _columns(table, shown, detail), best)
        if _fits(whole, width):
            return whole
    parts: list[list[Column]] = [[]]
    for column in shown:
        if parts[-1] and not _fits(_table("", _columns(table, [*parts[-1], column], detail)), width):
            parts.append([])
        parts[-1].append(column)
    frames = [_columns(table, part, detail) for part in parts]
    if len(best):
        frames.append(pd.concat([text.size_cells(table), best], axis=1))
    return Group(*(_table("" if place else title, frame) for place, frame in enumerate(frames)))


def combined_console_table(table: pd.DataFrame, environments: Sequence[str], width: int) -> Table:
    """Return a table of combined scores for a terminal: a row per column, a column per size.

    Where the terminal is narrow, the bounds of an interval stand below each other.
    """
    title = f"{', '.join(environments)}: interquartile mean of scores"
    for between in (" to ", "\n"):
        texts = table.assign(text=[_score(row, between) for row in table.to_dict("records")])
        texts = texts.pivot(index="label", columns="n_hidden", values="text").fillna(text.MISSING)
        texts = texts.loc[table["label"].unique(), table["n_hidden"].unique()].rename(index=one_line)
        printed = _table(title, texts.reset_index(names="N"))
        if _fits(printed, width):
            break
    printed.columns[0].justify = "left"
    printed.caption = "0: random actions, 1: the plain network at full size; below: 95 % intervals"
    return printed


def _score(row: Row, between: str) -> str:
    if pd.isna(row["score_low"]):
        return text.number(row["score_iqm"], ".2f")
    return f"{row['score_iqm']:.2f}\n{row['score_low']:.2f}{between}{row['score_high']:.2f}"


def _columns(table: pd.DataFrame, shown: Sequence[Column], detail: Collection[str]) -> pd.DataFrame:
    parts = [text.size_cells(table)]
    if "paper" in detail:
        parts.append(text.paper_cells(table, ".0f"))
    for column in shown:
        parts.append(text.cells(table, [column], text.returns))
        if "p" in detail and column != columns_of(table)[0]:
            parts.append(text.cells(table, [column._replace(label="p")], text.p_value))
    return pd.concat(parts, axis=1)


def _best(table: pd.DataFrame) -> pd.DataFrame:
    rows = map(best_baselines(table).get, rows_by_size(table, columns_of(table)[0]))
    texts = [(text.returns(row), one_line(row["short_label"])) if row else ("", "") for row in rows]
    return pd.DataFrame(texts, columns=["best baseline", BEST_LABEL]).replace("", text.MISSING)


def _table(title: str, *parts: pd.DataFrame) -> Table:
    frame = pd.concat(parts, axis=1)
    printed = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    printed.title = escape(one_line(title)) or None
    for heading, column in frame.items():
        is_text = heading == BEST_LABEL
        widest = max(len(line) for cell in column for line in cell.splitlines())
        words = textwrap.fill(one_line(heading), max(HEADING_WIDTH, widest), break_long_words=False)
        printed.add_column(
            escape(words),
            justify="left" if is_text else "right",
            no_wrap=not is_text,
            min_width=None if is_text else max(widest, *map(len, words.splitlines())),
        )
    for row in frame.itertuples(index=False):
        printed.add_row(*map(escape, row))
    return printed


def _fits(table: Table, width: int) -> bool:
    # The console is not drawn to, so its own width must not matter; without a height, Rich ignores
    # the width where the terminal is a dumb one.
    return Console(width=10_000, height=1).measure(table).minimum <= width
