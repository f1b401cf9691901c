"""The work of each stage: a function from the folders it needs to the folder it fills."""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from gymnasium import spaces
from imitation.data.types import TrajectoryWithRew
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv

from sb3_integral.evaluation import SweepEpisode, evaluate_resize_sweep
from sb3_integral.experiments.config import DemonstrationsConfig, EvaluationConfig
from sb3_integral.experiments.expert import Expert, load_expert
from sb3_integral.experiments.stage import Report
from sb3_integral.experiments.student_config import CloningConfig, RandomSizesConfig, SmoothnessConfig
from sb3_integral.imitation import (
    FullSize,
    StudentArchitecture,
    clone,
    load_demonstrations,
    load_student,
    save_episodes,
    save_student,
    stream_episodes,
)
from sb3_integral.policies import IntegralActorCriticPolicy, ResizablePolicy, as_resizable, begin_at

EPISODES = "episodes"
STUDENT = "student.safetensors"
SWEEP = "episodes.csv"
REFERENCES = "returns.json"

RESIZE_SAMPLES = 20_000
"""Observations of the demonstrations that a resize method sees, drawn at random."""


def evaluate_references(
    folder: Path,
    report: Report,
    expert_folder: Path,
    *,
    env_id: str,
    algo: str,
    episodes: int,
    n_envs: int,
    seed: int,
) -> None:
    """Evaluate the expert, and a policy that acts at random, for comparison."""
    venv = make_vec_env(env_id, n_envs, seed=_derived_seed(seed, "references"))
    venv.action_space.seed(_derived_seed(seed, "random actions"))
    returns = {}
    for name, policy in (
        ("expert", load_expert(expert_folder, env_id, algo, venv)),
        ("random", _RandomPolicy(venv)),
    ):
        episode_returns, _ = evaluate_policy(policy, venv, episodes, return_episode_rewards=True)  # type: ignore[arg-type]
        returns[name] = {
            "mean": float(np.mean(episode_returns)),
            "std": float(np.std(episode_returns)),
            "episodes": episodes,
        }
        report(len(returns) / 2)
    (folder / REFERENCES).write_text(json.dumps(returns, indent=2) + "\n", encoding="utf-8")


def collect_demonstrations(
    folder: Path,
    report: Report,
    expert_folder: Path,
    *,
    env_id: str,
    algo: str,
    demonstrations: dict[str, Any],
    seed: int,
) -> None:
    """Roll out the expert and keep its successful episodes."""
    config = DemonstrationsConfig.model_validate(demonstrations)
    venv = make_vec_env(env_id, config.n_envs, seed=_derived_seed(seed, "demonstrations"))
    expert = load_expert(expert_folder, env_id, algo, venv)
    episodes = stream_episodes(
        _raw_observation_policy(expert, config),
        venv,
        config.episodes,
        np.random.default_rng(_derived_seed(seed, "order of episodes")),
        success=config.criterion(),
        on_episode_end=lambda successes: report(successes / config.episodes),
    )
    if config.noise:
        episodes = _with_the_best_actions(episodes, expert)
    save_episodes(episodes, folder / EPISODES)


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
    policy = student.build(*_spaces(env_id), seed=_derived_seed(seed, "initial weights"))
    targets = None
    if expert is not None:
        trained = load_expert(folders.pop(0), env_id, expert, make_vec_env(env_id))
        targets = trained.distribution(demonstrations.observations)
    if folders:
        assert isinstance(policy, IntegralActorCriticPolicy)
        begin_at(policy, load_student(folders.pop(0) / STUDENT, *_spaces(env_id)))
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
        seed=_derived_seed(seed, "cloning"),
        on_epoch_end=on_epoch_end,
    )
    save_student(policy, student, folder / STUDENT)


def sweep_scratch(
    folder: Path,
    report: Report,
    *student_folders: Path,
    env_id: str,
    sizes: list[int],
    evaluation: dict[str, Any],
    seed: int,
) -> None:
    """Evaluate networks that were trained at one size each, every one at its own.

    Args:
        folder: Where to write.
        report: Is told of progress.
        *student_folders: A student for each size, the full size first.
        env_id: The environment.
        sizes: The sizes.
        evaluation: An :class:`EvaluationConfig`.
        seed: Of the run.
    """
    config = EvaluationConfig.model_validate(evaluation)
    students = [load_student(path / STUDENT, *_spaces(env_id)) for path in student_folders]
    full = ResizablePolicy(students[0])
    rows: list[SweepEpisode] = []
    for size, student in zip(sizes, students, strict=True):
        episodes = evaluate_resize_sweep(
            ResizablePolicy(student),
            env_id,
            [size],
            config.episodes,
            deterministic=config.deterministic,
            seed=_derived_seed(seed, "evaluation"),
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
    student = load_student(student_folder / STUDENT, *_spaces(env_id))
    seen = None
    if demonstrations_folder is not None:
        rng = np.random.default_rng(_derived_seed(seed, "observations for resizing"))
        seen = load_demonstrations(demonstrations_folder / EPISODES).sample(RESIZE_SAMPLES, rng)
    policy = as_resizable(student, method, seen)
    sizes_done = 0

    def on_size_end() -> None:
        nonlocal sizes_done
        sizes_done += 1
        report(sizes_done / len(sizes))

    rows = evaluate_resize_sweep(
        policy,
        env_id,
        sizes,
        config.episodes,
        deterministic=config.deterministic,
        seed=_derived_seed(seed, "evaluation"),
        on_size_end=on_size_end,
    )
    pd.DataFrame(rows).to_csv(folder / SWEEP, index=False)


class _RandomPolicy:
    """Draws actions from the action space, which has to be seeded."""

    def __init__(self, venv: VecEnv) -> None:
        self._action_space = venv.action_space
        self._n_envs = venv.num_envs

    def predict(self, *_: Any, **__: Any) -> tuple[np.ndarray[Any, Any], None]:
        return np.stack([self._action_space.sample() for _ in range(self._n_envs)]), None


def _raw_observation_policy(expert: Expert, config: DemonstrationsConfig) -> Any:
    """Return the expert as the callable that imitation's rollout takes."""

    def act(observation: Any, state: Any, dones: Any) -> Any:
        return expert.predict(observation, state, dones, config.deterministic)

    def disturbed(observation: Any, state: Any, dones: Any) -> Any:
        best, drawn = (
            expert.predict(observation, deterministic=is_best)[0] for is_best in (True, False)
        )
        if np.issubdtype(best.dtype, np.floating):
            return best + _per_env(noise, best) * (drawn - best), None
        takes_drawn = rng.random(len(best)) < noise[: len(best)]
        return np.where(_per_env(takes_drawn, best), drawn, best), None

    if not config.noise:
        return act
    rng = np.random.default_rng(_derived_seed(0, "noise"))
    noise = np.linspace(0.0, config.noise, config.n_envs)
    return disturbed


def _per_env(values: np.ndarray[Any, Any], like: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    shaped: np.ndarray[Any, Any] = values[: len(like)].reshape(-1, *[1] * (like.ndim - 1))
    return shaped


def _with_the_best_actions(
    episodes: Iterable[TrajectoryWithRew], expert: Expert
) -> Iterator[TrajectoryWithRew]:
    """Record the expert's most likely actions in place of those that it was made to take."""
    for episode in episodes:
        best, _ = expert.predict(np.asarray(episode.obs)[:-1], deterministic=True)
        yield dataclasses.replace(episode, acts=best)


def _spaces(env_id: str) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
    venv = make_vec_env(env_id)
    try:
        return venv.observation_space, venv.action_space
    finally:
        venv.close()


def _derived_seed(seed: int, purpose: str) -> int:
    """Return a seed of its own for each purpose of a run."""
    sequence = np.random.SeedSequence([seed, zlib.crc32(purpose.encode())])
    # SB3 adds the number of the environment, and NumPy's legacy generator takes 32 bits.
    return int(sequence.generate_state(1)[0]) // 2
