"""A pytest plugin that runs imitation's own tests of BC and DAgger with chosen policies.

``run_upstream_tests.py`` loads it. The environment variable ``UPSTREAM_POLICIES`` says which policies
trainers get where a test names none: ``stock`` for imitation's own, ``integral`` for integral policies
of the same architecture. With either,

- experts are trained when they are first needed, where imitation's tests download them;
- ``torch.load`` reads whole objects again, as it did when imitation's files were designed.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import pytest
import torch
from imitation.policies import base, serialize
from imitation.util import util
from numpy.random import default_rng
from stable_baselines3 import PPO
from stable_baselines3.common import policies
from stable_baselines3.common.vec_env import VecEnv

from sb3_integral.policies import IntegralActorCriticPolicy, IntegralMultiInputActorCriticPolicy

EXPERTS: dict[str, tuple[int, dict[str, Any]]] = {
    "seals/CartPole-v0": (32_768, {"n_steps": 128, "learning_rate": 1e-3, "gamma": 0.98}),
    "Pendulum-v1": (
        65_536,
        {"n_steps": 256, "learning_rate": 1e-3, "gamma": 0.9, "use_sde": True, "sde_sample_freq": 4},
    ),
}
"""How an environment's expert is trained: steps in total, and arguments of PPO."""


class IntegralFeedForward32Policy(IntegralActorCriticPolicy):
    """The integral counterpart of imitation's default policy: two hidden layers of 32 units."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, net_arch=[32, 32])


def pytest_configure() -> None:
    """Put the policies and the experts in their places.

    Raises:
        pytest.UsageError: If ``UPSTREAM_POLICIES`` is neither ``stock`` nor ``integral``.
    """
    wanted = os.environ.get("UPSTREAM_POLICIES")
    if wanted not in ("stock", "integral"):
        raise pytest.UsageError(f"UPSTREAM_POLICIES must be stock or integral, got {wanted!r}")
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    serialize.load_policy = _load_policy
    if wanted == "integral":
        base.FeedForward32Policy = IntegralFeedForward32Policy  # type: ignore[misc]
        policies.MultiInputActorCriticPolicy = IntegralMultiInputActorCriticPolicy  # type: ignore[misc]


def _load_policy(policy_type: str, venv: VecEnv, *, env_name: str) -> policies.BasePolicy:
    if policy_type != "ppo-huggingface":
        raise ValueError(f"only experts of type ppo-huggingface are replaced, got {policy_type!r}")
    return _trained_expert(env_name)


@cache
def _trained_expert(env_name: str) -> policies.BasePolicy:
    n_steps, arguments = EXPERTS[env_name]
    venv = util.make_vec_env(env_name, n_envs=16, rng=default_rng(0))
    with torch.random.fork_rng(devices=[]):
        model = PPO("MlpPolicy", venv, seed=0, device="cpu", **arguments).learn(n_steps)
    venv.close()
    return model.policy
