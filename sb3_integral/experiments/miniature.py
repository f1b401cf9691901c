"""An experiment in miniature: every kind of its stages, small enough to be timed in seconds."""

from __future__ import annotations

from typing import Any

from sb3_integral.experiments.config.schema import DemonstrationsConfig, ExperimentConfig
from sb3_integral.experiments.stages.expert import expert_hyperparams

ROLLOUTS = 2
"""Of the expert: progress is told after each, so its pace takes two."""

WAVES = 3
"""Of demonstrations: each environment's first episode ends at about the same time as the others'."""

SIZES = 2
"""Of a sweep, of which progress is told after each."""

EPOCHS = 3
"""Of cloning; the first is the slowest."""

DEFAULT_ROLLOUT_STEPS = 2048
"""Steps of a rollout in SB3's on-policy algorithms where the hyperparameters name none."""


def miniature(config: ExperimentConfig) -> ExperimentConfig:
    """Return the same experiment with next to no training, demonstrations and evaluation.

    Students, batch sizes and environments are those of the experiment, so its stages have the pace
    of the real ones. Its results mean nothing.
    """
    changes: dict[str, Any] = {
        "seeds": config.seeds[:1],
        "sizes": config.sizes[:SIZES],
        "expert": config.expert.model_copy(
            update={
                "n_timesteps": _timesteps(config) if config.expert.model is None else None,
                "n_eval_episodes": min(config.expert.n_eval_episodes, config.evaluation.n_envs),
            }
        ),
        # Whatever the untrained expert does will do.
        "demonstrations": DemonstrationsConfig(
            episodes=WAVES * config.demonstrations.n_envs,
            n_envs=config.demonstrations.n_envs,
            deterministic=config.demonstrations.deterministic,
            noise=config.demonstrations.noise,
        ),
        "cloning": config.cloning.model_copy(update={"epochs": min(EPOCHS, config.cloning.epochs)}),
        "evaluation": config.evaluation.model_copy(
            update={
                "episodes": min(config.evaluation.episodes, config.evaluation.n_envs),
                "baseline_episodes": None,
            }
        ),
    }
    return config.model_copy(update=changes)


def _timesteps(config: ExperimentConfig) -> int:
    hyperparams = expert_hyperparams(config.expert.hyperparams, config.env)
    steps = int(hyperparams.get("n_steps", DEFAULT_ROLLOUT_STEPS))
    return ROLLOUTS * steps * int(hyperparams.get("n_envs", 1))
