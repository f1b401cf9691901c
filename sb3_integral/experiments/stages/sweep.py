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
from sb3_integral.policies import as_resizable
from sb3_integral.policies.serialization import load_policy
from sb3_integral.resize import RESIZE_METHODS, DataResizeMethod

RESIZE_SAMPLES = 20_000  # observations of the demonstrations that a resize method sees, drawn at random

PACKAGES = ("torch", "numpy", "gymnasium", "stable-baselines3")
"""Packages whose versions decide the return of a student."""

METHOD_PACKAGES = {"prune-group": "torch-pruning", "permuted": "fast-tsp"}
"""Packages whose versions decide the result of some resize methods, by how their names begin."""


def sweep_stage(
    config: ExperimentConfig,
    name: str,
    method: str | None,
    seed: int,
    students: tuple[Stage, ...],
    demonstrations: Stage,
) -> Stage:
    """Declare the stage that evaluates one student, or one for each size, at every size.

    A plain student is resized by the method, which may look at the demonstrations.
    """
    # The first method stands for the plain student itself: scores refer to it at full size.
    is_baseline = method is not None and method != config.students[name].resize[0]
    evaluation = config.evaluation.settings(baseline=is_baseline)
    needs: dict[str, Stage | tuple[Stage, ...]] = {"student_folders": students}
    if method is not None and isinstance(RESIZE_METHODS[method], DataResizeMethod):
        needs["demonstrations_folder"] = demonstrations
    of_method = [
        package for prefix, package in METHOD_PACKAGES.items() if (method or "").startswith(prefix)
    ]
    return Stage(
        f"seed-{seed}/{name}/sweep{'' if method is None else f'-{method}'}",
        sweep_sizes,
        {"method": method, "sizes": list(config.sizes), "evaluation": evaluation, "seed": seed},
        needs,
        demonstrations.environment,
        (*PACKAGES, *of_method),
        amount=len(config.sizes) * evaluation["episodes"],
    )


def sweep_sizes(
    folder: Path,
    report: Report,
    student_folders: Sequence[Path],
    demonstrations_folder: Path | None = None,
    *,
    env_id: str,
    method: str | None,
    sizes: list[int],
    evaluation: dict[str, Any],
    seed: int,
) -> None:
    """Evaluate one student at every size, or one at each.

    A plain student is resized by the method. One that looks at observations needs the demonstrations.
    """
    config = EvaluationConfig.model_validate(evaluation)
    students = [load_policy(path / STUDENT, *spaces_of(env_id)) for path in student_folders]
    seen = None
    if demonstrations_folder is not None:
        rng = np.random.default_rng(derived_seed(seed, "observations for resizing"))
        seen = load_demonstrations(demonstrations_folder / EPISODES).sample(RESIZE_SAMPLES, rng)
    # A network that was trained at one size only is evaluated there, and not resized.
    policies = [as_resizable(student, method or "bicubic", seen) for student in students]
    sizes_of_each = [sizes] if len(policies) == 1 else [[size] for size in sizes]
    done = count(1)
    rows: list[SweepEpisode] = []
    for policy, own_sizes in zip(policies, sizes_of_each, strict=True):
        evaluated = evaluate_resize_sweep(
            policy,
            env_id,
            own_sizes,
            config.episodes,
            deterministic=config.deterministic,
            seed=derived_seed(seed, "evaluation"),
            on_size_end=lambda: report(next(done) / len(sizes)),
        )
        if policy is not policies[0]:
            evaluated = [
                row._replace(compression=policies[0].compression(own_sizes[0])) for row in evaluated
            ]
        rows += evaluated
    pd.DataFrame(rows).to_csv(folder / SWEEP, index=False)
