"""Learning as SB3's MlpPolicy does, on its algorithms and environments."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib import TRPO
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_integral.nn import CubicConvolution

STEPS = 5120
SEEDS = (0, 1, 2)


@functools.cache
def learned(policy: str, seed: int, grid_size: int | None = None) -> PPO:
    policy_kwargs = {} if grid_size is None else {"grid_size": grid_size}
    model = PPO(
        policy,
        "CartPole-v1",
        n_steps=512,
        batch_size=128,
        learning_rate=3e-3,
        gamma=0.98,
        gae_lambda=0.9,
        seed=seed,
        device="cpu",
        policy_kwargs=policy_kwargs,
    )
    return model.learn(STEPS)


def mean_return(model: BaseAlgorithm) -> float:
    """Evaluate with drawn actions: an untrained policy's likeliest ones can balance by luck."""
    env = make_vec_env("CartPole-v1", n_envs=10, seed=99)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return float(evaluate_policy(model, env, 20, deterministic=False)[0])


@pytest.mark.xdist_group("learning")
class TestCartPole:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_it_learns_exactly_what_the_plain_policy_learns(self, seed: int) -> None:
        # given
        untrained = PPO("IntegralMlpPolicy", "CartPole-v1", seed=seed, device="cpu")
        # when
        integral, plain = learned("IntegralMlpPolicy", seed), learned("MlpPolicy", seed)
        # then: the same parameters after the same steps
        assert integral.num_timesteps == plain.num_timesteps == STEPS
        ours, theirs = (dict(model.policy.named_parameters()) for model in (integral, plain))
        assert list(ours) == list(theirs)
        for name in ours:
            assert torch.equal(ours[name], theirs[name]), name
        # and something was learned: a random policy keeps the pole up for some 25 steps
        before, after = mean_return(untrained), mean_return(integral)
        assert before < 50
        assert after > 3 * before

    @pytest.mark.slow
    @pytest.mark.parametrize("grid_size", [96])
    def test_it_learns_as_well_on_another_grid(self, grid_size: int) -> None:
        # given
        plain = [mean_return(learned("MlpPolicy", seed)) for seed in SEEDS]
        # when
        integral = [learned("IntegralMlpPolicy", seed, grid_size) for seed in SEEDS]
        # then
        assert np.mean([mean_return(model) for model in integral]) > 0.5 * np.mean(plain)
        assert all(model.policy.sizes == (64, 64) for model in integral)
        assert all(model.policy.action_net.weight.shape == (2, grid_size) for model in integral)

    def test_a_learned_policy_still_balances_at_three_quarters_of_its_size(self) -> None:
        # given
        model = learned("IntegralMlpPolicy", 0)
        # when
        try:
            model.policy.resize(48)
            resized = mean_return(model)
        finally:
            model.policy.resize(64)
        # then
        assert resized > 75


@pytest.mark.parametrize("integral_critic", [False, True])
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("algorithm", [PPO, A2C, TRPO])
def test_every_algorithm_learns_with_every_option(
    algorithm: type[BaseAlgorithm], env: str, integral_critic: bool
) -> None:
    # given
    model = algorithm(
        "IntegralMlpPolicy",
        env,
        n_steps=128,
        seed=0,
        device="cpu",
        policy_kwargs={
            "net_arch": {"pi": [32, 24], "vf": [16]},
            "grid_size": 16,
            "kernel": CubicConvolution(a=-0.5),
            "quadrature": "trapezoidal",
            "integral_critic": integral_critic,
        },
    )
    before = {name: p.detach().clone() for name, p in model.policy.named_parameters()}
    # when
    model.learn(128)
    # then: every parameter was learned
    assert model.num_timesteps == 128
    for name, parameter in model.policy.named_parameters():
        assert parameter.isfinite().all(), name
        assert not torch.equal(parameter, before[name]), name
    # and the policy acts at full size, below and above
    observation = model.observation_space.sample()
    for sizes in [(32, 24), (3, 5), (64, 64)]:
        model.policy.resize(sizes)
        action, _ = model.predict(observation, deterministic=True)
        assert model.action_space.contains(action)
        assert model.policy.sizes == sizes
    assert model.policy.max_sizes == (32, 24)
    assert model.policy.critic_sizes == ((16,) if integral_critic else ())


@pytest.mark.parametrize("algorithm", [A2C, TRPO])
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_other_algorithms_learn_what_they_learn_with_the_plain_policy(
    algorithm: type[BaseAlgorithm], env: str
) -> None:
    # when
    def parameters(policy: str, **policy_kwargs: Any) -> np.ndarray[Any, Any]:
        model = algorithm(policy, env, n_steps=128, seed=0, device="cpu", policy_kwargs=policy_kwargs)
        return model.learn(128).policy.parameters_to_vector()

    # then
    np.testing.assert_array_equal(parameters("IntegralMlpPolicy"), parameters("MlpPolicy"))


def test_learning_goes_on_at_the_size_in_force() -> None:
    # given
    model = PPO("IntegralMlpPolicy", "CartPole-v1", n_steps=128, seed=0, device="cpu")
    model.policy.resize(20)
    before = model.policy.parameters_to_vector()
    # when
    model.learn(128)
    # then
    assert model.policy.sizes == (20, 20)
    assert not np.array_equal(model.policy.parameters_to_vector(), before)
