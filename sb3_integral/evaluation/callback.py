"""The evaluation of a policy at many sizes during its training."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv

from sb3_integral.atomic import atomic_file
from sb3_integral.evaluation.environments import EnvFactory, evaluation_env
from sb3_integral.evaluation.episodes import MAX_EPISODE_STEPS, EndlessEpisodeError
from sb3_integral.evaluation.sweep import evaluate_resize_sweep
from sb3_integral.nn import Size, as_size
from sb3_integral.policies import Resizable, as_resizable
from sb3_integral.resize import DEFAULT_METHOD, ResizeMethod


class Trainer(Protocol):
    """The part of imitation's trainers that the callback needs: a policy in training and its logger."""

    @property
    def policy(self) -> BasePolicy: ...  # noqa: D102

    @property
    def logger(self) -> Logger: ...  # noqa: D102


class ResizeSweepCallback(BaseCallback):
    """Evaluates the policy at several sizes during ``learn()``, and logs a curve for each.

    The curves are ``resize/mean_reward_<size>`` in SB3's logger, and so in TensorBoard if that is on.
    The size in training does not change. :meth:`for_trainer` does the same for imitation's BC.

    Args:
        eval_env: The environment to evaluate in: an id (as in rl-zoo3's YAML), a function that makes
            one, an environment, or a vectorised one. It gets a monitor and the training environment's
            wrappers: frame stack, image transposition, and normalisation with the current statistics.
        sizes: The sizes, each an integer or one integer per axis.
        eval_freq: Number of steps, of all environments at once, between two evaluations.
        n_eval_episodes: Episodes at each size, played as by :func:`~sb3_integral.evaluate_resize_sweep`
            with ``deterministic``, ``seed``, ``warn`` and ``use_masking``.
        best_model_save_path: Folder for the best model at each size so far, ``best_model_<size>.zip``,
            which has that size when it is loaded. Without a model (imitation's BC), or if the policy is
            not integral, only the policy is saved.
        method: The method that resizes a policy that is not integral.
        max_episode_steps: Steps after which an episode counts as one that never ends. Its evaluation is
            given up with a warning, and training continues.
        verbose: 1 prints a line per evaluation.

    Attributes:
        rows: All episodes so far, with ``timesteps``, for ``pandas.DataFrame``.
        best_mean_rewards: The best mean return at each size so far.

    Raises:
        ValueError: When training starts, if a size is wrong for the policy, or the environment can't be
            made, can't be wrapped as the training environment is, does not fit the policy, or is the
            training environment itself; here, if there is no size or a number is not positive.
    """

    def __init__(
        self,
        eval_env: GymEnv | str | EnvFactory,
        sizes: Sequence[Size],
        eval_freq: int = 10_000,
        n_eval_episodes: int = 5,
        *,
        deterministic: bool = True,
        best_model_save_path: str | Path | None = None,
        method: ResizeMethod | str = DEFAULT_METHOD,
        seed: int | None = None,
        warn: bool = True,
        max_episode_steps: int = MAX_EPISODE_STEPS,
        use_masking: bool = True,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        if not len(sizes):
            raise ValueError("expected at least one size to evaluate, got none")
        if eval_freq < 1:
            raise ValueError(f"eval_freq must be at least 1, got {eval_freq}")
        self.eval_env = eval_env
        self.sizes = list(sizes)
        self.eval_freq = eval_freq
        self.best_model_save_path = None if best_model_save_path is None else Path(best_model_save_path)
        self.method = method
        self.use_masking = use_masking
        self.rows: list[dict[str, int | str | float]] = []
        self.best_mean_rewards: dict[int | str, float] = {}
        self._sweep: dict[str, Any] = {
            "n_eval_episodes": n_eval_episodes,
            "deterministic": deterministic,
            "seed": seed,
            "warn": warn,
            "max_episode_steps": as_size(max_episode_steps, "max_episode_steps"),
            "use_masking": use_masking,
        }

    def _init_callback(self) -> None:
        if isinstance(self.eval_env, VecEnv) and self.eval_env.unwrapped is self.training_env.unwrapped:
            raise ValueError("the evaluation environment is the training environment, expected another")
        self._check(self.model.policy, self.training_env)

    def _on_step(self) -> bool:
        if self.n_calls % self.eval_freq == 0:
            self._evaluate(self.model.policy, self.logger, self.num_timesteps, self.training_env)
            self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
            self.logger.dump(self.num_timesteps)
        return True

    def for_trainer(self, trainer: Trainer, every: int = 1) -> Callable[[], None]:
        """Return a function for the argument ``on_epoch_end`` of imitation's ``bc.BC.train``.

        Args:
            trainer: The trainer; its policy is evaluated, and its logger gets the curves.
            every: Number of epochs between two evaluations.

        Raises:
            ValueError: If a size or the environment does not fit the policy, or ``every`` is not
                positive.
        """
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        self._check(trainer.policy)
        epochs = 0

        def on_epoch_end() -> None:
            nonlocal epochs
            epochs += 1
            if epochs % every == 0:
                self._evaluate(trainer.policy, trainer.logger, epochs)
                trainer.logger.dump(epochs)

        return on_epoch_end

    def _check(self, policy: BasePolicy, training_env: VecEnv | None = None) -> None:
        resizable = as_resizable(policy, self.method)
        for size in self.sizes:
            resizable.compression(size)
        evaluation_env(resizable, self.eval_env, training_env, self.use_masking)

    def _evaluate(
        self, policy: BasePolicy, logger: Logger, timesteps: int, training_env: VecEnv | None = None
    ) -> None:
        resizable = as_resizable(policy, self.method)
        was_training = policy.training
        try:
            rows = evaluate_resize_sweep(
                resizable, self.eval_env, self.sizes, training_env=training_env, **self._sweep
            )
        except EndlessEpisodeError as error:
            warnings.warn(f"the evaluation after {timesteps} steps was given up: {error}", stacklevel=2)
            return
        finally:
            policy.set_training_mode(was_training)
        self.rows += [{"timesteps": timesteps, **row._asdict()} for row in rows]
        episodes = self._sweep["n_eval_episodes"]
        for index, size in enumerate(self.sizes):
            of_size = rows[index * episodes : (index + 1) * episodes]
            label = of_size[0].size
            mean = float(np.mean([row.episode_return for row in of_size]))
            logger.record(f"resize/mean_reward_{label}", mean)
            if self.verbose:
                print(f"{timesteps} steps, size {label}: mean reward {mean:.2f}")
            if mean > self.best_mean_rewards.get(label, -np.inf):
                self.best_mean_rewards[label] = mean
                if self.best_model_save_path is not None:
                    path = self.best_model_save_path / f"best_model_{label}.zip"
                    self._save(policy, resizable, size, path)

    def _save(self, policy: Any, resizable: Resizable, size: Size, path: Path) -> None:
        """Save the model at a size, or the policy if there is no model that can have that size."""
        model: Any = getattr(self, "model", policy)
        with atomic_file(path) as partial:
            if resizable is not policy:
                resizable.discretize(size).save(str(partial))
                return
            with resizable.resized(size):
                model.save(str(partial))
