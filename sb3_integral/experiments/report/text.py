"""Format table values as text, for Markdown, the terminal and HTML.

Each function of cells returns a data frame with one row per size, in the table's order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pandas as pd

from sb3_integral.experiments.report.tables import PAPER_LABELS, Column, Row, columns_of, rows_by_size

MISSING = "-"  # the text of a value that does not exist


def size_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return the sizes, and the percentage of parameters that the leader lacks at each."""
    rows = rows_by_size(table, columns_of(table)[0])
    removed = [number(row["compression_pct"]) for row in rows.values()]
    return pd.DataFrame({"N": map(str, rows), "removed %": removed})


def paper_cells(table: pd.DataFrame, form: str) -> pd.DataFrame:
    """Format the paper's returns, one column per network that has any."""
    rows = table.drop_duplicates("n_hidden").to_dict("records")
    return pd.DataFrame(
        {
            label: [spread(row[f"{name}_mean"], row[f"{name}_std"], form) for row in rows]
            for name, label in PAPER_LABELS.items()
            if table[f"{name}_mean"].notna().any()
        }
    )


def cells(table: pd.DataFrame, columns: Sequence[Column], text: Callable[[Row], str]) -> pd.DataFrame:
    """Return the texts of the rows of some columns, a column each."""
    rows = {column.label: rows_by_size(table, column).values() for column in columns}
    return pd.DataFrame({label: map(text, column_rows) for label, column_rows in rows.items()})


def number(value: float, form: str = ".1f") -> str:
    """Return a number as text; one that is rounded to zero has no sign."""
    if pd.isna(value):
        return MISSING
    text = f"{value:{form}}"
    return text if text.strip("-0.,") else text.lstrip("-")


def spread(mean: float, std: float = math.nan, form: str = "") -> str:
    """Format a mean and, unless NaN, its standard deviation; by default by the size of the mean."""
    form = form or (".0f" if abs(mean) >= 1000 else ".1f")
    return number(mean, form) + ("" if pd.isna(std) else f" ± {std:{form}}")


def returns(row: Row) -> str:
    """Return a row's mean and standard deviation of returns."""
    return spread(row["return_mean"], row["return_std"])


def score(row: Row) -> str:
    """Return a row's score with its interval, where it has one."""
    value, low, high = (number(row[f"score_{name}"], ".2f") for name in ("iqm", "low", "high"))
    return value if MISSING in (value, low) else f"{value} [{low}, {high}]"


def p_value(row: Row) -> str:
    """Return a row's p-value."""
    return number(row["welch_p"], ".1e")


def corrected_p_value(row: Row) -> str:
    """Return a row's p-value, and in brackets the corrected one, where it has one."""
    raw, corrected = p_value(row), number(row["welch_p_holm"], ".1e")
    return raw if MISSING in (raw, corrected) else f"{raw} ({corrected})"
