"""The pytest plugin with which ``run_upstream_tests.py`` runs imitation's tests.

The environment variable ``UPSTREAM_POLICIES`` says which policies trainers get where a test names none:
``stock`` for imitation's own, ``integral`` for integral policies of the same architecture. With either,

- experts are trained when they are first needed, where imitation's tests download them;
- ``torch.load`` reads whole objects again, as it did when imitation's files were designed.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import torch
from imitation.policies import base, serialize
from imitation.util import util
from numpy.random import default_rng
from stable_baselines3 import PPO
from stable_baselines3.common import policies

from sb3_integral.policies import IntegralActorCriticPolicy, IntegralMultiInputActorCriticPolicy

# Steps in total, and arguments of PPO; those of CartPole are imitation's own.
EXPERTS: dict[str, tuple[int, dict[str, Any]]] = {
    "seals/CartPole-v0": (
        65_536,
        {
            "n_steps": 256,
            "batch_size": 256,
            "clip_range": 0.4,
            "ent_coef": 0.0085,
            "gae_lambda": 0.9,
            "gamma": 0.9999,
            "learning_rate": 1.24e-3,
        },
    ),
    "Pendulum-v1": (
        65_536,
        {"n_steps": 256, "learning_rate": 1e-3, "gamma": 0.9, "use_sde": True, "sde_sample_freq": 4},
    ),
}


class IntegralFeedForward32Policy(IntegralActorCriticPolicy):
    """The integral counterpart of imitation's default policy: two hidden layers of 32 units."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, net_arch=[32, 32])


@cache
def trained_expert(env_name: str) -> policies.BasePolicy:
    n_steps, arguments = EXPERTS[env_name]
    venv = util.make_vec_env(env_name, n_envs=16, rng=default_rng(0))
    with torch.random.fork_rng(devices=[]):
        model = PPO("MlpPolicy", venv, seed=0, device="cpu", **arguments).learn(n_steps)
    venv.close()
    return model.policy


os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
serialize.load_policy = lambda policy_type, venv, *, env_name: trained_expert(env_name)
if os.environ["UPSTREAM_POLICIES"] == "integral":
    base.FeedForward32Policy = IntegralFeedForward32Policy  # type: ignore[misc]
    policies.MultiInputActorCriticPolicy = IntegralMultiInputActorCriticPolicy  # type: ignore[misc]
