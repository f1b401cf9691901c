"""The whole job as stages: expert, demonstrations, students, sweeps, report, page."""

from __future__ import annotations

from dataclasses import asdict

from sb3_integral.experiments.config import ExperimentConfig, StudentConfig
from sb3_integral.experiments.expert import expert_hyperparams, train_expert
from sb3_integral.experiments.presentation import presentation_stages
from sb3_integral.experiments.report import REPORT, Column, write_report
from sb3_integral.experiments.stage import Stage
from sb3_integral.experiments.steps import (
    collect_demonstrations,
    evaluate_references,
    sweep_student,
    train_student,
)


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
    columns = table_columns(config)
    stages = [expert, references]
    first_students: dict[str, Stage] = {}
    sweeps: dict[tuple[str, int], Stage] = {}
    for seed in config.seeds:
        demonstrations = _demonstrations(config, seed, expert)
        stages.append(demonstrations)
        students = {
            name: _student(config, name, student, seed, demonstrations)
            for name, student in config.students.items()
        }
        stages += students.values()
        first_students = first_students or students
        for column in columns:
            sweeps[column.name, seed] = _sweep(config, column, seed, students[column.student])
    stages += sweeps.values()
    order = [sweeps[column.name, seed] for column in columns for seed in config.seeds]
    report = Stage(
        REPORT,
        write_report,
        {
            "config": config.model_dump(mode="json", exclude={"expert": {"hyperparams"}}),
            "hyperparams": expert.inputs["hyperparams"],
            "columns": [column._asdict() for column in columns],
        },
        (references, *order),
    )
    return [*stages, report, *presentation_stages(config, report, first_students)]


def table_columns(config: ExperimentConfig) -> list[Column]:
    """Return the columns of the table: a student each, or a student and how it is resized."""
    columns = []
    for name, student in config.students.items():
        if student.kind == "integral":
            columns.append(Column(name, student.label, name, None))
        for method in student.resize:
            columns.append(
                Column(
                    f"{name}_{method.replace('-', '_')}",
                    f"{student.label}, {method.replace('-', ' ')}",
                    name,
                    method,
                )
            )
    # The first integral student leads: every other column is compared with it.
    leader = next(column for column in columns if column.method is None)
    return [leader, *(column for column in columns if column is not leader)]


def _expert(config: ExperimentConfig) -> Stage:
    return Stage(
        "expert",
        train_expert,
        {
            "env_id": config.env,
            "algo": config.expert.algo,
            "hyperparams": expert_hyperparams(config.expert.hyperparams, config.env),
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
    config: ExperimentConfig,
    name: str,
    student: StudentConfig,
    seed: int,
    demonstrations: Stage,
) -> Stage:
    sizes = student.random_sizes
    return Stage(
        f"seed-{seed}/{name}/student",
        train_student,
        {
            "env_id": config.env,
            "architecture": asdict(student.architecture()),
            "random_sizes": None if sizes is None else sizes.model_dump(mode="json"),
            "cloning": config.cloning.model_dump(mode="json"),
            "seed": seed,
        },
        (demonstrations,),
    )


def _sweep(config: ExperimentConfig, column: Column, seed: int, student: Stage) -> Stage:
    return Stage(
        f"seed-{seed}/{column.student}/sweep{'' if column.method is None else f'-{column.method}'}",
        sweep_student,
        {
            "env_id": config.env,
            "method": column.method,
            "sizes": list(config.sizes),
            "evaluation": config.evaluation.model_dump(mode="json"),
            "seed": seed,
        },
        (student,),
    )
