"""The stage of the expert, which rl-zoo3 trains, and the expert as it acts on raw observations."""

from __future__ import annotations

import hashlib
import shutil
from argparse import Namespace
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from huggingface_sb3 import EnvironmentName  # type: ignore[import-untyped]
from rl_zoo3 import ALGOS
from rl_zoo3.exp_manager import ExperimentManager
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from torch import Tensor

from sb3_integral.experiments.config.hyperparams import expert_hyperparams
from sb3_integral.experiments.config.schema import ExperimentConfig
from sb3_integral.experiments.engine.stage import Report, Stage
from sb3_integral.imitation import expert_distribution
from sb3_integral.imitation.observations import Observations, as_arrays, as_tensors

Array = np.ndarray[Any, Any]

PACKAGES = ("torch", "numpy", "gymnasium", "stable-baselines3", "sb3-contrib")
"""Packages whose versions decide how a trained expert acts."""

NAMING_MODULES = ("env_wrapper", "vec_env_wrapper", "callback")
"""Hyperparameters of rl-zoo3 that name classes by their modules."""


@dataclass(frozen=True)
class Expert:
    """A trained model, and its statistics of observations if it was trained on normalised ones."""

    model: BaseAlgorithm
    normalize: VecNormalize | None

    def predict(
        self,
        observation: Array,
        state: tuple[Array, ...] | None = None,
        episode_start: Array | None = None,
        deterministic: bool = True,
    ) -> tuple[Array, tuple[Array, ...] | None]:
        """Act on raw observations; see SB3's ``predict``."""
        if self.normalize is not None:
            observation = self.normalize.normalize_obs(observation)  # type: ignore[assignment]
        return self.model.predict(observation, state, episode_start, deterministic)

    def distribution(self, observations: Observations) -> Tensor:
        """Return the action distribution on raw observations; see :func:`expert_distribution`."""
        if self.normalize is not None:
            observations = as_tensors(self.normalize.normalize_obs(as_arrays(observations)))
        return expert_distribution(self.model.policy, observations)


def expert_stage(config: ExperimentConfig) -> Stage:
    """Declare the stage that trains the expert, or takes one that is there already.

    Raises:
        ValueError: If the file of hyperparameters has no entry for the environment.
    """
    expert, environment = config.expert, config.environment
    if expert.model is not None:
        files = {"model": expert.model, "vecnormalize": expert.vecnormalize}
        paths = {name: path for name, path in files.items() if path is not None}
        return Stage(
            "expert",
            take_expert,
            {"algo": expert.algo, "digests": {name: _digest(path) for name, path in paths.items()}},
            environment=environment,
            paths={name: str(path) for name, path in paths.items()},
        )
    hyperparams = expert_hyperparams(expert.hyperparams, environment.id)
    settings = {"algo": expert.algo, "seed": expert.seed, "n_timesteps": expert.n_timesteps}
    return Stage(
        "expert",
        train_expert,
        {**settings, "hyperparams": hyperparams},
        environment=environment,
        packages=(*PACKAGES, "rl-zoo3"),
        modules=_named_modules([hyperparams.get(key) for key in NAMING_MODULES]),
        amount=float(expert.n_timesteps or hyperparams.get("n_timesteps", 1.0)),
    )


def _named_modules(value: Any) -> tuple[str, ...]:
    """Return the modules of the classes that a string, a list or the keys of a mapping name."""
    if isinstance(value, str):
        return (value.rpartition(".")[0],) if "." in value else ()
    if isinstance(value, list | dict):
        return tuple(sorted({module for each in value for module in _named_modules(each)}))
    return ()


def train_expert(
    folder: Path,
    report: Report,
    *,
    env_id: str,
    algo: str,
    hyperparams: dict[str, Any],
    seed: int,
    n_timesteps: int | None = None,
) -> None:
    """Train an expert as ``python -m rl_zoo3.train`` does.

    The folder will hold rl-zoo3's log folder, and its output as ``train.log``. The hyperparameters are
    an entry of rl-zoo3's YAML; ``n_timesteps`` replaces theirs, if it is given.
    """
    config = folder / f"{algo}.yml"
    config.write_text(yaml.safe_dump({env_id: hyperparams}), encoding="utf-8")
    arguments = {"algo": algo, "env": env_id, "seed": seed, "n_timesteps": -1}
    with (folder / "train.log").open("w", encoding="utf-8") as log, redirect_stdout(log):
        manager = ExperimentManager(
            Namespace(env_kwargs=None, eval_env_kwargs=None, **arguments),
            algo,
            env_id,
            log_folder=str(folder),
            n_timesteps=n_timesteps or 0,
            eval_freq=-1,
            seed=seed,
            log_interval=-1,
            device="cpu",
            config=str(config),
        )
        prepared = manager.setup_experiment()
        assert prepared is not None
        model, _ = prepared
        manager.callbacks.append(_ReportProgress(report))
        manager.learn(model)
        manager.save_trained_model(model)
        environment = model.get_env()
        assert environment is not None
        environment.close()


def take_expert(
    folder: Path,
    report: Report,
    *,
    env_id: str,
    algo: str,
    digests: dict[str, str],
    model: str,
    vecnormalize: str | None = None,
) -> None:
    """Copy an expert that is there already to the place where :func:`train_expert` would leave it.

    The digests are those of the files ``model`` and ``vecnormalize``, which SB3's ``save`` wrote, by the
    names of these arguments.

    Raises:
        ValueError: If a file has changed.
    """
    zipped, statistics = _files(folder, env_id, algo)
    statistics.parent.mkdir(parents=True)
    for name, original, copy in (("model", model, zipped), ("vecnormalize", vecnormalize, statistics)):
        if original is not None:
            shutil.copyfile(original, copy)
            if _digest(copy) != digests[name]:
                raise ValueError(f"{original} has changed since the experiment began")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def ensure_expert(folder: Path, env_id: str, algo: str, hyperparams: Path) -> bool:
    """Train an expert with seed 0, by a file of rl-zoo3's format, where the folder holds none yet.

    Returns:
        Whether one was trained.

    Raises:
        ValueError: If the file has no entry for the environment.
    """
    if _files(folder, env_id, algo)[0].exists():
        return False
    settings = expert_hyperparams(hyperparams, env_id)
    folder.mkdir(parents=True, exist_ok=True)
    train_expert(folder, lambda _: None, env_id=env_id, algo=algo, hyperparams=settings, seed=0)
    return True


def load_expert(folder: Path, env_id: str, algo: str, venv: VecEnv) -> Expert:
    """Load the expert in a folder of :func:`train_expert` or :func:`take_expert`, by SB3's own loaders.

    They unpickle, which can run code: load experts that you trained yourself only. The environment gives
    the shape of observations.
    """
    zipped, statistics = _files(folder, env_id, algo)
    normalize = VecNormalize.load(str(statistics), venv) if statistics.exists() else None
    if normalize is not None:
        normalize.training = False
    return Expert(ALGOS[algo].load(zipped, device="cpu"), normalize)


def _files(folder: Path, env_id: str, algo: str) -> tuple[Path, Path]:
    """Return where rl-zoo3 leaves the model, and the statistics of its observations."""
    name = str(EnvironmentName(env_id))  # without what a file's name cannot have
    run = folder / algo / f"{name}_1"
    return run / f"{name}.zip", run / name / "vecnormalize.pkl"


class _ReportProgress(BaseCallback):
    def __init__(self, report: Callable[[float], None]) -> None:
        super().__init__()
        self._report = report

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self._report(self.num_timesteps / self.model._total_timesteps)
