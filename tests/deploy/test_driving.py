from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sb3_contrib
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy

from sb3_integral import ResizablePolicy
from sb3_integral.actor import quickest_actor
from sb3_integral.deploy.driving import DrivingPredictor

FOREVER = 1e9
"""A target that every machine meets, in microseconds."""


@pytest.fixture(params=["integral", "plain"])
def policy(request: pytest.FixtureRequest, make_policy: Callable[..., Any]) -> Any:
    if request.param == "integral":
        return make_policy("box")
    return ResizablePolicy(make_policy("box", policy_class=ActorCriticPolicy), "bicubic-rescaled")


@pytest.mark.parametrize("size", [(16, 12), (5, 9), (1, 1)])
def test_actions_are_those_of_the_policy_at_the_size(policy, size):
    observations = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    driver = DrivingPredictor(policy, FOREVER, sizes=[size])
    assert driver.sizes == size
    expected, _ = policy.resize(size).predict(observations, deterministic=True)
    np.testing.assert_allclose(driver.predict(observations)[0], expected, atol=1e-5)
    expected, _ = policy.predict(observations[0], deterministic=True)
    np.testing.assert_allclose(driver.predict(observations[0])[0], expected, atol=1e-5)


def slow_above(largest: int) -> Callable[[BasePolicy], Any]:
    """A machine on which wide networks take a hundredth of a second."""

    def make(policy: BasePolicy) -> Any:
        actor = quickest_actor(policy)
        width = policy.mlp_extractor.policy_net[0].out_features

        def act(observation: Any) -> Any:
            if width > largest:
                time.sleep(0.01)
            return actor(observation)

        return act

    return make


def test_it_leaves_a_size_that_is_too_slow(make_policy):
    # Given one that is slow while it drives, but was not when it was measured
    slow = {"now": False}

    def make(policy: BasePolicy) -> Any:
        quick, tardy = quickest_actor(policy), slow_above(8)(policy)
        return lambda observation: (tardy if slow["now"] else quick)(observation)

    driver = DrivingPredictor(make_policy("box"), 9_000.0, sizes=[16, 12, 8, 4], make_actor=make)
    assert driver.sizes == (16, 16)

    # When
    slow["now"] = True
    for _ in range(10):
        driver.predict(np.zeros(5, np.float32))

    # Then
    assert driver.sizes in {(8, 8), (4, 4)}
    taken = [step.sizes for step in driver.record]
    assert taken[0] == (16, 16)
    assert len(taken) == 10


def test_the_record_says_when_what_and_how_long(policy):
    driver = DrivingPredictor(policy, FOREVER, sizes=[4], max_steps_kept=3)
    before = time.perf_counter()
    for _ in range(5):
        driver.predict(np.zeros(5, np.float32))
    after = time.perf_counter()
    assert len(driver.record) == 3
    moments = [step.seconds for step in driver.record]
    assert before < moments[0] < moments[1] < moments[2] < after
    for step in driver.record:
        assert step.sizes == (4, 4)
        assert 0 < step.latency_us <= (after - before) * 1e6


def test_it_drives_where_sb3_expects_a_policy():
    model = PPO("IntegralMlpPolicy", "CartPole-v1", seed=0)
    venv = make_vec_env("CartPole-v1", 3, seed=0)
    driver = DrivingPredictor(model.policy, FOREVER)
    assert driver.sizes == (64, 64)
    assert driver.ladder[0] == (4, 4)
    found = evaluate_policy(driver, venv, 6, return_episode_rewards=True)
    venv.seed(0)
    again = evaluate_policy(model.policy, venv, 6, return_episode_rewards=True)
    assert len(found[0]) == len(again[0]) == 6
    assert model.policy.sizes == (64, 64)


def test_without_sizes_parts_of_the_full_one_are_prepared(make_policy):
    policy = make_policy("box", net_arch={"pi": [64, 32], "vf": []})
    driver = DrivingPredictor(policy, FOREVER)
    assert driver.ladder[0] == (4, 2)
    assert driver.ladder[-1] == (64, 32)
    assert len(driver.ladder) == len(driver.idle_us) == 7


def test_what_it_cannot_do_is_refused(make_policy):
    policy = make_policy("box")
    with pytest.raises(ValueError, match="cannot be resized"):
        DrivingPredictor(policy.discretize(), FOREVER)
    with pytest.raises(ValueError, match="got no sizes"):
        DrivingPredictor(policy, FOREVER, sizes=[])
    with pytest.raises(ValueError, match="integer of at least 1, got 0"):
        DrivingPredictor(policy, FOREVER, sizes=[0])
    with pytest.raises(ValueError, match="target_us must be a positive number, got -1"):
        DrivingPredictor(policy, -1)
    with pytest.raises(ValueError, match="got deterministic=False"):
        DrivingPredictor(policy, FOREVER, sizes=[4]).predict(np.zeros(5), deterministic=False)
    recurrent = sb3_contrib.RecurrentPPO("IntegralMlpPolicy", "CartPole-v1").policy
    with pytest.raises(ValueError, match="is recurrent"):
        DrivingPredictor(recurrent, FOREVER)
