"""Policies from files: experts for imitation's scripts, and the students that the scripts saved.

SB3's and imitation's files are pickles: reading one can run code. Read only those that you trust.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces
from imitation.policies.serialize import load_stable_baselines_model
from imitation.util.util import parse_path
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.common.utils import get_device
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from torch import Tensor

from sb3_integral.policies.kinds import is_actor_critic, is_integral
from sb3_integral.policies.saved_files import model_file, statistics_file


class NormalizedPolicy(BasePolicy):
    """A policy that was trained on normalised observations, acting on raw ones.

    Args:
        policy: The policy.
        normalize: The statistics that it was trained with; they are not updated.
        observation_space: Of raw observations.
    """

    def __init__(
        self, policy: BasePolicy, normalize: VecNormalize, observation_space: spaces.Space[Any]
    ) -> None:
        super().__init__(observation_space, policy.action_space, squash_output=policy.squash_output)
        self.policy = policy
        self.normalize = normalize

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> Tensor:
        assert isinstance(observation, Tensor)
        normalized = torch.as_tensor(self.normalize.normalize_obs(observation.cpu().numpy()))
        return self.policy._predict(normalized.to(self.policy.device), deterministic)


def load_trpo_expert(venv: VecEnv, path: str | None = None) -> BasePolicy:
    """Load a policy that sb3-contrib's TRPO saved: imitation's loader ``trpo``.

    It acts on raw observations: where ``vecnormalize.pkl`` is found in rl-zoo3's places or beside the
    file, observations are normalised by it. As for imitation's other loaders, a ``vec_normalize.pkl``
    is refused.

    Args:
        venv: The environment to act in.
        path: The zip file, a folder with a ``model.zip``, or a run's folder of rl-zoo3.

    Raises:
        ValueError: If there is no such file, or its spaces are not the environment's.
        FileExistsError: If there are statistics of imitation's former format.
    """
    from sb3_contrib import TRPO

    if path is None:
        raise ValueError("no expert was named, expected expert.loader_kwargs.path=<a file of TRPO's>")
    file = model_file(parse_path(path))
    statistics = statistics_file(file)
    policy: BasePolicy = load_stable_baselines_model(TRPO, str(file), venv).policy
    if statistics is None:
        return policy
    return NormalizedPolicy(policy, VecNormalize.load(str(statistics), venv), venv.observation_space)


def load_student_policy(venv: VecEnv, path: str | None = None, size: int | None = None) -> BasePolicy:
    """Load an integral policy that one of the scripts saved: the loader ``integral_student``.

    Args:
        venv: The environment to act in.
        path: ``final.th`` of ``bc``, ``policy-latest.pt`` of ``dagger``, or ``gen_policy`` of ``gail``
            and ``airl``.
        size: Resize it to this.

    Raises:
        ValueError: If there is no such file, if it holds another policy, or if the size is wrong.
    """
    if path is None:
        raise ValueError("no student was named, expected expert.loader_kwargs.path=<a saved policy>")
    file = parse_path(path)
    policy: BasePolicy
    if file.is_dir() or file.suffix == ".zip":
        policy = load_stable_baselines_model(PPO, str(model_file(file)), venv).policy
    else:
        policy = reconstruct_policy(file)
    if not is_integral(policy):
        raise ValueError(
            f"{file} holds an object of class {type(policy).__name__}, expected an integral policy"
        )
    return policy if size is None else policy.resize(size)


def reconstruct_policy(
    policy_path: str | Path, device: torch.device | str = "auto"
) -> ActorCriticPolicy:
    """Read what ``bc`` and ``dagger`` saved; imitation's own function fails since torch 2.6.

    Args:
        policy_path: ``final.th`` of ``bc``, ``policy-latest.pt`` of ``dagger``.
        device: Where to load it.

    Raises:
        ValueError: If it is no whole file, or holds no such policy.
    """
    try:
        policy = torch.load(policy_path, map_location=get_device(device), weights_only=False)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{policy_path} is not a whole policy's file: {error}") from error
    if not is_actor_critic(policy):
        raise ValueError(
            f"{policy_path} holds an object of class {type(policy).__name__}, expected a policy"
        )
    return policy
