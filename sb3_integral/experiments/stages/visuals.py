"""The stages that show an experiment to people: figures, video, what moves, and the page."""

from __future__ import annotations

from collections.abc import Mapping

from sb3_integral.experiments.config.schema import ExperimentConfig
from sb3_integral.experiments.config.students import INITIALISATION
from sb3_integral.experiments.engine.stage import Stage
from sb3_integral.experiments.report.moving import MOVING_ENVIRONMENTS, write_moving_page
from sb3_integral.experiments.report.page import PAGE, small_size, write_page
from sb3_integral.experiments.report.video import record_agents
from sb3_integral.experiments.report.weights import draw_figures

SHOWN_METHODS = ("bicubic-rescaled", "bicubic")
"""How the plain network of the video is resized: the first of these that the experiment has."""


def figures_stage(config: ExperimentConfig, students: Mapping[str, Stage]) -> Stage:
    """Return the stage that draws and measures weights, of the first seed's students.

    They are the plain network, the INN as in the paper, which starts from an initialisation, and the
    leader: of each the first, where there is one.
    """
    students_by_name = config.students.items()
    plain = [name for name, student in students_by_name if student.kind == "plain"]
    papers = [name for name, student in students_by_name if student.start == INITIALISATION]
    integral = [name for name, student in students_by_name if student.kind == "integral"]
    names = [*dict.fromkeys((*plain[:1], *papers[:1], *integral[:1]))]
    return Stage(
        "figures",
        draw_figures,
        {"labels": [config.students[name].label for name in names]},
        {"student_folders": tuple(students[name] for name in names)},
        config.environment,
    )


def visual_stages(
    config: ExperimentConfig, report: Stage, figures: Stage, students: Mapping[str, Stage]
) -> list[Stage]:
    """Return the other stages that show an experiment, by its report and the first seed's students."""
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
    moving = _moving(config, students)
    page = Stage(
        PAGE,
        write_page,
        {"config": config.record()},
        {"report_folder": report, "figures_folder": figures, "video_folder": video, **moving},
        paths={"command": config.command},
    )
    return [video, *moving.values(), page]


def _moving(config: ExperimentConfig, students: Mapping[str, Stage]) -> dict[str, Stage]:
    """Return the stage whose page moves, if that page knows the environment, as what the page needs."""
    firsts = [
        next((name for name, student in config.students.items() if student.kind == kind), None)
        for kind in ("integral", "plain")
    ]
    pair = tuple(students[name] for name in firsts if name is not None)
    environment = config.environment
    is_known = environment.id in MOVING_ENVIRONMENTS and environment.max_episode_steps is None
    if not is_known or len(pair) < 2:
        return {}
    moving = Stage("moving", write_moving_page, {}, {"student_folders": pair}, environment)
    return {"moving_folder": moving}


def _shown(config: ExperimentConfig) -> list[tuple[str, str, str | None, int]]:
    """Return name, label, resize method and size of the agents of the video."""
    full, small = config.sizes[0], small_size(config.sizes)
    columns = [
        (name, label, method)
        for name, student in config.students.items()
        for _, label, method in student.columns(name)
        if student.kind != "scratch"
    ]
    leader = next(column for column in columns if column[2] is None)
    if small is None:
        return [(*leader, full)]
    resized = (column for method in SHOWN_METHODS for column in columns if column[2] == method)
    return [(*leader, full), (*leader, small), *((*column, small) for column in list(resized)[:1])]
