from __future__ import annotations

import numpy as np
import pytest
import torch
from stable_baselines3.common.env_util import make_vec_env

from sb3_integral.experiments.shrinking import shrink_to_fit
from sb3_integral.imitation import Demonstrations, StudentArchitecture, clone, collect_episodes

pytest.importorskip("fast_tsp")


def balance(observation, _state, _start):
    return (observation @ [0.1, 0.3, 1.0, 1.0] > 0).astype(np.int64), None


def test_a_trained_policy_is_made_as_small_as_its_task_allows():
    # Given a plain policy that balances the pole
    venv = make_vec_env("CartPole-v1", 8, seed=0)
    episodes = collect_episodes(balance, venv, 8, np.random.default_rng(0))
    demonstrations = Demonstrations(
        observations=torch.from_numpy(np.concatenate([np.asarray(one.obs)[:-1] for one in episodes])),
        actions=torch.from_numpy(np.concatenate([one.acts for one in episodes])),
        returns=torch.zeros(len(episodes)),
    )
    architecture = StudentArchitecture("plain", hidden_sizes=(32, 32), standardize=False)
    plain = architecture.build(venv.observation_space, venv.action_space, seed=0)
    clone(plain, demonstrations, n_epochs=40)

    # When
    shrunk = shrink_to_fit(
        plain, venv, 150.0, n_demonstrations=8, n_epochs=10,
        return_range=(0.0, 500.0), sizes=[16, 8], max_episodes=48,
    )  # fmt: skip

    # Then
    assert shrunk.trained_return > 150  # an untrained one gets 10
    assert shrunk.policy.sizes == shrunk.search.sizes
    assert shrunk.policy.sizes in {(8, 8), (16, 16)}
    assert shrunk.policy.max_sizes == (32, 32)
    assert shrunk.search.full.mean_return > shrunk.trained_return - 150
