"""Models that plain Stable-Baselines3 loads, where this library is not installed."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.save_util import recursive_getattr, recursive_setattr
from stable_baselines3.common.vec_env import VecNormalize

from sb3_integral.actor import Source, fold_normalization, ordinary_policy
from sb3_integral.atomic import atomic_file, check_file_target
from sb3_integral.nn import Size
from sb3_integral.policies.plain import constructor_arguments
from sb3_integral.policies.registration import integral_policies

RATE = 3e-4
"""The learning rate of a model that is made of a policy alone; only training on would use it."""


def plain_policy(
    source: Source, size: Size | None = None, normalize: VecNormalize | None = None
) -> BasePolicy:
    """Return an ordinary policy of SB3 that acts on raw observations.

    It is :func:`~sb3_integral.actor.ordinary_policy` with its normalisation folded in.
    """
    return fold_normalization(ordinary_policy(source, size), normalize)


def plain_model(
    source: Source,
    size: Size | None = None,
    normalize: VecNormalize | None = None,
    algorithm: type[BaseAlgorithm] | None = None,
) -> BaseAlgorithm:
    """Return an ordinary model of SB3 or sb3-contrib, without an environment.

    Its policy is the :func:`plain_policy`. Its hyperparameters, counters and entropy coefficient are the
    source's; its optimizers are new. The algorithm is the source's own unless it is given.

    Raises:
        ValueError: As for :func:`plain_policy`; if the algorithm is missing, or has no such policy; or
            if SB3 could not build the policy again, whose CNN has other channels than SB3's.
    """
    source_algorithm = type(source) if isinstance(source, BaseAlgorithm) else None
    algorithm = algorithm or source_algorithm
    if algorithm is None:
        raise ValueError("a policy belongs to no algorithm, expected algorithm=PPO or the like")
    policy = plain_policy(source, size, normalize)
    _check_algorithm(algorithm, policy, source_algorithm)
    model = algorithm(policy=type(policy), env=None, _init_setup_model=False, **_needed(algorithm))  # type: ignore[call-arg]
    if isinstance(source, BaseAlgorithm):
        left_out = {*source._excluded_save_params(), *_owned(source), "policy", "device"}
        model.__dict__.update((k, v) for k, v in source.__dict__.items() if k not in left_out)
    model.observation_space, model.action_space = policy.observation_space, policy.action_space
    model.n_envs = 1
    model.policy_class = type(policy)
    arguments = constructor_arguments(policy, type(policy))
    model.use_sde = bool(arguments.get("use_sde", False))
    left_out = {"observation_space", "action_space", "lr_schedule"}
    if not isinstance(model, OffPolicyAlgorithm):
        left_out.add("use_sde")  # on-policy algorithms give it to the policy themselves
    model.policy_kwargs = copy.deepcopy({k: v for k, v in arguments.items() if k not in left_out})
    _set_up(model)
    _fill(model, policy)
    if isinstance(source, BaseAlgorithm):
        _, variables = source._get_torch_save_params()
        for name in variables:
            value = recursive_getattr(source, name)
            if value is not None:
                recursive_setattr(model, f"{name}.data", value.data.clone())
    return model


def export_sb3(
    source: Source,
    path: Path | str,
    size: Size | None = None,
    normalize: VecNormalize | None = None,
    algorithm: type[BaseAlgorithm] | None = None,
) -> BaseAlgorithm:
    """Write a :func:`plain_model` that plain SB3 loads with ``algorithm.load(path)``, atomically.

    The file gets the ending that it is given. Returns the model.

    Raises:
        ValueError: As for :func:`plain_model`; nothing is written then.
    """
    check_file_target(path)
    model = plain_model(source, size, normalize, algorithm)
    with atomic_file(path) as partial, partial.open("wb") as file:
        model.save(file)
    return model


def _check_algorithm(
    algorithm: type[BaseAlgorithm], policy: BasePolicy, source_algorithm: type[BaseAlgorithm] | None
) -> None:
    kinds = {kind.plain_class() for kind in integral_policies().get(algorithm, ())}
    if algorithm is not source_algorithm and type(policy) not in {
        *kinds,
        *algorithm.policy_aliases.values(),
    }:
        raise ValueError(
            f"{algorithm.__name__} has no {type(policy).__name__}, expected another algorithm"
        )


def _needed(algorithm: type[BaseAlgorithm]) -> dict[str, Any]:
    return {"learning_rate": RATE, "device": "cpu"} if algorithm.__name__ != "ARS" else {"device": "cpu"}


def _owned(model: BaseAlgorithm) -> set[str]:
    """Return the attributes that a model's setup makes: those with parameters, by their first names."""
    states, variables = model._get_torch_save_params()
    modules = {name for name, value in model.__dict__.items() if isinstance(value, torch.nn.Module)}
    return {name.split(".")[0] for name in (*states, *variables)} | modules


def _set_up(model: BaseAlgorithm) -> None:
    # A model that only acts needs no memory for a million observations.
    buffer_size = getattr(model, "buffer_size", None)
    if isinstance(model, OffPolicyAlgorithm):
        model.buffer_size = 1
    if getattr(model, "target_entropy", None) == "auto":  # SB3 would ask an environment
        model.target_entropy = -float(math.prod(model.action_space.shape or ()))  # type: ignore[attr-defined]
    model._setup_model()
    if isinstance(model, OffPolicyAlgorithm):
        assert buffer_size is not None
        model.buffer_size = buffer_size
        model.replay_buffer = None


def _fill(model: BaseAlgorithm, policy: BasePolicy) -> None:
    wanted, given = model.policy.state_dict(), policy.state_dict()
    differing = [name for name in wanted if wanted[name].shape != given[name].shape]
    if differing:
        raise ValueError(
            f"SB3 cannot build {type(policy).__name__} with {differing[0]} of shape "
            f"{tuple(given[differing[0]].shape)} again; expected the channels of the CNN at full size"
        )
    model.policy.load_state_dict(given)
    model.policy.set_training_mode(False)
