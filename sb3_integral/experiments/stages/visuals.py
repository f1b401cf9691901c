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
    """Return the stages that show an experiment, by its report and the first seed's students."""
    drawn = {n: own.label for n, own in config.students.items() if own.kind != "scratch"}
    figures = Stage(
        "figures",
        draw_figures,
        {"labels": [*drawn.values()]},
        {"student_folders": tuple(students[name] for name in drawn)},
        config.environment,
    )
    shown = _shown(config)
    agents = [
        {"label": f"{label}, N = {size}", "method": method, "size": size}
        for _, label, method, size in shown
    ]
    video = Stage(
        "video",
        record_agents,
        {"agents": agents, "seed": config.seeds[0], "packages": list(config.environment.packages)},
        {"student_folders": tuple(students[name] for name, *_ in shown)},
        config.environment,
    )
    page = Stage(
        PAGE,
        write_page,
        {"config": config.record()},
        {"report_folder": report, "figures_folder": figures, "video_folder": video},
        paths={"command": config.command},
    )
    return [figures, video, page]


def _shown(config: ExperimentConfig) -> list[tuple[str, str, str | None, int]]:
    """Return name, label, resize method and size of the agents of the video."""
    full, small = config.sizes[0], small_size(config.sizes)
    columns = [
        (name, label, method)
        for name, student in config.students.items()
        for _, label, method in student.columns(name)
        if student.kind != "scratch"
    ]
    leader = next(own for own in columns if own[2] is None)
    if small is None:
        return [(*leader, full)]
    resized = (own for method in SHOWN_METHODS for own in columns if own[2] == method)
    return [(*leader, full), (*leader, small), *((*own, small) for own in list(resized)[:1])]
