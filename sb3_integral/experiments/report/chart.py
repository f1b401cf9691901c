"""The reward-against-size plot for a browser, with the values under the pointer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from sb3_integral.escaping import one_line
from sb3_integral.experiments.report.plot import (
    COLOURS,
    OTHERS_COLOUR,
    PAPER_COLOURS,
    highlighted_columns,
)
from sb3_integral.experiments.report.tables import PAPER_LABELS

FIELDS = {
    "label": "label",
    "n_hidden": "n",
    "compression_pct": "removed",
    "return_mean": "mean",
    "return_std": "std",
    "score_mean": "score",
    "welch_p": "p",
}
"""What the chart shows of the table, and what it calls it there."""

TOOLTIP = [
    alt.Tooltip("label:N", title="network"),
    alt.Tooltip("n:Q", title="N"),
    alt.Tooltip("removed:Q", title="removed %", format=".1f"),
    alt.Tooltip("mean:Q", title="return", format=",.1f"),
    alt.Tooltip("spread:N", title="± std"),
    alt.Tooltip("score:Q", title="score", format=".2f"),
    alt.Tooltip("p:N", title="Welch's p"),
]


def reward_chart(table: pd.DataFrame, references: Mapping[str, float]) -> dict[str, Any]:
    """Return the chart as a Vega-Lite specification that carries its data.

    A click on an entry of the legend leaves that curve alone.

    Args:
        table: What :func:`~sb3_integral.experiments.report.tables.build_table` returns.
        references: Returns to draw as horizontal lines, by name.
    """
    rows = _rows(table)
    labels = list(dict.fromkeys(rows["label"]))
    highlighted = [one_line(label) for label in highlighted_columns(table).values()]
    colours = dict(zip(highlighted, COLOURS, strict=False))
    colours |= {label: PAPER_COLOURS[name] for name, label in PAPER_LABELS.items()}
    of_paper, ours = rows["label"].isin(PAPER_LABELS.values()), rows["label"].isin(highlighted)
    loud, quiet = rows[of_paper | ours], rows[~(of_paper | ours)]

    picked = alt.selection_point(name="picked", fields=["label"], bind="legend")
    colour = alt.Color(
        "label:N",
        title=None,
        scale=alt.Scale(domain=labels, range=[colours.get(label, OTHERS_COLOUR) for label in labels]),
        legend=alt.Legend(
            orient="bottom", columns=2, labelLimit=150, symbolType="circle", symbolOpacity=1
        ),
    )
    # A method that fails badly must not flatten the rest.
    known = [*loud["low"], *loud["high"], *references.values()]
    title, scale = "average return of an episode", alt.Scale(domain=[min(known), max(known)], zero=False)
    x = alt.X("n:Q", title="neurons in each hidden layer, N", scale=alt.Scale(zero=False, padding=8))
    y, low = (alt.Y(f"{field}:Q", title=title, scale=scale) for field in ("mean", "low"))

    def lines(of: pd.DataFrame, width: float, dash: list[int], opacity: float) -> Any:
        curve = alt.Chart(of).mark_line(clip=True, strokeWidth=width, strokeDash=dash)
        return curve.encode(x=x, y=y, color=colour, opacity=_when(picked, opacity))

    band = alt.Chart(loud).mark_area(clip=True)
    band = band.encode(x=x, y=low, y2="high:Q", color=colour, opacity=_when(picked, 0.14))
    # The leader last: of points that lie on each other, the pointer finds the uppermost.
    points = alt.Chart(rows.iloc[::-1]).mark_circle(clip=True, size=55)
    points = points.encode(x=x, y=y, color=colour, opacity=_when(picked, 0.9), tooltip=TOOLTIP)
    reference = pd.DataFrame({"what": list(references), "value": list(references.values())})
    rule = alt.Chart(reference).mark_rule(strokeDash=[2, 3], color="#888888").encode(y="value:Q")
    text = rule.mark_text(align="right", dx=-4, baseline="bottom", color="#888888")
    chart = alt.layer(
        band,
        lines(quiet, 1.0, [1, 0], 0.6),
        lines(rows[of_paper], 1.4, [5, 4], 0.9),
        lines(rows[ours], 2.2, [1, 0], 1.0),
        rule,
        text.encode(x=alt.value("width"), text="what:N"),
        points.add_params(picked),
    )
    chart = chart.properties(width="container", height=380)
    chart = chart.configure(background="transparent").configure_view(strokeOpacity=0)
    specification: dict[str, Any] = chart.to_dict()
    return specification


def _rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return what is drawn: our curves, and the paper's where it has them."""
    frames = [table[[*FIELDS]].rename(columns=FIELDS)]
    by_size = table.drop_duplicates("n_hidden")
    for name, label in PAPER_LABELS.items():
        known = by_size.dropna(subset=[f"{name}_mean"])
        fields = {"n_hidden": "n", "compression_pct": "removed", f"{name}_mean": "mean"}
        frames.append(known[[*fields, f"{name}_std"]].rename(columns={**fields, f"{name}_std": "std"}))
        frames[-1] = frames[-1].assign(label=label)
    rows = pd.concat([frame for frame in frames if len(frame)], ignore_index=True)
    std = rows["std"].fillna(0.0)
    rows = rows.assign(
        label=rows["label"].map(one_line),
        low=rows["mean"] - std,
        high=rows["mean"] + std,
        spread=[_text(value, ",.1f") for value in rows["std"]],
        p=[_text(value, ".1e") for value in rows["p"]],
    )
    # More digits than are shown would be most of the page's data.
    return rows.round({"removed": 1, "mean": 2, "std": 2, "score": 3, "low": 2, "high": 2})


def _text(value: float, form: str) -> str:
    return "–" if pd.isna(value) else f"{value:{form}}"


def _when(picked: alt.Parameter, opacity: float) -> Any:
    return alt.condition(picked, alt.value(opacity), alt.value(0.03))
