"""The reward-against-size plot for a browser, with the values under the pointer."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from sb3_integral.escaping import one_line
from sb3_integral.experiments.report.load import Results
from sb3_integral.experiments.report.plot import (
    COLOURS,
    OTHERS_COLOUR,
    PAPER_COLOURS,
    curves,
    highlighted_columns,
)
from sb3_integral.experiments.report.text import number

FIELDS = ["column", "label", "role", "n_hidden", "compression_pct", "mean", "low", "high"]
FIELDS += ["return_std", "score_mean", "welch_p"]
"""The columns of the curves that are data of the chart."""

TOOLTIP = [
    alt.Tooltip("label:N", title="network"),
    alt.Tooltip("n_hidden:Q", title="N"),
    alt.Tooltip("compression_pct:Q", title="removed %", format=".1f"),
    alt.Tooltip("mean:Q", title="return", format=",.1f"),
    alt.Tooltip("return_std:N", title="± std"),
    alt.Tooltip("score_mean:Q", title="score", format=".2f"),
    alt.Tooltip("welch_p:N", title="Welch's p"),
]

LEGEND = alt.Legend(orient="bottom", columns=2, labelLimit=150, symbolType="circle", symbolOpacity=1)


def reward_chart(results: Results) -> dict[str, Any]:
    """Return the chart, whose legend singles out a curve, as a Vega-Lite specification with its data."""
    rows = curves(results)[FIELDS]
    rows = rows.assign(
        label=rows["label"].map(one_line),
        return_std=[number(value, ",.1f") for value in rows["return_std"]],
        welch_p=[number(value, ".1e") for value in rows["welch_p"]],
    )
    # More digits than are shown would be most of the page's data.
    rows = rows.round({"compression_pct": 1, "mean": 2, "score_mean": 3, "low": 2, "high": 2})
    colours = dict(zip(highlighted_columns(results.table), COLOURS, strict=False)) | PAPER_COLOURS
    curve_labels = rows.drop_duplicates("column")
    loud = rows[rows["role"] != "others"]

    picked = alt.selection_point(name="picked", fields=["label"], bind="legend")
    colour = alt.Color(
        "label:N",
        title=None,
        scale=alt.Scale(
            domain=curve_labels["label"].tolist(),
            range=[colours.get(name, OTHERS_COLOUR) for name in curve_labels["column"]],
        ),
        legend=LEGEND,
    )
    # A method that fails badly must not flatten the rest.
    known = [*loud["low"], *loud["high"], *results.references.values()]
    title, scale = "average return of an episode", alt.Scale(domain=[min(known), max(known)], zero=False)
    x = alt.X(
        "n_hidden:Q", title="neurons in each hidden layer, N", scale=alt.Scale(zero=False, padding=8)
    )
    y, low = (alt.Y(f"{field}:Q", title=title, scale=scale) for field in ("mean", "low"))

    def lines(role: str, width: float, dash: list[int], opacity: float) -> Any:
        curve = alt.Chart(rows[rows["role"] == role])
        curve = curve.mark_line(clip=True, strokeWidth=width, strokeDash=dash)
        return curve.encode(x=x, y=y, color=colour, opacity=_when(picked, opacity))

    band = alt.Chart(loud).mark_area(clip=True)
    band = band.encode(x=x, y=low, y2="high:Q", color=colour, opacity=_when(picked, 0.14))
    # The leader last: of points that lie on each other, the pointer finds the uppermost.
    points = alt.Chart(rows.iloc[::-1]).mark_circle(clip=True, size=55)
    points = points.encode(x=x, y=y, color=colour, opacity=_when(picked, 0.9), tooltip=TOOLTIP)
    reference = pd.DataFrame(results.references.items(), columns=["what", "value"])
    rule = alt.Chart(reference).mark_rule(strokeDash=[2, 3], color="#888888").encode(y="value:Q")
    text = rule.mark_text(align="right", dx=-4, baseline="bottom", color="#888888")
    chart = alt.layer(
        band,
        lines("others", 1.0, [1, 0], 0.6),
        lines("paper", 1.4, [5, 4], 0.9),
        lines("highlighted", 2.2, [1, 0], 1.0),
        rule,
        text.encode(x=alt.value("width"), text="what:N"),
        points.add_params(picked),
    )
    chart = chart.properties(width="container", height=380)
    chart = chart.configure(background="transparent").configure_view(strokeOpacity=0)
    specification: dict[str, Any] = chart.to_dict()
    return specification


def _when(picked: alt.Parameter, opacity: float) -> Any:
    return alt.condition(picked, alt.value(opacity), alt.value(0.03))
