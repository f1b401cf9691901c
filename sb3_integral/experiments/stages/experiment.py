"""The whole experiment as stages: expert, demonstrations, students, sweeps, report, page."""

from __future__ import annotations

from sb3_integral.experiments.config.schema import ExperimentConfig
from sb3_integral.experiments.engine.stage import Stage
from sb3_integral.experiments.report.write import REPORT, write_report
from sb3_integral.experiments.stages.conditions import conditions_stages
from sb3_integral.experiments.stages.demonstrations import demonstrations_stage
from sb3_integral.experiments.stages.expert import expert_stage
from sb3_integral.experiments.stages.later_tasks import later_tasks
from sb3_integral.experiments.stages.references import references_stage
from sb3_integral.experiments.stages.sweep import sweep_stage
from sb3_integral.experiments.stages.train import student_stage
from sb3_integral.experiments.stages.visuals import figures_stage, visual_stages


def build_stages(config: ExperimentConfig) -> list[Stage]:
    """Return an experiment's stages, those that others need first; the last is the page.

    Raises:
        ValueError: If the expert's file of hyperparameters has no entry for an environment.
    """
    expert = expert_stage(config)
    references = references_stage(config, expert)
    swept = [
        (name, *column) for name, student in config.students.items() for column in student.columns(name)
    ]
    # The first integral student leads: every other column is compared with it.
    leader = next(name for name, student in config.students.items() if student.kind == "integral")
    swept.sort(key=lambda entry: entry[0] != leader)
    stages = [expert, references]
    students: dict[tuple[str, int], tuple[Stage, ...]] = {}
    sweeps: dict[tuple[str, int], Stage] = {}
    demonstrations: dict[int, Stage] = {}
    for seed in config.seeds:
        demonstrations[seed] = demonstrations_stage(config, seed, expert)
        stages.append(demonstrations[seed])
        # A student that starts from another one is made after it.
        for name in sorted(config.students, key=lambda name: config.students[name].start is not None):
            sizes = config.sizes if config.students[name].kind == "scratch" else [None]
            students[name, seed] = tuple(
                student_stage(config, name, seed, demonstrations[seed], size) for size in sizes
            )
            stages += students[name, seed]
        for name, column, _, method in swept:
            sweeps[column, seed] = sweep_stage(
                config, name, method, seed, students[name, seed], demonstrations[seed]
            )
    of_report = tuple(sweeps[column, seed] for _, column, *_ in swept for seed in config.seeds)
    kinds = ["student" if method is None else "baseline" for *_, method in swept]
    columns = [
        {"name": column, "label": label, "kind": kind}
        for (_, column, label, _), kind in zip(swept, kinds, strict=True)
    ]
    later = later_tasks(config, references, students, sweeps, swept)
    first_students = {name: students[name, config.seeds[0]][0] for name in config.students}
    figures = figures_stage(config, first_students)
    hyperparams = expert.inputs.get("hyperparams")
    report = Stage(
        REPORT,
        write_report,
        {"config": config.record(), "hyperparams": hyperparams, "columns": columns, **later.inputs},
        {
            "references_folder": references,
            "sweep_folders": of_report,
            "figures_folder": figures,
            **later.needs,
        },
        packages=("numpy", "scipy", "pandas"),
    )
    shown = visual_stages(config, report, figures, first_students)
    conditions = conditions_stages(config, columns, swept, references, students, demonstrations, sweeps)
    return [*stages, *of_report, *conditions, *later.stages, figures, report, *shown]
