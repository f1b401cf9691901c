"""An actor without hidden layers, which SB3 and rl-zoo3 use: nothing to resize, and all else works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_integral import (
    IntegralActorCriticPolicy,
    RandomSizeCallback,
    ResizablePolicy,
    evaluate_resize_sweep,
)
from sb3_integral.actor import quickest_actor
from sb3_integral.deploy import (
    BudgetError,
    export_sb3,
    fit_to_budget,
    load_policy,
    save_policy,
)
from sb3_integral.policies import as_resizable, init_from, make_integral
from sb3_integral.resize import RESIZE_METHODS

MakeModel = Callable[..., Any]
Act = Callable[..., NDArray[Any]]

ON_POLICY = (PPO, A2C, TRPO, MaskablePPO, RecurrentPPO)
ALGORITHMS = (*ON_POLICY, DQN, SAC, TD3, DDPG, QRDQN, TQC, CrossQ, ARS)
CASES = [
    (algorithm, arch)
    for algorithm in ALGORITHMS
    for arch in ([], {"pi": [], "vf": [8]}, {"vf": [8]})
    if algorithm in ON_POLICY or arch == []
]


@pytest.mark.parametrize(("algorithm", "arch"), CASES)
def test_an_integral_policy_learns_as_the_plain_one_and_has_no_sizes(
    make_model: MakeModel,
    stock: Callable[..., str],
    act: Act,
    tmp_path: Path,
    algorithm: type[BaseAlgorithm],
    arch: Any,
) -> None:
    # given
    kinds = ("IntegralMlpPolicy", stock(algorithm, "IntegralMlpPolicy"))
    models = [make_model(algorithm, kind, net_arch=arch).learn(40) for kind in kinds]
    model, plain = models
    policy = model.policy
    expected = act(plain.policy, model)
    # then
    np.testing.assert_array_equal(act(policy, model), expected)
    assert (policy.sizes, policy.max_sizes) == ((), ())
    # and every size is the same
    assert policy.resize(()).resize(5) is policy
    assert policy.compression() == policy.compression(()) == policy.compression(3) == 0.0
    with policy.resized([]):
        np.testing.assert_array_equal(act(policy, model), expected)
    np.testing.assert_array_equal(act(policy.discretize(()), model), expected)
    # and it comes back from files
    model.save(tmp_path / "model")
    policy.save(str(tmp_path / "policy"))
    of_model = algorithm.load(tmp_path / "model", device="cpu").policy
    of_policy = type(policy).load(str(tmp_path / "policy"), device="cpu")
    for loaded in (of_model, of_policy):
        assert loaded.sizes == ()  # type: ignore[union-attr]
        np.testing.assert_array_equal(act(loaded, model), expected)
    # and a number of sizes is still a number of sizes
    with pytest.raises(ValueError, match="got 1 of them"):
        policy.resize([8])


@pytest.mark.parametrize("method", RESIZE_METHODS)
def test_a_plain_policy_is_itself_by_every_method(make_model: MakeModel, act: Act, method: str) -> None:
    # given
    model = make_model(PPO, "MlpPolicy", net_arch=[])
    observations = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    # when
    resizable = ResizablePolicy(model.policy, method, observations).resize(())
    # then
    assert (resizable.sizes, resizable.max_sizes, resizable.compression()) == ((), (), 0.0)
    np.testing.assert_array_equal(act(resizable, model), act(model.policy, model))


@pytest.mark.parametrize("algorithm", [DQN, SAC, TD3, QRDQN, MaskablePPO])
def test_a_plain_policy_of_any_algorithm_is_itself(
    make_model: MakeModel, act: Act, algorithm: type[BaseAlgorithm]
) -> None:
    model = make_model(algorithm, "MlpPolicy", net_arch=[])
    resizable = ResizablePolicy(model.policy)
    assert resizable.sizes == ()
    np.testing.assert_array_equal(act(resizable, model), act(model.policy, model))


def test_the_linear_policy_of_ars_is_itself(make_model: MakeModel, act: Act) -> None:
    space = make_model(ARS, "IntegralMlpPolicy").observation_space
    model = make_model(ARS, "LinearPolicy", observation_space=space)
    resizable = ResizablePolicy(model.policy)
    assert resizable.sizes == ()
    np.testing.assert_array_equal(act(resizable, model), act(model.policy, model))


@pytest.mark.parametrize("critic", [[], [8]], ids=str)
def test_a_critic_may_be_integral_all_the_same(make_model: MakeModel, critic: list[int]) -> None:
    policy = make_model(PPO, net_arch={"pi": [], "vf": critic}, integral_critic=True).policy
    assert policy.critic_sizes == tuple(critic)
    assert policy.resize_critic(4).critic_sizes == (4,) * len(critic)


def test_channels_are_resized_where_only_these_are_axes(make_model: MakeModel) -> None:
    kwargs = {"net_arch": [], "features_extractor_kwargs": {"features_dim": 16}}
    policy = make_model(PPO, "IntegralCnnPolicy", **kwargs).policy
    assert policy.sizes == (32, 64, 64, 16)


def test_noise_that_depends_on_the_state_has_no_axis(make_model: MakeModel) -> None:
    model = make_model(PPO, arguments={"use_sde": True}, net_arch=[]).learn(20)
    assert model.policy.resize(3).sizes == ()


def test_an_integral_policy_is_made_of_a_plain_one(make_model: MakeModel, act: Act) -> None:
    # given
    model = make_model(PPO, "MlpPolicy", net_arch=[])
    expected = act(model.policy, model)
    # when
    made = make_integral(model.policy)
    begun = init_from(make_model(PPO, net_arch=[], seed=1).policy, model.policy)
    # then
    for policy in (made, begun):
        assert isinstance(policy, IntegralActorCriticPolicy)
        np.testing.assert_array_equal(act(policy, model), expected)


def test_random_sizes_change_nothing(make_model: MakeModel) -> None:
    # when
    plain = make_model(PPO, net_arch=[]).learn(40)
    random = make_model(PPO, net_arch=[]).learn(40, callback=RandomSizeCallback([3, 7], seed=0))
    # then
    for one, other in zip(plain.policy.parameters(), random.policy.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("kind", ["IntegralMlpPolicy", "MlpPolicy"])
def test_it_fits_a_budget_or_it_does_not(make_model: MakeModel, kind: str) -> None:
    # given
    policy: Any = as_resizable(make_model(PPO, kind, net_arch=[]), "bicubic")
    # when
    fitted = [fit_to_budget(policy, max_parameters=100, score=score) for score in (None, lambda _: 1.0)]
    # then
    assert [each.sizes for each in fitted] == [(), ()]
    assert fitted[0].parameters == 2 * (4 + 1)
    with pytest.raises(BudgetError):
        fit_to_budget(policy, max_parameters=3)


def test_its_size_in_a_sweep_is_called_full(make_model: MakeModel) -> None:
    model = make_model(PPO, net_arch=[])
    rows = evaluate_resize_sweep(model.policy, model.get_env(), [(), 4], 1)
    assert [(row.size, row.compression) for row in rows] == [("full", 0.0), ("full", 0.0)]


@pytest.mark.parametrize("algorithm", [PPO, SAC, DQN])
def test_its_actor_is_exported(
    make_model: MakeModel, act: Act, tmp_path: Path, algorithm: type[BaseAlgorithm]
) -> None:
    # given
    model = make_model(algorithm, net_arch=[])
    observations = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
    expected, _ = model.predict(observations, deterministic=True)
    # when
    path = tmp_path / "policy.safetensors"
    save_policy(model.policy, path)
    actor = quickest_actor(model.policy)
    plain = export_sb3(model, tmp_path / "model.zip")
    # then
    for index, observation in enumerate(observations):
        np.testing.assert_allclose(actor(observation), expected[index], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(plain.predict(observations, deterministic=True)[0], expected)
    loaded: Any = load_policy(path)
    assert loaded.sizes == ()
    np.testing.assert_array_equal(loaded.predict(observations, deterministic=True)[0], expected)
