"""Patches for imitation 1.0.1: its scripts use the configured student and expert.

Importing this changes nothing; :func:`repaired_experiment` changes imitation for the whole process.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from functools import cache, partial
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
import sacred
from imitation.algorithms import bc
from imitation.data.types import Trajectory
from imitation.policies.serialize import policy_registry
from imitation.scripts.ingredients import bc as bc_ingredient
from imitation.scripts.ingredients import policy as policy_ingredient
from imitation.util import util
from imitation.util.logger import HierarchicalLogger
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from sb3_integral.imitation.integral_losses import LossAtSizes
from sb3_integral.imitation.scripts.saved_policies import (
    load_student_policy,
    load_trpo_expert,
    reconstruct_policy,
)
from sb3_integral.imitation.training_sizes import FullSize, sizes_for
from sb3_integral.mujoco_warnings import SHOWN, make_quietly
from sb3_integral.policies import IntegralActorCriticPolicy

STUDENT = {
    "policy": {"policy_cls": IntegralActorCriticPolicy, "policy_kwargs": {"net_arch": [100, 100]}}
}
"""What ``integral_student`` is where a policy is trained; the sizes are the paper's."""

EVALUATED_STUDENT = {
    "expert": {"policy_type": "integral_student", "loader_kwargs": {"path": None, "size": None}}
}
"""What it is where one is evaluated: imitation evaluates what it calls the expert."""

EXPERT = {"expert": {"policy_type": "trpo", "loader_kwargs": {"path": None}}}
"""What ``trpo_expert`` is."""


@cache
def repaired_experiment(script: str) -> Any:
    """Return a script's sacred experiment with the named configurations added, and repair imitation.

    Only the module of that script is imported: that of ``train_adversarial`` hooks itself into
    ingredients that it shares with the others.

    Args:
        script: Name of a module of ``imitation.scripts``.
    """
    _repair()
    module: Any = importlib.import_module(f"imitation.scripts.{script}")
    experiment = getattr(module, f"{script}_ex")
    if script == "eval_policy":
        module.video_wrapper_factory = _refuse_videos
        experiment.add_named_config("integral_student", EVALUATED_STUDENT)
    else:
        experiment.add_named_config("integral_student", STUDENT)
    experiment.add_named_config("trpo_expert", EXPERT)
    return experiment


@cache
def _repair() -> None:
    # Policies keep what they are made with, so sacred's read-only containers would be saved in them.
    sacred.SETTINGS.CONFIG.READ_ONLY_CONFIG = False
    # By default sacred waits for the server of subprocesses to end, 10 s each for stdout and stderr.
    sacred.SETTINGS.CAPTURE_MODE = "sys"
    policy_registry.register("trpo", value=load_trpo_expert)
    policy_registry.register("integral_student", value=load_student_policy)
    bc.reconstruct_policy = reconstruct_policy
    quiet = SimpleNamespace(Env=gym.Env, make=partial(make_quietly, gym.make, SHOWN))
    vars(util)["gym"] = quiet
    _return_the_policy_that_is_made()
    _train_at_random_sizes()
    _do_without_a_video_recorder()


def _return_the_policy_that_is_made() -> None:
    """Give the trainer the configured policy; imitation makes it and drops it."""
    stock = bc_ingredient.make_or_load_policy

    @bc_ingredient.bc_ingredient.capture  # type: ignore[untyped-decorator]
    def make_or_load_policy(venv: VecEnv, agent_path: str | None) -> BasePolicy:
        policy: BasePolicy = policy_ingredient.make_policy(venv) if agent_path is None else stock(venv)
        return policy

    bc_ingredient.make_or_load_policy = make_or_load_policy


def _train_at_random_sizes() -> None:
    """Clone an integral student at random sizes, as this library does, unless told not to."""
    stock = bc_ingredient.make_bc
    ingredient: Any = bc_ingredient.bc_ingredient
    ingredient.add_config(random_sizes=True)

    @ingredient.capture  # type: ignore[untyped-decorator]
    def make_bc(
        venv: VecEnv,
        expert_trajs: Sequence[Trajectory] | None,
        custom_logger: HierarchicalLogger,
        random_sizes: bool,
        _rnd: np.random.Generator,
    ) -> bc.BC:
        trainer: bc.BC = stock(venv, expert_trajs, custom_logger)
        sizes = sizes_for(trainer.policy, None if random_sizes else FullSize())
        if not isinstance(sizes, FullSize):
            at_sizes = LossAtSizes(trainer.loss_calculator, sizes, _rnd)
            trainer.loss_calculator = at_sizes  # type: ignore[assignment]
        return trainer

    bc_ingredient.make_bc = make_bc


def _do_without_a_video_recorder() -> None:
    """Let ``eval_policy`` be imported, which asks Gymnasium for a recorder that it no longer has."""
    name = "gymnasium.wrappers.monitoring"
    if importlib.util.find_spec(name) is None:
        module = ModuleType(name, "Stands in for what imitation 1.0.1 imports from Gymnasium.")
        module.video_recorder = SimpleNamespace(VideoRecorder=None)  # type: ignore[attr-defined]
        sys.modules[name] = module


def _refuse_videos(*_: Any, **__: Any) -> NoReturn:
    raise ValueError(
        "got videos=True, expected False: imitation's recorder went with Gymnasium 1; "
        "gymnasium.wrappers.RecordVideo records videos"
    )
