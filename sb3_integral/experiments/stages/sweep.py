"""The stages that evaluate students at every size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sb3_integral.evaluation import SweepEpisode, evaluate_resize_sweep
from sb3_integral.experiments.config.schema import EvaluationConfig, ExperimentConfig
from sb3_integral.experiments.engine.stage import Report, Stage
from sb3_integral.experiments.files import EPISODES, STUDENT, SWEEP
from sb3_integral.experiments.stages.seeds import derived_seed
from sb3_integral.experiments.stages.spaces import spaces_of
from sb3_integral.imitation import load_demonstrations
from sb3_integral.policies import ResizablePolicy, as_resizable
from sb3_integral.policies.serialization import load_policy
from sb3_integral.resize import RESIZE_METHODS, DataResizeMethod

RESIZE_SAMPLES = 20_000
"""Observations of the demonstrations that a resize method sees, drawn at random."""

PACKAGES = ("torch", "numpy", "gymnasium", "stable-baselines3")
"""What decides the return of a student."""

METHOD_PACKAGES = {"prune-group": "torch-pruning", "permuted": "fast-tsp"}
"""What decides the result of some resize methods, by how their names begin."""


def sweep_stage(
    config: ExperimentConfig,
    name: str,
    method: str | None,
    seed: int,
    students: tuple[Stage, ...],
    demonstrations: Stage,
) -> Stage:
    """Declare the stage that evaluates a student at every size.

    Args:
        config: The experiment.
        name: The student's.
        method: How a plain student is resized; None for others.
        seed: Of the run.
        students: The student; one for each size if it is trained from scratch at each.
        demonstrations: What the student was trained on.
    """
    student = config.students[name]
    # The first method stands for the plain student itself: scores refer to it at full size.
    is_baseline = method is not None and method != student.resize[0]
    evaluation = config.evaluation.of(baseline=is_baseline)
    inputs = {"sizes": list(config.sizes), "evaluation": evaluation, "seed": seed}
    needs: dict[str, Stage | tuple[Stage, ...]] = {"student_folders": students}
    if student.kind != "scratch":
        inputs["method"] = method
        needs = {"student_folder": students[0]}
    if method is not None and isinstance(RESIZE_METHODS[method], DataResizeMethod):
        needs["demonstrations_folder"] = demonstrations
    of_method = [own for prefix, own in METHOD_PACKAGES.items() if (method or "").startswith(prefix)]
    return Stage(
        f"seed-{seed}/{name}/sweep{'' if method is None else f'-{method}'}",
        sweep_scratch if student.kind == "scratch" else sweep_student,
        inputs,
        needs,
        demonstrations.environment,
        (*PACKAGES, *of_method),
        amount=len(config.sizes) * evaluation["episodes"],
    )


def sweep_scratch(
    folder: Path,
    report: Report,
    student_folders: Sequence[Path],
    *,
    env_id: str,
    sizes: list[int],
    evaluation: dict[str, Any],
    seed: int,
) -> None:
    """Evaluate networks that were trained at one size each, every one at its own.

    Args:
        folder: Where to write.
        report: Is told of progress.
        student_folders: A student for each size, the full size first.
        env_id: The environment.
        sizes: The sizes.
        evaluation: An :class:`EvaluationConfig`.
        seed: Of the run.
    """
    config = EvaluationConfig.model_validate(evaluation)
    students = [load_policy(path / STUDENT, *spaces_of(env_id)) for path in student_folders]
    full = ResizablePolicy(students[0])
    rows: list[SweepEpisode] = []
    for size, student in zip(sizes, students, strict=True):
        episodes = evaluate_resize_sweep(
            ResizablePolicy(student),
            env_id,
            [size],
            config.episodes,
            deterministic=config.deterministic,
            seed=derived_seed(seed, "evaluation"),
        )
        rows += [row._replace(compression=full.compression(size)) for row in episodes]
        report(len(rows) / (len(sizes) * config.episodes))
    pd.DataFrame(rows).to_csv(folder / SWEEP, index=False)


def sweep_student(
    folder: Path,
    report: Report,
    student_folder: Path,
    demonstrations_folder: Path | None = None,
    *,
    env_id: str,
    method: str | None,
    sizes: list[int],
    evaluation: dict[str, Any],
    seed: int,
) -> None:
    """Evaluate one student at every size; a plain one resized by ``method``.

    A method that looks at observations needs the demonstrations.
    """
    config = EvaluationConfig.model_validate(evaluation)
    student = load_policy(student_folder / STUDENT, *spaces_of(env_id))
    seen = None
    if demonstrations_folder is not None:
        rng = np.random.default_rng(derived_seed(seed, "observations for resizing"))
        seen = load_demonstrations(demonstrations_folder / EPISODES).sample(RESIZE_SAMPLES, rng)
    policy = as_resizable(student, method, seen)
    done = count(1)
    rows = evaluate_resize_sweep(
        policy,
        env_id,
        sizes,
        config.episodes,
        deterministic=config.deterministic,
        seed=derived_seed(seed, "evaluation"),
        on_size_end=lambda: report(next(done) / len(sizes)),
    )
    pd.DataFrame(rows).to_csv(folder / SWEEP, index=False)
