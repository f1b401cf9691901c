"""The stages that show an experiment to people: figures, video and page."""

from __future__ import annotations

from collections.abc import Mapping

from sb3_integral.experiments.config.schema import ExperimentConfig
from sb3_integral.experiments.engine.stage import Stage
from sb3_integral.experiments.report.page import PAGE, small_size, write_page
from sb3_integral.experiments.report.video import record_agents
from sb3_integral.experiments.report.weights import draw_figures

SHOWN_METHODS = ("bicubic-rescaled", "bicubic")
"""How the plain network of the video is resized: the first of these that the experiment has."""


def visual_stages(config: ExperimentConfig, report: Stage, students: Mapping[str, Stage]) -> list[Stage]:
    """Return the stages that show an experiment; the last is the page.

    Args:
        config: The experiment.
        report: The stage that writes the table.
        students: The first seed's students, by name.
    """
    drawn = {
        name: student
        for name, student in config.students.items()
        if student.kind in ("integral", "plain") and name in students
    }
    figures = Stage(
        "figures",
        draw_figures,
        {"labels": [student.label for student in drawn.values()]},
        {"student_folders": tuple(students[name] for name in drawn)},
        config.environment,
    )
    video = _video(config, students)
    page = Stage(
        PAGE,
        write_page,
        {"config": config.record()},
        {"report_folder": report, "figures_folder": figures, "video_folder": video},
        paths={"command": config.command},
    )
    return [figures, video, page]


def _video(config: ExperimentConfig, students: Mapping[str, Stage]) -> Stage:
    full, small = config.sizes[0], small_size(config.sizes)
    leader = next(name for name, student in config.students.items() if student.kind == "integral")
    shown: list[tuple[str, str | None, int]] = [(leader, None, full)]
    if small is not None:
        shown.append((leader, None, small))
        for name, student in config.students.items():
            method = next((m for m in SHOWN_METHODS if m in student.resize), None)
            if student.kind == "plain" and method is not None:
                shown.append((name, method, small))
                break
    return Stage(
        "video",
        record_agents,
        {
            "agents": [
                {"label": f"{_label(config, name, method)}, N = {size}", "method": method, "size": size}
                for name, method, size in shown
            ],
            "seed": config.seeds[0],
            "packages": list(config.environment.packages),
        },
        {"student_folders": tuple(students[name] for name, _, _ in shown)},
        config.environment,
    )


def _label(config: ExperimentConfig, name: str, method: str | None) -> str:
    label = config.students[name].label
    return label if method is None else f"{label}, {method.replace('-', ' ')}"
