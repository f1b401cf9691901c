from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sb3_contrib import RecurrentPPO
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_integral import ResizablePolicy
from sb3_integral.deploy.costs import CostModel, Costs


@pytest.fixture(scope="module", params=["integral", "plain"])
def policy(request: pytest.FixtureRequest, make_policy: Callable[..., Any]) -> Any:
    if request.param == "integral":
        return make_policy()
    return ResizablePolicy(make_policy(policy_class=ActorCriticPolicy), method="nearest")


@given(sizes=st.tuples(st.integers(1, 16), st.integers(1, 12)))
def test_costs_are_those_of_the_ordinary_policy(policy, sizes):
    ordinary = policy.discretize(sizes)
    parts = (ordinary.mlp_extractor.policy_net, ordinary.action_net)
    parameters = [p for part in parts for p in part.parameters()]
    assert CostModel(policy)(sizes) == Costs(
        sum(p.numel() for p in parameters),
        sum(p.numel() * p.element_size() for p in parameters),
        sum(p.numel() for p in parameters if p.dim() == 2),
    )


def test_the_actor_of_images_counts_each_use_of_a_kernel():
    model = PPO(
        "IntegralCnnPolicy",
        FakeImageEnv(),
        policy_kwargs={"features_extractor_kwargs": {"features_dim": 16}},
    )
    costs = CostModel(model.policy)
    sizes = (8, 12, 10, 9)
    ordinary = model.policy.discretize(sizes)
    parts = (ordinary.pi_features_extractor, ordinary.action_net)
    assert costs(sizes).parameters == sum(p.numel() for part in parts for p in part.parameters())
    # 84 x 84 pixels give 20 x 20, 9 x 9 and 7 x 7 positions.
    convolutions = 20**2 * 8 * 64 + 9**2 * 12 * 8 * 16 + 7**2 * 10 * 12 * 9
    assert costs(sizes).macs == convolutions + 49 * 10 * 9 + 9 * 6


def test_the_head_that_only_draws_noise_is_not_counted():
    policy = SAC("IntegralMlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [8, 8]}).policy
    assert CostModel(policy)((8, 8)).parameters == 3 * 8 + 8 + 8 * 8 + 8 + 8 + 1


def test_a_layer_of_one_neuron_cannot_shrink(make_policy):
    costs = CostModel(make_policy(net_arch={"pi": [1, 4], "vf": []}))
    assert costs((1, 4)).parameters == 5 + 1 + 4 + 4 + 12 + 3
    assert costs((1, 2)).parameters == 5 + 1 + 2 + 2 + 6 + 3


def test_recurrent_weights_count_once():
    policy = RecurrentPPO(
        "IntegralMlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [6], "lstm_hidden_size": 5}
    ).policy
    costs = CostModel(policy)((6,))
    lstm = 4 * 5 * (4 + 5)
    assert costs.macs == lstm + 5 * 6 + 6 * 2
    assert costs.parameters == costs.macs + 2 * 4 * 5 + 6 + 2
