"""The stages that test every network again: in perturbed environments, and with rounded weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sb3_integral.experiments.config.schema import ExperimentConfig
from sb3_integral.experiments.engine.stage import Stage
from sb3_integral.experiments.report.conditions import CONDITIONS, NONE, write_conditions
from sb3_integral.experiments.stages.sweep import Swept, sweep_stage


def conditions_stages(
    config: ExperimentConfig,
    columns: Sequence[Mapping[str, str]],
    swept: Sequence[Swept],
    references: Stage,
    students: Mapping[tuple[str, int], tuple[Stage, ...]],
    demonstrations: Mapping[int, Stage],
    sweeps: Mapping[tuple[str, int], Stage],
) -> list[Stage]:
    """Declare the sweeps under each condition, and their table; nothing without conditions.

    Args:
        config: Of the experiment.
        columns: What tables say of each column.
        swept: The columns in the same order.
        references: The stage of the references.
        students: The stages of a student, or of its networks of one size each, by its name and the seed.
        demonstrations: By seed.
        sweeps: Those under no condition, by column and seed.
    """
    conditions = config.evaluation.conditions
    if not conditions:
        return []
    again = [
        sweep_stage(config, name, method, seed, students[name, seed], demonstrations[seed], condition)
        for condition in conditions
        for name, _, _, method in swept
        for seed in config.seeds
    ]
    before = [sweeps[column, seed] for _, column, *_ in swept for seed in config.seeds]
    table = Stage(
        CONDITIONS,
        write_conditions,
        {
            "seeds": list(config.seeds),
            "columns": list(columns),
            "conditions": [NONE, *(condition.name for condition in conditions)],
        },
        {"references_folder": references, "sweep_folders": (*before, *again)},
        packages=("numpy", "scipy", "pandas"),
    )
    return [*again, table]
