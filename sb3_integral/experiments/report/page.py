"""One self-contained HTML page per experiment: every figure, the table, and how it was made."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
from collections.abc import Mapping, Sequence
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
from sb3_integral.experiments.report.tables import PAPER_LABELS
from sb3_integral.experiments.report.write import PLOT

PAGE = "page"
"""Name of the stage that writes it."""

INDEX = "index.html"
SIGNIFICANT = 0.05
GOOD_SCORE = 0.95
TEMPLATE = "page.html.j2"


Row = Mapping[Any, Any]


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
) -> None:
    """Write ``index.html``, which needs no other file and no network, and the figures beside it.

    Args:
        folder: Where to write.
        report: Is told of progress.
        report_folder: What :func:`~sb3_integral.experiments.report.write.write_report` wrote.
        figures_folder: What :func:`~sb3_integral.experiments.report.weights.draw_figures` wrote.
        video_folder: What :func:`~sb3_integral.experiments.report.video.record_agents` wrote.
        config: The experiment's configuration.
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
        command=_command(config),
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
    rows = table[table["column"] == table["column"].iloc[0]]
    label, full = str(rows["label"].iloc[0]), int(rows["n_hidden"].iloc[0])
    small = small_size(rows["n_hidden"].tolist())
    rows = rows[rows["n_hidden"] <= full]
    numbers = []
    if small is not None:
        at_small = rows.set_index("n_hidden").loc[small]
        numbers.append(
            (
                f"{at_small['score_mean']:.2f}",
                f"score of {label} at N = {small}, with {at_small['compression_pct']:.0f} % removed",
            )
        )
        baselines = table[(table["kind"] != "student") & (table["n_hidden"] == small)]
        if len(baselines):
            best = baselines.sort_values("score_mean", ascending=False, kind="stable").iloc[0]
            numbers.append(
                (
                    f"{best['score_mean']:.2f}",
                    f"score of the best way to resize a plain network there: {best['label']}",
                )
            )
    good = rows[rows["score_mean"] >= GOOD_SCORE]["n_hidden"]
    failing = rows[rows["score_mean"] < GOOD_SCORE]["n_hidden"]
    robust = good[good > failing.max()] if len(failing) else good
    if len(robust):
        numbers.append((f"N = {robust.min()}", f"down to which {label} scores {GOOD_SCORE} or more"))
    at_full = rows.set_index("n_hidden").loc[full]
    numbers.append((f"{at_full['return_mean']:,.0f}", f"average return of {label} at N = {full}"))
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
    columns = _ordered(table)
    with_paper = [
        (name, label) for name, label in PAPER_LABELS.items() if table[f"{name}_mean"].notna().any()
    ]
    rows = []
    for start, by_column in _by_size(table):
        cells = [
            _spread(by_column[column]["return_mean"], by_column[column]["return_std"])
            if column in by_column
            else Cell("", "–")
            for column in columns
        ]
        first = next(iter(by_column.values()))
        cells += [_spread(first[f"{name}_mean"], first[f"{name}_std"]) for name, _ in with_paper]
        rows.append([*start, *cells])
    return SortableTable(
        "Average return",
        "Mean ± standard deviation over seeds of a run's average return.",
        ["N", "removed %", *columns.values(), *(label for _, label in with_paper)],
        rows,
    )


def score_table(table: pd.DataFrame) -> SortableTable:
    """Return the scores, a row for each size."""
    columns = _ordered(table)
    leader = next(iter(columns.values()))
    rows = []
    for start, by_column in _by_size(table):
        cells = []
        for column in columns:
            if column not in by_column:
                cells.append(Cell("", "–"))
                continue
            row = by_column[column]
            mark = " *" if row["welch_p"] < SIGNIFICANT else ""
            cells.append(_number(row["score_mean"], ".2f", mark))
        rows.append([*start, *cells])
    return SortableTable(
        "Score",
        f"0: random actions, 1: the plain network at full size. * differs from {leader} at that size "
        f"(Welch's t-test, p < {SIGNIFICANT}).",
        ["N", "removed %", *columns.values()],
        rows,
    )


def _ordered(table: pd.DataFrame) -> dict[str, str]:
    """Return the labels by column, those that stand out in the plot first."""
    everything = table.drop_duplicates("column").set_index("column")["label"].to_dict()
    return highlighted_columns(table) | {str(name): str(label) for name, label in everything.items()}


def _by_size(table: pd.DataFrame) -> list[tuple[list[Cell], dict[str, Row]]]:
    found = []
    for size, rows in table.groupby("n_hidden", sort=False):
        removed = float(rows["compression_pct"].iloc[0])
        start = [Cell(int(str(size)), f"{size}"), Cell(removed, f"{removed:.1f}")]
        by_column: dict[str, Row] = {str(row["column"]): row for row in rows.to_dict("records")}
        found.append((start, by_column))
    return found


def _spread(mean: float, std: float) -> Cell:
    return _number(mean, ",.1f", "" if pd.isna(std) else f" ± {std:,.1f}")


def _number(value: float, form: str, behind: str = "") -> Cell:
    if pd.isna(value):
        return Cell("", "–")
    text = f"{value:{form}}"
    # What is rounded to zero has no sign.
    return Cell(float(value), f"{text if text.strip('-0.,') else text.lstrip('-')}{behind}")


def _command(config: Mapping[str, Any]) -> str:
    preset = f" --preset {config['preset']}" if "preset" in config else ""
    return f"sb3-integral run zoo_configs/{config['name']}.yml{preset}"


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
