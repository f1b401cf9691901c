"""The stage that clones the expert into a student."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_integral.experiments.config.students import CloningConfig, RandomSizesConfig, SmoothnessConfig
from sb3_integral.experiments.engine.stage import Report
from sb3_integral.experiments.stages.demonstrations import EPISODES
from sb3_integral.experiments.stages.expert import load_expert
from sb3_integral.experiments.stages.seeds import derived_seed
from sb3_integral.experiments.stages.spaces import spaces_of
from sb3_integral.imitation import (
    FullSize,
    StudentArchitecture,
    clone,
    load_demonstrations,
)
from sb3_integral.policies import IntegralActorCriticPolicy, begin_at
from sb3_integral.policies.serialization import load_policy, save_policy

STUDENT = "student.safetensors"


def train_student(
    folder: Path,
    report: Report,
    demonstrations_folder: Path,
    *more_folders: Path,
    env_id: str,
    architecture: dict[str, Any],
    random_sizes: dict[str, Any] | None,
    cloning: dict[str, Any],
    seed: int,
    smoothness: dict[str, Any] | None = None,
    expert: str | None = None,
) -> None:
    """Clone the expert into one student.

    Args:
        folder: Where to write.
        report: Is told of progress.
        demonstrations_folder: What to clone.
        *more_folders: The expert's, if its distribution is cloned, and then that of a plain student to
            start from, if there is one.
        env_id: The environment.
        architecture: A :class:`StudentArchitecture`.
        random_sizes: A :class:`RandomSizesConfig`.
        cloning: A :class:`CloningConfig`.
        seed: Of the run.
        smoothness: A :class:`SmoothnessConfig`.
        expert: The expert's algorithm, if its distribution is cloned.
    """
    folders = list(more_folders)
    training = CloningConfig.model_validate(cloning)
    sizes = None if random_sizes is None else RandomSizesConfig.model_validate(random_sizes)
    demonstrations = load_demonstrations(demonstrations_folder / EPISODES)
    student = StudentArchitecture(**architecture)
    policy = student.build(*spaces_of(env_id), seed=derived_seed(seed, "initial weights"))
    targets = None
    if expert is not None:
        trained = load_expert(folders.pop(0), env_id, expert, make_vec_env(env_id))
        targets = trained.distribution(demonstrations.observations)
    if folders:
        assert isinstance(policy, IntegralActorCriticPolicy)
        trained_before = load_policy(folders.pop(0) / STUDENT, *spaces_of(env_id))
        begin_at(policy, cast(ActorCriticPolicy, trained_before))
    epochs_done = 0

    def on_epoch_end() -> None:
        nonlocal epochs_done
        epochs_done += 1
        report(epochs_done / training.epochs)

    clone(
        policy,
        demonstrations,
        n_epochs=training.epochs,
        batch_size=training.batch_size,
        learning_rate=training.learning_rate,
        schedule=training.schedule,
        loss=training.loss,
        sizes=FullSize() if sizes is None else sizes.training_sizes(),
        smoothness=None if smoothness is None else SmoothnessConfig.model_validate(smoothness).build(),
        targets=targets,
        seed=derived_seed(seed, "cloning"),
        on_epoch_end=on_epoch_end,
    )
    save_policy(policy, folder / STUDENT)
