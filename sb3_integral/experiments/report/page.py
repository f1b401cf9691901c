"""One self-contained HTML page per experiment: every figure, the table, and how it was made."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import vl_convert
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from sb3_integral.escaping import script
from sb3_integral.experiments.engine.stage import Report
from sb3_integral.experiments.report import video, weights
from sb3_integral.experiments.report.chart import reward_chart
from sb3_integral.experiments.report.load import CONFIGURATION, PROVENANCE, load_results
from sb3_integral.experiments.report.plot import highlighted_columns
from sb3_integral.experiments.report.tables import (
    PAPER_LABELS,
    Row,
    best_baselines,
    columns_of,
    rows_by_size,
)
from sb3_integral.experiments.report.write import PLOT

PAGE = "page"
"""Name of the stage that writes it."""

INDEX = "index.html"
SIGNIFICANT = 0.05
GOOD_SCORE = 0.95
TEMPLATE = "page.html.j2"


class Cell(NamedTuple):
    """A cell of a table.

    Attributes:
        value: What is sorted by; empty if there is none.
        text: What people read.
    """

    value: float | str
    text: str


class SortableTable(NamedTuple):
    """A table of the page.

    Attributes:
        title: Stands above it.
        explanation: What the cells are.
        headings: Of its columns.
        rows: Its cells.
    """

    title: str
    explanation: str
    headings: list[str]
    rows: list[list[Cell]]


def write_page(
    folder: Path,
    report: Report,
    report_folder: Path,
    figures_folder: Path,
    video_folder: Path,
    *,
    config: dict[str, Any],
    command: str,
) -> None:
    """Write ``index.html``, which needs no other file and no network, and the figures beside it.

    Args:
        folder: Where to write.
        report: Is told of progress.
        report_folder: What :func:`~sb3_integral.experiments.report.write.write_report` wrote.
        figures_folder: What :func:`~sb3_integral.experiments.report.weights.draw_figures` wrote.
        video_folder: What :func:`~sb3_integral.experiments.report.video.record_agents` wrote.
        config: The experiment's configuration.
        command: What makes the experiment again.
    """
    results = load_results(report_folder)
    table, references = results.table, results.references
    provenance = json.loads((report_folder / PROVENANCE).read_text(encoding="utf-8"))
    left_out = json.loads((figures_folder / weights.NOTE).read_text(encoding="utf-8"))
    if (video_folder / video.NOTE).is_file():
        left_out.append((video_folder / video.NOTE).read_text(encoding="utf-8").strip())
    for source in (
        report_folder / PLOT,
        figures_folder / weights.WEIGHTS,
        figures_folder / weights.SPECTRUM,
        video_folder / video.GIF,
        video_folder / video.MP4,
    ):
        if source.is_file():
            shutil.copyfile(source, folder / source.name)
    seconds = provenance["stage_seconds"]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    source_text = (files("sb3_integral.experiments.report") / TEMPLATE).read_text(encoding="utf-8")
    text = environment.from_string(source_text).render(
        config=config,
        headline=headline(table, references),
        specification=Markup(script(reward_chart(table, references))),
        library=_library(),
        gif=_inlined(folder / video.GIF, "image/gif"),
        video_name=video.MP4,
        tables=[return_table(table), score_table(table)],
        weights=_inlined(folder / weights.WEIGHTS, "image/png"),
        spectrum=_inlined(folder / weights.SPECTRUM, "image/png"),
        left_out=left_out,
        command=command,
        configuration=(report_folder / CONFIGURATION).read_text(encoding="utf-8"),
        versions={
            "python": provenance["python"],
            "machine": provenance["machine"],
            **provenance["versions"],
        },
        stage_seconds=seconds,
        total_time=_duration(sum(seconds.values())),
    )
    (folder / INDEX).write_text(text, encoding="utf-8")


def headline(table: pd.DataFrame, references: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return what an experiment comes down to: numbers, and what they are.

    Args:
        table: What :func:`~sb3_integral.experiments.report.tables.build_table` returns.
        references: Returns of the expert and of random actions.
    """
    leader = columns_of(table)[0]
    full = int(table["n_hidden"].iloc[0])
    rows = {size: row for size, row in rows_by_size(table, leader).items() if size <= full}
    numbers = []
    small = small_size([full, *rows])
    if small is not None:
        removed = f"with {rows[small]['compression_pct']:.0f} % removed"
        numbers.append(
            (f"{rows[small]['score_mean']:.2f}", f"score of {leader.label} at N = {small}, {removed}")
        )
        if small in (best := best_baselines(table)):
            row = best[small]
            words = "score of the best way to resize a plain network there"
            numbers.append((f"{row['score_mean']:.2f}", f"{words}: {row['label']}"))
    failing = [size for size, row in rows.items() if row["score_mean"] < GOOD_SCORE]
    robust = [size for size in rows if size > max(failing, default=0)]
    if robust:
        words = f"down to which {leader.label} scores {GOOD_SCORE} or more"
        numbers.append((f"N = {min(robust)}", words))
    numbers.append(
        (f"{rows[full]['return_mean']:,.0f}", f"average return of {leader.label} at N = {full}")
    )
    for name, words in (("expert", "the expert's average return"), ("random", "that of random actions")):
        if name in references:
            numbers.append((f"{references[name]:,.0f}", words))
    return numbers


def small_size(sizes: Sequence[int]) -> int | None:
    """Return the size that stands for a compressed network: the nearest to a fifth of the full size.

    Args:
        sizes: The full size first.
    """
    full, *others = sizes
    smaller = [size for size in others if size < full]
    return min(smaller, key=lambda size: abs(size - full / 5), default=None)


def return_table(table: pd.DataFrame) -> SortableTable:
    """Return the average returns, ours and the paper's, a row for each size."""
    paper = {name: label for name, label in PAPER_LABELS.items() if table[f"{name}_mean"].notna().any()}
    shown = _sortable(
        table,
        "Average return",
        "Mean ± standard deviation over seeds of a run's average return.",
        lambda row: _spread(row["return_mean"], row["return_std"]),
    )
    for cells, row in zip(shown.rows, rows_by_size(table, columns_of(table)[0]).values(), strict=True):
        cells += [_spread(row[f"{name}_mean"], row[f"{name}_std"]) for name in paper]
    return shown._replace(headings=[*shown.headings, *paper.values()])


def score_table(table: pd.DataFrame) -> SortableTable:
    """Return the scores, a row for each size."""
    return _sortable(
        table,
        "Score",
        f"0: random actions, 1: the plain network at full size. * differs from {table['label'].iloc[0]} "
        f"at that size (Welch's t-test, p < {SIGNIFICANT}).",
        lambda row: _number(row["score_mean"], ".2f", " *" if row["welch_p"] < SIGNIFICANT else ""),
    )


def _sortable(
    table: pd.DataFrame, title: str, explanation: str, cell: Callable[[Row], Cell]
) -> SortableTable:
    # Those that stand out in the plot come first.
    first = list(highlighted_columns(table))
    columns = sorted(columns_of(table), key=lambda column: column.name not in first)
    by_column = [rows_by_size(table, column) for column in columns]
    rows = [
        [
            Cell(size, str(size)),
            _number(row["compression_pct"], ".1f"),
            *(cell(own[size]) for own in by_column),
        ]
        for size, row in rows_by_size(table, columns_of(table)[0]).items()
    ]
    return SortableTable(
        title, explanation, ["N", "removed %", *(column.label for column in columns)], rows
    )


def _spread(mean: float, std: float) -> Cell:
    return _number(mean, ",.1f", "" if pd.isna(std) else f" ± {std:,.1f}")


def _number(value: float, form: str, behind: str = "") -> Cell:
    if pd.isna(value):
        return Cell("", "–")
    text = f"{value:{form}}"
    # What is rounded to zero has no sign.
    return Cell(float(value), f"{text if text.strip('-0.,') else text.lstrip('-')}{behind}")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _inlined(path: Path, media_type: str) -> str | None:
    if not path.is_file():
        return None
    return f"data:{media_type};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _library() -> str:
    # A third of its size, so that a page stays under a megabyte.
    return base64.b64encode(
        gzip.compress(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").encode(), 9, mtime=0)
    ).decode()
