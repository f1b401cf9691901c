"""One self-contained HTML page per experiment: every figure, the table, and how it was made."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import vl_convert
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from sb3_integral.escaping import script
from sb3_integral.experiments.engine.stage import Report
from sb3_integral.experiments.report import video, weights
from sb3_integral.experiments.report.chart import reward_chart
from sb3_integral.experiments.report.forgetting_plot import FORGETTING_PLOT
from sb3_integral.experiments.report.load import CONFIGURATION, PROVENANCE, load_results
from sb3_integral.experiments.report.moving import MOVING
from sb3_integral.experiments.report.over_sizes import (
    over_sizes_cells,
    over_sizes_explanation,
    read_over_sizes,
)
from sb3_integral.experiments.report.plot import highlighted_columns
from sb3_integral.experiments.report.roughness import (
    ROUGHNESS_EXPLANATION,
    read_roughness,
    roughness_cells,
)
from sb3_integral.experiments.report.tables import (
    SIGNIFICANT,
    Row,
    best_baselines,
    columns_of,
    rows_by_size,
)
from sb3_integral.experiments.report.text import cells, number, paper_cells, size_cells, spread
from sb3_integral.experiments.report.write import PLOT

PAGE = "page"  # name of the stage that writes it

GOOD_SCORE = 0.95

NO_MOVING = (
    "The page on which you drag the size shows an integral student whose partitions nest beside a plain "
    "one of the same width and activation, and the first two of this experiment are others."
)


def write_page(
    folder: Path,
    report: Report,
    report_folder: Path,
    figures_folder: Path,
    video_folder: Path,
    moving_folder: Path | None = None,
    *,
    config: dict[str, Any],
    command: str,
) -> None:
    """Write ``index.html``, which needs no other file and no network, and the figures beside it.

    The folders are those of ``write_report``, ``draw_figures``, ``record_agents`` and
    ``write_moving_page``, the last where the environment is known to it; the command makes the
    experiment again.
    """
    results = load_results(report_folder)
    over_sizes = read_over_sizes(report_folder)
    roughness = read_roughness(figures_folder)
    provenance = json.loads((report_folder / PROVENANCE).read_text(encoding="utf-8"))
    left_out = json.loads((figures_folder / weights.NOTE).read_text(encoding="utf-8"))
    if (video_folder / video.NOTE).is_file():
        left_out.append((video_folder / video.NOTE).read_text(encoding="utf-8").strip())
    moving = None if moving_folder is None else moving_folder / MOVING
    if moving is not None and not moving.is_file():
        left_out.append(NO_MOVING)
    for source in (
        report_folder / PLOT,
        report_folder / FORGETTING_PLOT,
        *(figures_folder / name for name in (weights.WEIGHTS, weights.SPECTRUM)),
        *(video_folder / name for name in (video.GIF, video.MP4)),
        *([] if moving is None else [moving]),
    ):
        if source.is_file():
            shutil.copyfile(source, folder / source.name)
    template = (files(__package__) / "page.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    text = environment.from_string(template).render(
        config=config,
        provenance=provenance,
        headline=headline(results.table, results.references),
        specification=Markup(script(reward_chart(results))),
        library=_library(),
        gif=_inlined(folder / video.GIF, "image/gif"),
        video_name=video.MP4,
        moving=(folder / MOVING).read_text(encoding="utf-8") if (folder / MOVING).is_file() else None,
        moving_name=MOVING,
        returns=return_table(results.table),
        scores=score_table(results.table),
        significant=SIGNIFICANT,
        over_sizes=over_sizes_cells(over_sizes),
        over_sizes_explanation=over_sizes_explanation(over_sizes),
        roughness=None if roughness is None else roughness_cells(roughness),
        roughness_explanation=ROUGHNESS_EXPLANATION,
        forgetting=_inlined(folder / FORGETTING_PLOT, "image/png"),
        weights=_inlined(folder / weights.WEIGHTS, "image/png"),
        spectrum=_inlined(folder / weights.SPECTRUM, "image/png"),
        left_out=left_out,
        command=command,
        configuration=(report_folder / CONFIGURATION).read_text(encoding="utf-8"),
    )
    (folder / "index.html").write_text(text, encoding="utf-8")


def headline(table: pd.DataFrame, references: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return the main results of an experiment: numbers, and what they are."""
    leader = columns_of(table)[0]
    full = int(table["n_hidden"].iloc[0])
    rows = {size: row for size, row in rows_by_size(table, leader).items() if size <= full}
    numbers = []
    small = small_size([full, *rows])
    if small is not None:
        words = f"score of {leader.label} at N = {small}"
        removed = f"{rows[small]['compression_pct']:.0f} % removed"
        numbers.append((f"{rows[small]['score_mean']:.2f}", f"{words}, with {removed}"))
        if best := best_baselines(table).get(small):
            words = f"score of the best way to resize a plain network there: {best['label']}"
            numbers.append((f"{best['score_mean']:.2f}", words))
    failing = [size for size, row in rows.items() if row["score_mean"] < GOOD_SCORE]
    robust = [size for size in rows if size > max(failing, default=0)]
    if robust:
        words = f"down to which {leader.label} scores {GOOD_SCORE} or more"
        numbers.append((f"N = {min(robust)}", words))
    means = {
        f"average return of {leader.label} at N = {full}": rows[full]["return_mean"],
        "the expert's average return": references.get("expert"),
        "that of random actions": references.get("random"),
    }
    return numbers + [(f"{mean:,.0f}", words) for words, mean in means.items() if mean is not None]


def small_size(sizes: Sequence[int]) -> int | None:
    """Return the size that stands for a compressed network: the nearest to a fifth of the first."""
    full, *others = sizes
    smaller = [size for size in others if size < full]
    return min(smaller, key=lambda size: abs(size - full / 5), default=None)


def return_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the average returns as text, ours and the paper's, a row for each size."""
    ours = _cells(table, lambda row: spread(row["return_mean"], row["return_std"], ",.1f"))
    return pd.concat([ours, paper_cells(table, ",.1f")], axis=1)


def score_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the scores as text, a row for each size; a star marks differences from the leader."""

    def text(row: Row) -> str:
        return number(row["score_mean"], ".2f") + (" *" if row["welch_p_holm"] < SIGNIFICANT else "")

    return _cells(table, text)


def _cells(table: pd.DataFrame, text: Callable[[Row], str]) -> pd.DataFrame:
    # Those that stand out in the plot come first.
    first = highlighted_columns(table)
    columns = sorted(columns_of(table), key=lambda column: column.name not in first)
    return pd.concat([size_cells(table), cells(table, columns, text)], axis=1)


def _inlined(path: Path, media_type: str) -> str | None:
    if not path.is_file():
        return None
    return f"data:{media_type};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _library() -> str:
    # A third of its size, so that a page stays under a megabyte.
    code = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").encode()
    return base64.b64encode(gzip.compress(code, 9, mtime=0)).decode()
