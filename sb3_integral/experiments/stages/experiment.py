"""The whole job as stages: expert, demonstrations, students, sweeps, report, page."""

from __future__ import annotations

from typing import Literal, NamedTuple

from sb3_integral.experiments.config.schema import ExperimentConfig
from sb3_integral.experiments.engine.stage import Stage
from sb3_integral.experiments.report.tables import Column
from sb3_integral.experiments.report.write import REPORT, write_report
from sb3_integral.experiments.stages.demonstrations import demonstrations_stage
from sb3_integral.experiments.stages.expert import expert_stage
from sb3_integral.experiments.stages.references import references_stage
from sb3_integral.experiments.stages.sweep import sweep_stage
from sb3_integral.experiments.stages.train import student_stage
from sb3_integral.experiments.stages.visuals import visual_stages


class SweptColumn(NamedTuple):
    """Where a column of the table comes from.

    Attributes:
        column: The column.
        student: Name of the student in the configuration.
        method: The resize method of a plain student; None for one that resizes itself.
    """

    column: Column
    student: str
    method: str | None


def build_stages(config: ExperimentConfig) -> list[Stage]:
    """Return an experiment's stages, those that others need first; the last is the page.

    Raises:
        ValueError: If the expert's file of hyperparameters has no entry for the environment.
    """
    expert = expert_stage(config, config.environment)
    references = references_stage(config, expert)
    swept = _swept_columns(config)
    stages = [expert, references]
    first_students: dict[str, Stage] = {}
    sweeps: dict[tuple[str, int], Stage] = {}
    for seed in config.seeds:
        demonstrations = demonstrations_stage(config, seed, expert)
        students = _students(config, seed, demonstrations)
        stages.append(demonstrations)
        for name in sorted(students, key=lambda name: config.students[name].start is not None):
            stages += students[name]
        first_students = first_students or {name: first for name, (first, *_) in students.items()}
        for source in swept:
            sweeps[source.column.name, seed] = sweep_stage(
                config, source.student, source.method, seed, students[source.student], demonstrations
            )
    stages += sweeps.values()
    order = [sweeps[source.column.name, seed] for source in swept for seed in config.seeds]
    report = Stage(
        REPORT,
        write_report,
        {
            "config": config.record(),
            "hyperparams": expert.inputs.get("hyperparams"),
            "columns": [source.column._asdict() for source in swept],
        },
        {"references_folder": references, "sweep_folders": tuple(order)},
        packages=("numpy", "scipy", "pandas"),
    )
    return [*stages, report, *visual_stages(config, report, first_students)]


def table_columns(config: ExperimentConfig) -> list[Column]:
    """Return the columns of the table: a student each, or a student and how it is resized."""
    return [source.column for source in _swept_columns(config)]


def _swept_columns(config: ExperimentConfig) -> list[SweptColumn]:
    swept = []
    for name, student in config.students.items():
        for column, label, method in student.columns(name):
            kind: Literal["student", "baseline"] = "student" if method is None else "baseline"
            swept.append(SweptColumn(Column(column, label, kind), name, method))
    # The first integral student leads: every other column is compared with it.
    leader = next(source for source in swept if config.students[source.student].kind == "integral")
    return [leader, *(source for source in swept if source is not leader)]


def _students(
    config: ExperimentConfig, seed: int, demonstrations: Stage
) -> dict[str, tuple[Stage, ...]]:
    """Return the stages that train each student: one, or one for each size."""
    return {
        name: tuple(
            student_stage(config, name, seed, demonstrations, size)
            for size in (config.sizes if student.kind == "scratch" else [None])
        )
        for name, student in config.students.items()
    }
