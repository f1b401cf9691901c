"""The stages that evaluate students at every size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sb3_integral.evaluation import EnvFactory, evaluate_resize_sweep
from sb3_integral.evaluation.environments import env_factory
from sb3_integral.evaluation.perturbations import PerturbedFactory
from sb3_integral.experiments.config.conditions import Condition
from sb3_integral.experiments.config.schema import EvaluationConfig, ExperimentConfig
from sb3_integral.experiments.engine.stage import Report, Stage
from sb3_integral.experiments.files import EPISODES, STUDENT, SWEEP
from sb3_integral.experiments.stages.seeds import derived_seed
from sb3_integral.experiments.stages.spaces import spaces_of
from sb3_integral.imitation import Demonstrations, load_demonstrations
from sb3_integral.imitation.observations import as_arrays
from sb3_integral.policies import Resizable, as_resizable
from sb3_integral.policies.quantization import actor_bytes, quantized
from sb3_integral.policies.serialization import load_policy
from sb3_integral.policies.weight_format import WeightFormat
from sb3_integral.resize import RESIZE_METHODS, DataResizeMethod

Swept = tuple[str, str, str, str | None]
"""A column of the table: the student's name, the column's name and label, and the resize method."""

RESIZE_SAMPLES = 20_000  # observations of the demonstrations that a resize method sees, drawn at random

NOISE = "observation_noise"  # the one perturbation that is measured in deviations of observations

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
    condition: Condition | None = None,
) -> Stage:
    """Declare the stage that evaluates one student, or one for each size, at every size.

    A plain student is resized by the method, which may look at the demonstrations. Under a condition,
    the environment is perturbed, or the weights are whole numbers.
    """
    # The first method stands for the plain student itself: scores refer to it at full size.
    is_baseline = method is not None and method != config.students[name].resize[0]
    evaluation = config.evaluation.settings(baseline=is_baseline)
    needs: dict[str, Stage | tuple[Stage, ...]] = {"student_folders": students}
    inputs: dict[str, Any] = {
        "method": method,
        "sizes": list(config.sizes),
        "evaluation": evaluation,
        "seed": seed,
    }
    if condition is not None:
        inputs["condition"] = condition.condition()
    looks_at_data = method is not None and isinstance(RESIZE_METHODS[method], DataResizeMethod)
    if looks_at_data or NOISE in inputs.get("condition", {}):
        needs["demonstrations_folder"] = demonstrations
    of_method = [
        package for prefix, package in METHOD_PACKAGES.items() if (method or "").startswith(prefix)
    ]
    parts = ("sweep", method, None if condition is None else condition.name)
    return Stage(
        f"seed-{seed}/{name}/{'-'.join(filter(None, parts))}",
        sweep_sizes,
        inputs,
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
    condition: dict[str, Any] | None = None,
) -> None:
    """Evaluate one student at every size, or one at each.

    A plain student is resized by the method. A method that looks at observations, and noise, which is
    measured in their deviations, need the demonstrations. ``condition`` has the fields of a
    :class:`PerturbationConfig` or a :class:`WeightFormatConfig`.
    """
    config = EvaluationConfig.model_validate(evaluation)
    students = [load_policy(path / STUDENT, *spaces_of(env_id)) for path in student_folders]
    demonstrations = None
    if demonstrations_folder is not None:
        demonstrations = load_demonstrations(demonstrations_folder / EPISODES)
    seen = None
    if demonstrations is not None and method is not None:
        rng = np.random.default_rng(derived_seed(seed, "observations for resizing"))
        seen = demonstrations.sample(RESIZE_SAMPLES, rng)
    policies = [as_resizable(student, method or "bicubic", seen) for student in students]
    weights, env = _weights(condition), _environment(env_id, condition, demonstrations)
    done = count(1)
    rows: list[dict[str, Any]] = []
    for policy, own_sizes, n_bytes in _at_sizes(policies, sizes, weights):
        evaluated = evaluate_resize_sweep(
            policy,
            env,
            own_sizes,
            config.episodes,
            deterministic=config.deterministic,
            seed=derived_seed(seed, "evaluation"),
            on_size_end=lambda: report(next(done) / len(sizes)),
        )
        rows += [row._asdict() for row in evaluated]
        if len(own_sizes) == 1:
            of_size = {"compression": policies[0].compression(own_sizes[0]), **n_bytes}
            rows[-len(evaluated) :] = [row | of_size for row in rows[-len(evaluated) :]]
    pd.DataFrame(rows).to_csv(folder / SWEEP, index=False)


def _at_sizes(
    policies: Sequence[Resizable], sizes: Sequence[int], weights: WeightFormat | None
) -> Iterator[tuple[Resizable, list[int], dict[str, int]]]:
    """Yield the policies to evaluate, with their sizes, and their bytes if weights have a format."""
    if len(policies) == 1 and weights is None:
        yield policies[0], list(sizes), {}
        return
    # A network that was trained at one size only is evaluated there, and not resized.
    of_sizes = policies if len(policies) > 1 else [policies[0]] * len(sizes)
    for policy, size in zip(of_sizes, sizes, strict=True):
        if weights is None:
            yield policy, [size], {}
            continue
        n_bytes = {
            "bytes": actor_bytes(policy, weights, size),
            "float32_bytes": actor_bytes(policy, size=size),
        }
        yield as_resizable(quantized(policy, weights, size), "bicubic"), [size], n_bytes


def _weights(condition: dict[str, Any] | None) -> WeightFormat | None:
    """Return the format of weights, if the condition is one."""
    if condition is None or "bits" not in condition:
        return None
    return WeightFormat(**condition)


def _environment(
    env_id: str, condition: dict[str, Any] | None, demonstrations: Demonstrations | None
) -> str | EnvFactory:
    """Return what makes the environment, perturbed if the condition is a perturbation."""
    if condition is None or "bits" in condition:
        return env_id
    ((name, value),) = condition.items()
    scale: Any = 1.0
    if name == NOISE:
        assert demonstrations is not None
        observations = as_arrays(demonstrations.observations)
        # Where observations are not an array, the wrapper says so.
        scale = 1.0 if isinstance(observations, dict) else np.std(observations, axis=0)
    return PerturbedFactory(env_factory(env_id), name, value, scale)
