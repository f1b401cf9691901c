"""The stage that clones the expert into a student."""

from __future__ import annotations

from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any, cast

from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_integral.experiments.config.schema import ExperimentConfig
from sb3_integral.experiments.config.students import (
    INITIALISATION,
    CloningSection,
    RandomSizesConfig,
    SmoothnessConfig,
)
from sb3_integral.experiments.engine.stage import Report, Stage
from sb3_integral.experiments.files import EPISODES, STUDENT
from sb3_integral.experiments.stages.expert import load_expert
from sb3_integral.experiments.stages.seeds import derived_seed
from sb3_integral.experiments.stages.spaces import Spaces, spaces_of
from sb3_integral.imitation import CloningConfig, FullSize, StudentArchitecture, load_demonstrations
from sb3_integral.imitation.cloning import train
from sb3_integral.policies import IntegralActorCriticPolicy, WeightFormat, init_from
from sb3_integral.policies.serialization import load_policy, save_policy

PACKAGES = ("torch", "numpy", "stable-baselines3", "imitation")
"""Packages whose versions decide how a student is trained."""


def student_stage(
    config: ExperimentConfig, name: str, seed: int, demonstrations: Stage, size: int | None = None
) -> Stage:
    """Declare the stage that trains a student, or a network of one size in its place."""
    student = config.students[name]
    sizes, cloning = student.random_sizes, config.training_of(student)
    # What a student does not have is not among its inputs, so a new ingredient changes no other student.
    inputs: dict[str, Any] = {
        "architecture": asdict(student.architecture(size)),
        "random_sizes": None if sizes is None else sizes.model_dump(mode="json", exclude_none=True),
        "cloning": cloning,
        "seed": seed,
    }
    needs: dict[str, Stage | tuple[Stage, ...]] = {"demonstrations_folder": demonstrations}
    packages = list(PACKAGES)
    if student.smoothness is not None:
        inputs["smoothness"] = student.smoothness.model_dump(mode="json")
    if student.weights is not None:
        inputs["weights"] = student.weights.model_dump(mode="json")
    if cloning["loss"] == "distribution":
        inputs["expert"] = config.expert.algo
        needs["expert_folder"] = demonstrations.needs["expert_folder"]
        packages.append("sb3-contrib")
    if student.start == INITIALISATION:
        inputs["start"] = INITIALISATION
    elif student.start is not None:
        needs["start_folder"] = student_stage(config, student.start, seed, demonstrations)
    if student.start is not None:
        packages.append("fast-tsp")
    return Stage(
        f"seed-{seed}/{name}/{'student' if size is None else size}",
        train_student,
        inputs,
        needs,
        demonstrations.environment,
        tuple(packages),
        amount=cloning["epochs"] * demonstrations.amount,
    )


def train_student(
    folder: Path,
    report: Report,
    demonstrations_folder: Path,
    *,
    env_id: str,
    architecture: dict[str, Any],
    random_sizes: dict[str, Any] | None,
    cloning: dict[str, Any],
    seed: int,
    smoothness: dict[str, Any] | None = None,
    weights: dict[str, Any] | None = None,
    expert: str | None = None,
    expert_folder: Path | None = None,
    start: str | None = None,
    start_folder: Path | None = None,
    previous_folder: Path | None = None,
) -> None:
    """Clone the expert into one student.

    The mappings are fields of :class:`StudentArchitecture`, :class:`RandomSizesConfig`,
    :class:`CloningSection`, :class:`SmoothnessConfig` and :class:`WeightFormat`. The expert's algorithm
    and folder are given if its distribution is cloned. ``start_folder`` is given if the student begins
    with the weights of a trained plain one, and ``start`` if it begins with those of an untrained one.

    ``previous_folder`` is given if the student goes on from what it learned in another environment. Its
    observations stay standardised by the statistics of the first: with others, all that it learned would
    be another function.
    """
    training = CloningSection.model_validate(cloning).filled_in()
    n_epochs = training["n_epochs"] = training.pop("epochs")
    sizes = None if random_sizes is None else RandomSizesConfig.model_validate(random_sizes)
    demonstrations = load_demonstrations(demonstrations_folder / EPISODES)
    if previous_folder is None:
        weights_seed = derived_seed(seed, "initial weights")
        policy = _beginner(spaces_of(env_id), architecture, weights_seed, start, start_folder)
    else:
        policy = cast(ActorCriticPolicy, load_policy(previous_folder / STUDENT, *spaces_of(env_id)))
    targets = None
    if expert is not None and expert_folder is not None:
        trained = load_expert(expert_folder, env_id, expert, make_vec_env(env_id))
        targets = trained.distribution(demonstrations.observations)
    config = CloningConfig(
        **training,
        sizes=FullSize() if sizes is None else sizes.training_sizes(),
        smoothness=None if smoothness is None else SmoothnessConfig.model_validate(smoothness).build(),
        weights=None if weights is None else WeightFormat(**weights),
        seed=derived_seed(seed, "cloning"),
    )
    epochs, begin = count(1), previous_folder is None
    train(policy, demonstrations, config, targets, begin, lambda: report(next(epochs) / n_epochs))
    save_policy(policy, folder / STUDENT)


def _beginner(
    spaces: Spaces,
    architecture: dict[str, Any],
    seed: int,
    start: str | None,
    start_folder: Path | None,
) -> ActorCriticPolicy:
    """Return a student that has learned nothing yet; see :func:`train_student`."""
    policy = StudentArchitecture(**architecture).build(*spaces, seed=seed)
    plain = None
    if start_folder is not None:
        plain = cast(ActorCriticPolicy, load_policy(start_folder / STUDENT, *spaces))
    elif start is not None:
        untrained = StudentArchitecture(**{**architecture, "kind": "plain"})
        plain = untrained.build(*spaces, seed=seed)
    if plain is not None:
        init_from(cast(IntegralActorCriticPolicy, policy), plain)
    return policy
