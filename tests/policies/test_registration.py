from __future__ import annotations

import pytest
from sb3_contrib import TRPO, RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_integral import IntegralActorCriticPolicy
from sb3_integral.policies import register_policies

SUPPORTED = [PPO, A2C, TRPO]


@pytest.mark.parametrize("algorithm", SUPPORTED)
def test_an_algorithm_makes_the_policy_by_its_name(algorithm: type[BaseAlgorithm]) -> None:
    # when
    model = algorithm("IntegralMlpPolicy", "CartPole-v1", device="cpu")
    # then
    assert type(model.policy) is IntegralActorCriticPolicy
    assert model.policy.sizes == (64, 64)


def test_registering_again_changes_nothing() -> None:
    # given
    before = [dict(algorithm.policy_aliases) for algorithm in SUPPORTED]
    # when
    register_policies()
    # then
    assert [algorithm.policy_aliases for algorithm in SUPPORTED] == before


@pytest.mark.parametrize("algorithm", SUPPORTED)
def test_the_names_that_were_there_stay(algorithm: type[BaseAlgorithm]) -> None:
    names = set(algorithm.policy_aliases)
    assert {"MlpPolicy", "CnnPolicy", "MultiInputPolicy", "IntegralMlpPolicy"} <= names


@pytest.mark.parametrize("algorithm", [DQN, RecurrentPPO, BaseAlgorithm])
def test_algorithms_with_other_policies_do_not_know_the_name(algorithm: type[BaseAlgorithm]) -> None:
    assert "IntegralMlpPolicy" not in algorithm.policy_aliases
