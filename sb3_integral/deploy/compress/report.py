"""The evidence of a compression, for people and for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from io import BytesIO
from typing import Any

from sb3_integral._version import __version__
from sb3_integral.atomic import atomic_file
from sb3_integral.deploy.compress.result import Compressed, Trial
from sb3_integral.nn.sizes import format_sizes

REPORT = "report.html"
RESULT = "result.json"
CURVE = "curve.png"

COLUMNS = ("neurons", "parameters", "bytes", "MACs", "µs", "mean return", "kept", "episodes", "verdict")
"""Columns of the table."""

TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ env }}, compressed</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em;
  color-scheme: light dark; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
td, th { padding: .3em .8em; text-align: right; border-bottom: 1px solid #8884; }
tr.chosen { font-weight: bold; }
img { max-width: 100%; background: white; }
</style></head><body>
<h1>{{ env }}: {{ sizes }} neurons</h1>
<p>{{ summary }}.</p>
<p>The agent returns {{ agent }} on average, random actions {{ random }}; {{ allowed }} may be lost.
The agent labelled {{ labels }} observations, and {{ episodes }} episodes were played to compare.</p>
<img src="data:image/png;base64,{{ curve }}" alt="Mean return against the number of parameters">
<table tabindex="0">
<thead><tr>{% for column in columns %}<th>{{ column }}</th>{% endfor %}</tr></thead><tbody>
{% for row in rows %}<tr{% if row.chosen %} class="chosen"{% endif %}>
{% for cell in row.cells %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table>
<p>Each size played the same episodes as the agent. "As good" means that a one-sided paired test,
repeated as episodes came in, says that the loss of mean return is at most what is allowed. Intervals
are of Student's t over the paired differences. Microseconds are of this machine, in one thread.</p>
<p>sb3-integral {{ version }}</p>
</body></html>
"""


def table(result: Compressed) -> list[tuple[str, ...]]:
    """Return the rows of the table, in the order of :data:`COLUMNS`."""
    return [_cells(result, trial) for trial in result.trials]


def write_report(result: Compressed, env_name: str) -> None:
    """Write ``report.html``, ``curve.png`` and ``result.json`` into the result's folder."""
    import base64

    from jinja2 import Environment, StrictUndefined

    picture = _curve(result, env_name)
    text = (
        Environment(autoescape=True, undefined=StrictUndefined)
        .from_string(TEMPLATE)
        .render(
            env=env_name,
            sizes=format_sizes(result.sizes),
            summary=str(result),
            agent=f"{result.agent_return:.1f}",
            random=f"{result.random_return:.1f}",
            allowed=f"{result.allowed_loss:.1f}",
            labels=f"{result.labels:,}",
            episodes=f"{result.episodes:,}",
            curve=base64.b64encode(picture).decode(),
            columns=COLUMNS,
            rows=[
                {"chosen": trial.sizes == result.sizes, "cells": _cells(result, trial)}
                for trial in result.trials
            ],
            version=__version__,
        )
    )
    content = json.dumps(_numbers(result, env_name), indent=2, allow_nan=False)
    for name, data in ((REPORT, text.encode()), (CURVE, picture), (RESULT, content.encode())):
        with atomic_file(result.folder / name) as partial:
            partial.write_bytes(data)


def _cells(result: Compressed, trial: Trial) -> tuple[str, ...]:
    share, low, high = result.kept(trial.comparison)
    return (
        format_sizes(trial.sizes),
        f"{trial.costs.parameters:,}",
        f"{trial.costs.bytes:,}",
        f"{trial.costs.macs:,}",
        f"{trial.latency_us:.1f}",
        f"{trial.comparison.mean:.1f}",
        f"{share:.1%} ({low:.1%} to {high:.1%})",
        str(len(trial.comparison.returns)),
        trial.comparison.verdict,
    )


def _numbers(result: Compressed, env_name: str) -> dict[str, Any]:
    return {
        "version": __version__,
        "environment": env_name,
        "file": result.file.name,
        "sizes": result.sizes,
        "agent": {
            "parameters": result.agent_parameters,
            "us": result.agent_us,
            "return": result.agent_return,
        },
        "random_return": result.random_return,
        "allowed_loss": result.allowed_loss,
        "episodes": result.episodes,
        "labels": result.labels,
        "quantized_file": None if result.of_file is None else asdict(result.of_file),
        "trials": [
            {
                "sizes": trial.sizes,
                **trial.costs._asdict(),
                "us": trial.latency_us,
                "kept": dict(zip(("mean", "low", "high"), result.kept(trial.comparison), strict=True)),
                **asdict(trial.comparison),
            }
            for trial in result.trials
        ],
    }


def _curve(result: Compressed, env_name: str) -> bytes:
    from matplotlib.figure import Figure

    from sb3_integral.escaping import matplotlib as escaped

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    parameters = [trial.costs.parameters for trial in result.trials]
    agent = [float(sum(t.comparison.agent_returns)) / len(t.comparison.returns) for t in result.trials]
    intervals = [trial.comparison.interval for trial in result.trials]
    means = [trial.comparison.mean for trial in result.trials]
    spread = [
        [
            mean - (reference + low)
            for mean, reference, (low, _) in zip(means, agent, intervals, strict=True)
        ],
        [
            (reference + high) - mean
            for mean, reference, (_, high) in zip(means, agent, intervals, strict=True)
        ],
    ]
    axes.errorbar(parameters, means, yerr=spread, fmt="o-", capsize=3, label="student")
    axes.axhline(result.agent_return, color="black", label="agent")
    axes.axhline(
        result.agent_return - result.allowed_loss, color="black", linestyle="--", label="allowed"
    )
    axes.axvline(result.chosen.costs.parameters, color="tab:green", label="chosen")
    axes.set(xscale="log", xlabel="parameters", ylabel="mean return", title=escaped(env_name))
    axes.legend()
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
