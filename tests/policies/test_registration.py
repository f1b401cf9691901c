from __future__ import annotations

import sys
import warnings
from typing import Any

import pytest
import torch
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.envs import BitFlippingEnv
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.torch_layers import CombinedExtractor

from sb3_integral import IntegralActorCriticPolicy
from sb3_integral.policies import IntegralPolicy, off_policy, register_policies
from sb3_integral.policies.contrib import (
    IntegralARSPolicy,
    IntegralCrossQPolicy,
    IntegralMaskableActorCriticPolicy,
    IntegralQRDQNPolicy,
    IntegralRecurrentActorCriticPolicy,
    IntegralTQCPolicy,
)
from sb3_integral.policies.registration import KINDS, integral_policies

SUPPORTED: dict[type[BaseAlgorithm], tuple[str, type[IntegralPolicy], tuple[int, ...]]] = {
    PPO: ("CartPole-v1", IntegralActorCriticPolicy, (64, 64)),
    A2C: ("CartPole-v1", IntegralActorCriticPolicy, (64, 64)),
    TRPO: ("CartPole-v1", IntegralActorCriticPolicy, (64, 64)),
    MaskablePPO: ("CartPole-v1", IntegralMaskableActorCriticPolicy, (64, 64)),
    RecurrentPPO: ("CartPole-v1", IntegralRecurrentActorCriticPolicy, (64, 64)),
    DQN: ("CartPole-v1", off_policy.IntegralDQNPolicy, (64, 64)),
    QRDQN: ("CartPole-v1", IntegralQRDQNPolicy, (64, 64)),
    ARS: ("CartPole-v1", IntegralARSPolicy, (64, 64)),
    SAC: ("Pendulum-v1", off_policy.IntegralSACPolicy, (256, 256)),
    TQC: ("Pendulum-v1", IntegralTQCPolicy, (256, 256)),
    CrossQ: ("Pendulum-v1", IntegralCrossQPolicy, (256, 256)),
    TD3: ("Pendulum-v1", off_policy.IntegralTD3Policy, (400, 300)),
    DDPG: ("Pendulum-v1", off_policy.IntegralTD3Policy, (400, 300)),
}
MLP_ONLY = (CrossQ, ARS)


@pytest.mark.parametrize("algorithm", SUPPORTED)
def test_an_algorithm_makes_the_policy_by_its_name(algorithm: type[BaseAlgorithm]) -> None:
    # given
    env, policy_class, sizes = SUPPORTED[algorithm]
    arguments = {} if issubclass(algorithm, (OnPolicyAlgorithm, ARS)) else {"buffer_size": 10}
    # when
    model = algorithm("IntegralMlpPolicy", env, device="cpu", **arguments)  # type: ignore[arg-type]
    # then: of the sizes that the algorithm's own policy has by default
    assert type(model.policy) is policy_class
    assert model.policy.sizes == sizes


def test_these_are_all_that_are_registered() -> None:
    assert set(integral_policies()) == set(SUPPORTED)


def test_registering_again_changes_nothing() -> None:
    # given
    before = [dict(algorithm.policy_aliases) for algorithm in SUPPORTED]
    # when
    register_policies()
    # then
    assert [algorithm.policy_aliases for algorithm in SUPPORTED] == before


@pytest.mark.parametrize("algorithm", SUPPORTED)
def test_the_names_that_were_there_stay(algorithm: type[BaseAlgorithm]) -> None:
    # given
    lstm = "Lstm" if algorithm is RecurrentPPO else ""
    kinds = KINDS[:1] if algorithm in MLP_ONLY else KINDS
    # when
    names = set(algorithm.policy_aliases)
    # then
    assert {kind.removeprefix("Integral").replace("Policy", f"{lstm}Policy") for kind in kinds} <= names
    assert {name for name in names if name.startswith("Integral")} == set(kinds)


def test_every_name_is_of_the_integral_kind_of_its_namesake() -> None:
    for algorithm in SUPPORTED:
        lstm = "Lstm" if algorithm is RecurrentPPO else ""
        for kind in KINDS[:1] if algorithm in MLP_ONLY else KINDS:
            integral = algorithm.policy_aliases[kind]
            plain = kind.removeprefix("Integral").replace("Policy", f"{lstm}Policy")
            assert issubclass(integral, IntegralPolicy)
            assert integral.plain_class() is algorithm.policy_aliases[plain]


def test_without_sb3_contrib_there_are_those_of_sb3(monkeypatch: pytest.MonkeyPatch) -> None:
    # given: what Python keeps for a module that cannot be imported
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    # then
    assert set(integral_policies()) == {PPO, A2C, DQN, SAC, TD3, DDPG}


@pytest.mark.parametrize("owner", [BaseAlgorithm, OnPolicyAlgorithm, OffPolicyAlgorithm])
def test_what_is_no_algorithm_of_its_own_does_not_know_the_name(owner: type) -> None:
    assert "IntegralMlpPolicy" not in getattr(owner, "policy_aliases", {})


# ---------------------------------------------------------------- where SB3 compares names


@pytest.mark.parametrize("kind", ["IntegralMlpPolicy", "IntegralCnnPolicy"])
@pytest.mark.parametrize("algorithm", SUPPORTED)
def test_dictionaries_of_observations_need_the_policy_that_reads_them(
    algorithm: type[BaseAlgorithm], kind: str
) -> None:
    # given
    if kind not in algorithm.policy_aliases:
        pytest.skip("there is no such policy")
    env = BitFlippingEnv(continuous=SUPPORTED[algorithm][0] == "Pendulum-v1")
    arguments = {} if issubclass(algorithm, (OnPolicyAlgorithm, ARS)) else {"buffer_size": 10}
    # when / then
    with pytest.raises(ValueError, match=r"cannot read dictionaries.*IntegralMultiInputPolicy"):
        algorithm(kind, env, device="cpu", **arguments)  # type: ignore[arg-type]


def test_a_policy_whose_extractor_reads_dictionaries_is_made() -> None:
    kwargs = {"features_extractor_class": CombinedExtractor}
    model = PPO(IntegralActorCriticPolicy, BitFlippingEnv(), device="cpu", policy_kwargs=kwargs)
    assert model.policy.sizes == (64, 64)  # type: ignore[union-attr]


@pytest.mark.parametrize("algorithm", [PPO, A2C, TRPO])
def test_the_cpu_is_recommended_where_sb3_recommends_it(algorithm: Any) -> None:
    for name in ("MlpPolicy", "IntegralMlpPolicy"):
        model = algorithm(name, "CartPole-v1", device="cpu")
        with warnings.catch_warnings(record=True) as on_cpu:
            warnings.simplefilter("always")
            model._maybe_recommend_cpu()
        # when
        model.device = torch.device("cuda")
        # then
        assert not on_cpu
        with pytest.warns(UserWarning, match=f"on the GPU.*{type(model.policy).__name__}"):
            model._maybe_recommend_cpu()


def test_the_cpu_is_not_recommended_where_sb3_does_not() -> None:
    for policy_class in (IntegralMaskableActorCriticPolicy, subclass_of(IntegralActorCriticPolicy)):
        model = PPO("MlpPolicy", "CartPole-v1", device="cpu")
        model.policy_class, model.device = policy_class, torch.device("cuda")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model._maybe_recommend_cpu()


def subclass_of(policy_class: type[IntegralPolicy]) -> Any:
    return type("OwnPolicy", (policy_class,), {})
