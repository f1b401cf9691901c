"""The whole job as stages: expert, demonstrations, students, sweeps, report, page."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal, NamedTuple

from sb3_integral.experiments.config.schema import ExperimentConfig
from sb3_integral.experiments.engine.stage import Stage
from sb3_integral.experiments.report.tables import Column
from sb3_integral.experiments.report.write import REPORT, write_report
from sb3_integral.experiments.stages.demonstrations import collect_demonstrations
from sb3_integral.experiments.stages.expert import (
    expert_hyperparams,
    saved_expert,
    take_expert,
    train_expert,
)
from sb3_integral.experiments.stages.references import evaluate_references
from sb3_integral.experiments.stages.sweep import sweep_scratch, sweep_student
from sb3_integral.experiments.stages.train import train_student
from sb3_integral.experiments.stages.visuals import visual_stages
from sb3_integral.resize import RESIZE_METHODS, DataResizeMethod


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
    expert = _expert(config)
    references = Stage(
        "references",
        evaluate_references,
        {
            "env_id": config.env,
            "algo": config.expert.algo,
            "episodes": config.expert.n_eval_episodes,
            "n_envs": config.evaluation.n_envs,
            "seed": config.expert.seed,
        },
        (expert,),
    )
    swept = _swept_columns(config)
    stages = [expert, references]
    first_students: dict[str, Stage] = {}
    sweeps: dict[tuple[str, int], Stage] = {}
    for seed in config.seeds:
        demonstrations = _demonstrations(config, seed, expert)
        stages.append(demonstrations)
        students = {
            name: [
                _student(config, name, seed, demonstrations, size)
                for size in (config.sizes if student.kind == "scratch" else [None])
            ]
            for name, student in config.students.items()
        }
        for name in sorted(students, key=lambda name: config.students[name].start is not None):
            stages += students[name]
        first_students = first_students or {name: first for name, (first, *_) in students.items()}
        for source in swept:
            sweeps[source.column.name, seed] = _sweep(
                config, source, seed, students[source.student], demonstrations
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
        (references, *order),
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


def _expert(config: ExperimentConfig) -> Stage:
    own = config.expert
    if own.model is not None:
        saved = saved_expert(own.model, own.vecnormalize)
        return Stage("expert", take_expert, {"env_id": config.env, "algo": own.algo, **saved})
    return Stage(
        "expert",
        train_expert,
        {
            "env_id": config.env,
            "algo": config.expert.algo,
            "hyperparams": expert_hyperparams(own.hyperparams, config.env),
            "seed": config.expert.seed,
            "n_timesteps": config.expert.n_timesteps,
        },
    )


def _demonstrations(config: ExperimentConfig, seed: int, expert: Stage) -> Stage:
    return Stage(
        f"seed-{seed}/demonstrations",
        collect_demonstrations,
        {
            "env_id": config.env,
            "algo": config.expert.algo,
            "demonstrations": config.demonstrations.model_dump(mode="json"),
            "seed": seed,
        },
        (expert,),
    )


def _student(
    config: ExperimentConfig, name: str, seed: int, demonstrations: Stage, size: int | None
) -> Stage:
    student = config.students[name]
    sizes, cloning = student.random_sizes, config.cloning_of(student)
    # What a student has not is not among its inputs: one that was made before it could have it stays.
    inputs: dict[str, Any] = {
        "env_id": config.env,
        "architecture": asdict(student.architecture(size)),
        "random_sizes": None if sizes is None else sizes.model_dump(mode="json", exclude_none=True),
        "cloning": cloning.model_dump(mode="json"),
        "seed": seed,
    }
    needs = [demonstrations]
    if student.smoothness is not None:
        inputs["smoothness"] = student.smoothness.model_dump(mode="json")
    if cloning.loss == "distribution":
        inputs["expert"] = config.expert.algo
        needs += demonstrations.needs
    if student.start is not None:
        needs.append(_student(config, student.start, seed, demonstrations, None))
    folder = "student" if size is None else str(size)
    return Stage(f"seed-{seed}/{name}/{folder}", train_student, inputs, tuple(needs))


def _sweep(
    config: ExperimentConfig,
    source: SweptColumn,
    seed: int,
    students: list[Stage],
    demonstrations: Stage,
) -> Stage:
    method = source.method
    # The first method stands for the plain student itself: scores refer to it at full size.
    first = config.students[source.student].resize[:1]
    inputs = {
        "env_id": config.env,
        "sizes": list(config.sizes),
        "evaluation": config.evaluation.of(baseline=method is not None and (method,) != first),
        "seed": seed,
    }
    if config.students[source.student].kind == "scratch":
        return Stage(f"seed-{seed}/{source.student}/sweep", sweep_scratch, inputs, tuple(students))
    looks_at_data = method is not None and isinstance(RESIZE_METHODS[method], DataResizeMethod)
    return Stage(
        f"seed-{seed}/{source.student}/sweep{'' if method is None else f'-{method}'}",
        sweep_student,
        {**inputs, "method": method},
        (*students, demonstrations) if looks_at_data else tuple(students),
    )
