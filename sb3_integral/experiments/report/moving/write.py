"""The page itself: one file, without a request to any network."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from sb3_integral.escaping import script

AGENTS = (
    ("integral", "Integral network", "One set of parameters, sampled at this size."),
    ("plain", "Plain network", "Its weights interpolated as an image is, as in the paper."),
)
SCRIPTS = ("physics.js", "network.js", "page.js")


def render_moving_page(data: Mapping[str, Any]) -> str:
    """Return the page as HTML.

    Args:
        data: What :func:`~sb3_integral.experiments.report.moving.moving_data` returns.
    """
    own = files("sb3_integral.experiments.report.moving")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string((own / "page.html.j2").read_text(encoding="utf-8")).render(
        env=data["env"],
        full=data["full"],
        smallest=data["smallest"],
        agents=AGENTS,
        data=Markup(script(dict(data))),
        scripts=[Markup((own / name).read_text(encoding="utf-8")) for name in SCRIPTS],
    )
