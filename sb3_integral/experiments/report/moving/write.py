"""The page itself: one file, without a request to any network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from stable_baselines3.common.env_util import make_vec_env

from sb3_integral.escaping import script
from sb3_integral.experiments.engine.stage import Report
from sb3_integral.experiments.files import STUDENT
from sb3_integral.experiments.report.moving.data import moving_data
from sb3_integral.policies.serialization import load_policy

MOVING = "moving.html"

AGENTS = (
    ("integral", "Integral network", "One set of parameters, sampled at this size."),
    ("plain", "Plain network", "Its weights interpolated as an image is, as in the paper."),
)
SCRIPTS = ("physics.js", "network.js", "page.js")


def write_moving_page(
    folder: Path, report: Report, student_folders: Sequence[Path], *, env_id: str
) -> None:
    """Write ``moving.html`` of an integral and a plain student, or nothing if it cannot show both."""
    venv = make_vec_env(env_id)
    integral, plain = (
        load_policy(student / STUDENT, venv.observation_space, venv.action_space)
        for student in student_folders
    )
    venv.close()
    if (data := moving_data(env_id, integral, plain)) is not None:
        (folder / MOVING).write_text(render_moving_page(data), encoding="utf-8")


def render_moving_page(data: Mapping[str, Any]) -> str:
    """Return the page as HTML.

    Args:
        data: What :func:`~sb3_integral.experiments.report.moving.moving_data` returns.
    """
    folder = files("sb3_integral.experiments.report.moving")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string((folder / "page.html.j2").read_text(encoding="utf-8")).render(
        env=data["env"],
        full=data["full"],
        smallest=data["smallest"],
        agents=AGENTS,
        data=Markup(script(dict(data))),
        scripts=[Markup((folder / name).read_text(encoding="utf-8")) for name in SCRIPTS],
    )
