"""The stages of the environments that students learn after the first, one after another.

They are those of one environment, in a folder of their own: ``then-1/expert``,
``then-1/seed-0/inn/student``. A student goes on from what it was after the environment before, and is
then evaluated in every environment so far: ``then-1/seed-0/inn/sweep-0`` is in the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sb3_integral.experiments.config.schema import ExperimentConfig
from sb3_integral.experiments.engine.stage import Stage
from sb3_integral.experiments.stages.demonstrations import demonstrations_stage
from sb3_integral.experiments.stages.expert import expert_stage
from sb3_integral.experiments.stages.references import references_stage
from sb3_integral.experiments.stages.sweep import Swept, sweep_stage
from sb3_integral.experiments.stages.train import student_stage

Students = Mapping[tuple[str, int], tuple[Stage, ...]]
"""The stages of a student, or of its networks of one size each, by its name and the seed."""


@dataclass(frozen=True)
class LaterTasks:
    """What the environments after the first add to an experiment.

    Attributes:
        stages: To be made, those that others need first.
        inputs: Of the report, in addition.
        needs: Of the report, in addition: the references of each task, the first included, and a sweep
            for each column, seed, learned task and task until then.
    """

    stages: tuple[Stage, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    needs: Mapping[str, tuple[Stage, ...]] = field(default_factory=dict)


def later_tasks(
    config: ExperimentConfig,
    references: Stage,
    students: Students,
    sweeps: Mapping[tuple[str, int], Stage],
    columns: Sequence[Swept],
) -> LaterTasks:
    """Declare the stages of all environments after the first; there are none if there is only one.

    Args:
        config: Of the experiment.
        references: The stage of the first environment.
        students: The stages of the first environment.
        sweeps: The stages of the first environment, by column and seed.
        columns: In the table's order. The first of a student is the one that is looked at here.

    Raises:
        ValueError: If the expert's file of hyperparameters has no entry for an environment.
    """
    if not config.then:
        return LaterTasks()
    firsts: dict[str, Swept] = {}
    for column in columns:
        firsts.setdefault(column[0], column)
    tasks = config.tasks()
    stages: list[Stage] = []
    all_references = [references]
    found = {(name, seed, 0, 0): sweeps[firsts[name][1], seed] for name, seed in students}
    for learned, task in enumerate(tasks[1:], start=1):
        expert = _placed(expert_stage(task), learned)
        all_references.append(_placed(references_stage(task, expert), learned))
        stages += [expert, all_references[-1]]
        for seed in config.seeds:
            demonstrations = _placed(demonstrations_stage(task, seed, expert), learned)
            stages.append(demonstrations)
            following = _students(task, learned, seed, demonstrations, students)
            students = {**students, **following}
            stages += [stage for several in following.values() for stage in several]
            for name, *_, method in firsts.values():
                sweep = sweep_stage(task, name, method, seed, students[name, seed], demonstrations)
                for number, other in enumerate(tasks[: learned + 1]):
                    place = f"then-{learned}/seed-{seed}/{name}/sweep-{number}"
                    of_task = replace(sweep, name=place, environment=other.environment)
                    found[name, seed, learned, number] = of_task
                    stages.append(of_task)
    of_report = tuple(
        found[name, seed, learned, number]
        for name in firsts
        for seed in config.seeds
        for learned in range(len(tasks))
        for number in range(learned + 1)
    )
    return LaterTasks(
        tuple(stages),
        {"tasks": [task.environment.id for task in tasks], "learners": _learners(firsts.values())},
        {"task_references": tuple(all_references), "task_sweeps": of_report},
    )


def _learners(columns: Iterable[Swept]) -> list[dict[str, str]]:
    """Return the fields of the columns in tables of the report."""
    return [
        {"name": column, "label": label, "kind": "student" if method is None else "baseline"}
        for _, column, label, method in columns
    ]


def _students(
    task: ExperimentConfig, learned: int, seed: int, demonstrations: Stage, students: Students
) -> dict[tuple[str, int], tuple[Stage, ...]]:
    """Return the stages of one seed's students, each of which goes on from the one before."""
    following = {}
    for name, student in task.students.items():
        sizes = task.sizes if student.kind == "scratch" else [None]
        # What it began with is in it already.
        config = {**task.students, name: student.model_copy(update={"start": None})}
        going_on = task.model_copy(update={"students": config})
        stages = []
        for size, previous in zip(sizes, students[name, seed], strict=True):
            stage = student_stage(going_on, name, seed, demonstrations, size)
            needs = {**stage.needs, "previous_folder": previous}
            stages.append(_placed(replace(stage, needs=needs), learned))
        following[name, seed] = tuple(stages)
    return following


def _placed(stage: Stage, learned: int) -> Stage:
    """Return a stage in the folder of an environment after the first."""
    return replace(stage, name=f"then-{learned}/{stage.name}")
