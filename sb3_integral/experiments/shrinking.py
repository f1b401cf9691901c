"""The paper's four steps to the size that a task needs, from a trained plain policy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecEnv

from sb3_integral.deploy import SmallestSize, smallest_size
from sb3_integral.imitation import Demonstrations, clone, collect_episodes
from sb3_integral.policies import IntegralActorCriticPolicy, make_integral


class Shrunk(NamedTuple):
    """An integral policy at the smallest size that its task needs.

    Attributes:
        policy: The policy, resized.
        trained_return: Mean return of the policy that it was made from.
        search: The search for the size; its ``full`` is the integral policy at full size.
    """

    policy: IntegralActorCriticPolicy
    trained_return: float
    search: SmallestSize


def shrink_to_fit(
    policy: ActorCriticPolicy,
    venv: VecEnv,
    tolerance: float,
    confidence: float = 0.95,
    *,
    n_demonstrations: int = 100,
    n_epochs: int = 30,
    seed: int = 0,
    **search: Any,
) -> Shrunk:
    """Make a trained policy as small as its task allows.

    The four steps: start from a trained network; make it integral, its neurons permuted; train it, here
    by cloning the network itself at random sizes; shrink until the loss of return is significant.

    Args:
        policy: A trained ``MlpPolicy`` of PPO, A2C or TRPO; not changed.
        venv: Its environment; normalised as in training, if it was.
        tolerance: How much mean return may be lost, against the integral policy at full size.
        confidence: How often the decisions have to be right.
        n_demonstrations: Episodes of the policy that are cloned.
        n_epochs: Passes over them.
        seed: Orders the batches, and seeds sizes and episodes.
        **search: As for :func:`~sb3_integral.deploy.smallest_size`, such as ``return_range``.

    Raises:
        ValueError: If the policy cannot be made integral, or an argument is out of range.
        ImportError: If fast-tsp is not installed.
    """
    integral = make_integral(policy)
    episodes = collect_episodes(
        lambda observations, _state, _start: policy.predict(observations, deterministic=True),
        venv,
        n_demonstrations,
        np.random.default_rng(seed),
        normalized=True,  # the integral policy acts in the same environment
    )
    returns = torch.tensor([float(episode.rews.sum()) for episode in episodes])
    demonstrations = Demonstrations(
        observations=torch.from_numpy(np.concatenate([np.asarray(one.obs)[:-1] for one in episodes])),
        actions=torch.from_numpy(np.concatenate([one.acts for one in episodes])),
        returns=returns,
    )
    clone(integral, demonstrations, n_epochs=n_epochs, seed=seed)
    found = smallest_size(integral, venv, tolerance, confidence, seed=seed, **search)
    return Shrunk(integral.resize(found.sizes), float(returns.mean()), found)
