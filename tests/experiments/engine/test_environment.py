from __future__ import annotations

import gymnasium as gym
import pytest

from sb3_integral.experiments.engine.environment import DEFAULT_MAX_EPISODE_STEPS, Environment


@pytest.fixture
def small(functions) -> Environment:
    return Environment.from_name("small_environment:Small-v0")


def test_the_module_before_the_colon_registers_the_environment(small):
    assert small == Environment("Small-v0", ("small_environment",))
    with small.registered() as spec:
        assert spec.id == "Small-v0"
        assert gym.make("Small-v0").observation_space.shape == (2,)


def test_packages_register_an_environment_as_well(functions):
    environment = Environment.from_name("Small-v0", ("small_environment",))
    with environment.registered() as spec:
        assert spec.id == "Small-v0"


def test_an_environment_without_an_end_has_a_time_limit_during_the_block_alone(small):
    with small.registered() as spec:
        assert spec.max_episode_steps == DEFAULT_MAX_EPISODE_STEPS
    assert gym.spec("Small-v0").max_episode_steps is None
    assert not small.has_time_limit()


@pytest.mark.parametrize(("limit", "expected"), [(None, 500), (20, 20)])
def test_a_time_limit_of_ones_own_wins(limit, expected):
    with Environment("CartPole-v1", max_episode_steps=limit).registered():
        assert gym.make("CartPole-v1").spec.max_episode_steps == expected
    assert gym.spec("CartPole-v1").max_episode_steps == 500


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cartpole-v1", "did you mean CartPole-v1"),
        ("CartPole-v99", "did you mean CartPole-v"),
        ("Qwertz-v0", "`gym_packages: [package]` or `env: package:Env-v0`"),
    ],
)
def test_an_unknown_environment_is_an_error_with_what_may_be_meant(name, said):
    with pytest.raises(ValueError, match="is not registered with Gymnasium") as error:
        Environment.from_name(name).versions  # noqa: B018
    assert said in str(error.value)


def test_a_package_that_cannot_be_imported_is_an_error_that_names_it():
    with pytest.raises(ValueError, match=r"package 'nowhere' cannot be imported \(ModuleNotFoundError"):
        Environment.from_name("nowhere:Small-v0").versions  # noqa: B018


@pytest.mark.parametrize(
    ("name", "distribution"),
    [("Hopper-v5", "mujoco"), ("BipedalWalker-v3", "box2d"), ("CartPole-v1", None)],
)
def test_a_simulator_is_among_the_versions(name, distribution):
    assert set(Environment(name).versions) == {"gymnasium", distribution} - {None}
