from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from sb3_integral.evaluation.variants import BACKWARD, ICE, LOW_GRAVITY, VARIANTS

pytest.importorskip("mujoco")


def pushed(env_id: str) -> tuple[float, float, float]:
    """Return the reward, the velocity and the cost of control of a step of a given cheetah."""
    env = gym.make(env_id)
    env.reset(seed=3)
    _, reward, _, _, info = env.step(np.ones(6, np.float32))
    env.close()
    return float(reward), info["x_velocity"], info["reward_ctrl"]


@pytest.mark.parametrize("env_id", VARIANTS)
def test_variants_have_the_spaces_and_the_time_limit_of_the_original(env_id):
    env, original = gym.make(env_id), gym.make("HalfCheetah-v5")
    assert env.observation_space == original.observation_space
    assert env.action_space == original.action_space
    assert env.spec.max_episode_steps == original.spec.max_episode_steps == 1000


def test_running_backward_is_what_earns_reward():
    reward, velocity, control = pushed(BACKWARD)
    assert reward == pytest.approx(-velocity + control)
    # in the same world
    assert pushed("HalfCheetah-v5")[1:] == (velocity, control)


def test_gravity_is_halved_and_friction_a_third_and_the_original_stays():
    # given
    original, light, ice = (
        gym.make(env_id).unwrapped.model for env_id in ("HalfCheetah-v5", LOW_GRAVITY, ICE)
    )
    # then
    np.testing.assert_allclose(light.opt.gravity, original.opt.gravity / 2)
    np.testing.assert_array_equal(light.geom_friction, original.geom_friction)
    np.testing.assert_allclose(ice.geom_friction[:, 0], original.geom_friction[:, 0] / 3)
    np.testing.assert_array_equal(ice.geom_friction[:, 1:], original.geom_friction[:, 1:])
    np.testing.assert_array_equal(ice.opt.gravity, original.opt.gravity)
    assert original.opt.gravity[2] == pytest.approx(-9.81)


def test_other_physics_give_other_episodes():
    moved = {env_id: moved_in_100_steps(env_id) for env_id in ("HalfCheetah-v5", LOW_GRAVITY, ICE)}
    assert len({round(distance, 3) for distance in moved.values()}) == 3


def moved_in_100_steps(env_id: str) -> float:
    env = gym.make(env_id)
    env.reset(seed=3)
    for step in range(100):
        *_, info = env.step(np.full(6, np.sin(0.5 * step), np.float32))
    env.close()
    return float(info["x_position"])
