"""The stage that records the expert's episodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from imitation.data.types import TrajectoryWithRew
from stable_baselines3.common.env_util import make_vec_env

from sb3_integral.experiments.config.schema import DemonstrationsConfig, ExperimentConfig
from sb3_integral.experiments.engine.stage import Report, Stage
from sb3_integral.experiments.files import EPISODES
from sb3_integral.experiments.stages.expert import PACKAGES, Expert, load_expert
from sb3_integral.experiments.stages.seeds import derived_seed
from sb3_integral.imitation import save_episodes, stream_episodes


def demonstrations_stage(config: ExperimentConfig, seed: int, expert: Stage) -> Stage:
    """Declare the stage."""
    demonstrations = config.demonstrations.model_dump(mode="json")
    return Stage(
        f"seed-{seed}/demonstrations",
        collect_demonstrations,
        {"algo": config.expert.algo, "demonstrations": demonstrations, "seed": seed},
        {"expert_folder": expert},
        expert.environment,
        (*PACKAGES, "imitation"),
        amount=config.demonstrations.episodes,
    )


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
    """Roll out the expert and write its successful episodes."""
    config = DemonstrationsConfig.model_validate(demonstrations)
    venv = make_vec_env(env_id, config.n_envs, seed=derived_seed(seed, "demonstrations"))
    expert = load_expert(expert_folder, env_id, algo, venv)
    episodes = stream_episodes(
        _actor(expert, config),
        venv,
        config.episodes,
        np.random.default_rng(derived_seed(seed, "order of episodes")),
        success=config.criterion(),
        on_episode_end=lambda successes: report(successes / config.episodes),
    )
    if config.noise:
        episodes = _with_the_best_actions(episodes, expert)
    save_episodes(episodes, folder / EPISODES)


def _actor(expert: Expert, config: DemonstrationsConfig) -> Any:
    """Return the expert, disturbed by its own exploration or not, as imitation's rollout takes it."""
    rng = np.random.default_rng(derived_seed(0, "noise"))
    noise = np.linspace(0.0, config.noise, config.n_envs)

    def act(observation: Any, state: Any, dones: Any) -> Any:
        if not config.noise:
            return expert.predict(observation, state, dones, config.deterministic)
        best, _ = expert.predict(observation, deterministic=True)
        drawn, _ = expert.predict(observation, deterministic=False)
        share: Any = noise[: len(best)]
        is_continuous = np.issubdtype(best.dtype, np.floating)
        if not is_continuous:
            share = rng.random(len(best)) < share
        share = share.reshape(-1, *[1] * (best.ndim - 1))
        return best + share * (drawn - best) if is_continuous else np.where(share, drawn, best), None

    return act


def _with_the_best_actions(
    episodes: Iterable[TrajectoryWithRew], expert: Expert
) -> Iterator[TrajectoryWithRew]:
    """Record the expert's most likely actions in place of those that it was made to take."""
    for episode in episodes:
        best, _ = expert.predict(np.asarray(episode.obs)[:-1], deterministic=True)
        yield dataclasses.replace(episode, acts=best)
