"""Perturbed environments."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import DelayObservation, StickyAction
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_integral import ResizablePolicy, evaluate_resize_sweep
from sb3_integral.evaluation.environments import env_factory
from sb3_integral.evaluation.perturbations import (
    PERTURBATIONS,
    ObservationDropout,
    ObservationNoise,
    PerturbedFactory,
    Physics,
)
from sb3_integral.imitation import StudentArchitecture


class Counting(gym.Env[np.ndarray, int]):
    """Its observations are 1, 2, 3, ... three times over; its reward is the action."""

    def __init__(self, shape: tuple[int, ...] = (3,), dtype: Any = np.float32) -> None:
        self.observation_space = spaces.Box(-100, 100, shape, dtype)
        self.action_space = spaces.Discrete(10)
        self._shape, self._dtype, self._step = shape, dtype, 0

    def _observation(self) -> np.ndarray:
        return np.full(self._shape, self._step + 1, self._dtype)

    def reset(
        self, *, seed: int | None = None, options: Any = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._step = 0
        return self._observation(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._step += 1
        return self._observation(), float(action), self._step >= 200, False, {}


def observations(env: gym.Env[Any, Any], seed: int | None, steps: int = 200) -> np.ndarray:
    first, _ = env.reset(seed=seed)
    return np.stack([first, *(env.step(0)[0] for _ in range(steps))])


def perturbed(name: str, value: float, scale: Any = 1.0, env: Any = Counting) -> gym.Env[Any, Any]:
    return PerturbedFactory(env, name, value, scale)()


def test_noise_has_the_deviation_of_each_observation() -> None:
    # Given noise of half a deviation, where the deviations are 1, 10 and 0
    env = perturbed("observation_noise", 0.5, np.array([1.0, 10.0, 0.0]))

    # When an episode is played
    seen = np.concatenate([observations(env, seed) for seed in range(20)])
    noise = seen - np.tile(np.arange(1, 202, dtype=float), 20)[:, None]

    # Then each number has its own, around zero
    assert noise.std(axis=0) == pytest.approx([0.5, 5.0, 0.0], rel=0.05)
    assert np.abs(noise.mean(axis=0)) == pytest.approx([0.0, 0.0, 0.0], abs=0.3)
    assert seen.dtype == np.float32


@pytest.mark.parametrize("name", ["observation_noise", "observation_dropout"])
def test_an_episode_of_a_seed_has_the_same_noise_every_time(name: str) -> None:
    # Given a perturbed environment
    env = perturbed(name, 0.3)

    # When the same episode is played twice, another in between, and one without a seed
    first, other, again, more = (observations(env, seed) for seed in (7, 8, 7, None))

    # Then only the same seed gives the same
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, more)


def test_noise_is_not_the_environments_own_randomness() -> None:
    # Given an environment that draws its beginning, with and without noise
    plain, noisy = (
        gym.make("CartPole-v1"),
        perturbed("observation_noise", 0.1, env=env_factory("CartPole-v1")),
    )

    # When both begin an episode
    plain.reset(seed=3)
    noisy.reset(seed=3)

    # Then the true state is the same
    np.testing.assert_array_equal(plain.unwrapped.state, noisy.unwrapped.state)  # type: ignore[attr-defined]


def test_dropout_reads_zero_as_often_as_it_should() -> None:
    # Given an environment without an observation of 0
    env = perturbed("observation_dropout", 0.2)

    # When it is played
    seen = observations(env, 0)

    # Then numbers are 0, each on its own, or as they were
    true = np.repeat(np.arange(1, 202, dtype=np.float32)[:, None], 3, axis=1)
    assert (seen == 0).mean() == pytest.approx(0.2, abs=0.05)
    assert ((seen == 0) | (seen == true)).all()
    assert len({tuple(row) for row in seen == 0}) == 8


@pytest.mark.parametrize("delay", [1, 2, 3])
def test_delayed_observations_are_those_of_steps_before(delay: int) -> None:
    # When observations are late
    seen = observations(perturbed("observation_delay", delay), 0, 5)[:, 0]

    # Then the first ones are 0, and then they follow, as by Gymnasium's wrapper
    assert seen.tolist() == ([0.0] * delay + [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])[:6]
    np.testing.assert_array_equal(seen, observations(DelayObservation(Counting(), delay), 0, 5)[:, 0])


def test_sticky_actions_repeat_the_action_before() -> None:
    # Given an environment whose reward is the action that arrives
    env = perturbed("sticky_actions", 0.25)
    theirs = StickyAction(Counting(), 0.25)

    # When actions go up and down
    env.reset(seed=1)
    theirs.reset(seed=1)
    actions = [1, 2] * 99
    arrived = [env.step(action)[1] for action in actions]

    # Then about a quarter of them were held back, as by Gymnasium's wrapper
    assert arrived == [theirs.step(action)[1] for action in actions]
    changed = np.mean(np.array(arrived) != np.array(actions))
    assert 0.1 < changed < 0.35


def test_physics_is_multiplied() -> None:
    # Given a model of MuJoCo's
    plain: Any = gym.make("InvertedPendulum-v5").unwrapped
    one = Physics(gym.make("InvertedPendulum-v5"), gravity=2.0, mass=3.0, friction=0.5)
    model: Any = one.unwrapped.model  # type: ignore[attr-defined]

    # Then each quantity is what it was, times its factor, also after a reset
    for _ in range(2):
        assert model.opt.gravity[2] == pytest.approx(2 * -9.81)
        np.testing.assert_allclose(model.body_mass, 3 * plain.model.body_mass)
        np.testing.assert_allclose(model.body_inertia, 3 * plain.model.body_inertia)
        np.testing.assert_allclose(model.geom_friction[:, 0], 0.5 * plain.model.geom_friction[:, 0])
        np.testing.assert_allclose(model.geom_friction[:, 1:], plain.model.geom_friction[:, 1:])
        one.reset(seed=0)


def test_a_heavier_world_falls_faster() -> None:
    # Given a pendulum that is not held, under gravity and without
    falls = []
    for factor in (0.0, 1.0, 3.0):
        env = perturbed("gravity", factor, env=env_factory("InvertedDoublePendulum-v5"))
        env.reset(seed=0)
        steps = 0
        while steps < 200 and not env.step(np.zeros(1, np.float32))[2]:
            steps += 1
        falls.append(steps)

    # Then it falls the faster the more there is
    assert falls[0] > falls[1] > falls[2]


@pytest.mark.parametrize("name", ["gravity", "mass", "friction"])
def test_what_has_no_model_has_no_physics_to_change(name: str) -> None:
    with pytest.raises(ValueError, match="MuJoCo"):
        perturbed(name, 0.5, env=env_factory("CartPole-v1"))


@pytest.mark.parametrize("name", ["observation_noise", "observation_dropout", "observation_delay"])
def test_observations_that_are_not_numbers_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="array of floats"):
        perturbed(name, 1 if name == "observation_delay" else 0.5, env=lambda: Counting(dtype=np.int16))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wind", 1.0),
        ("gravity", -1.0),
        ("gravity", float("nan")),
        ("mass", 0.0),
        ("mass", float("inf")),
        ("observation_dropout", 1.0),
        ("sticky_actions", 1.5),
        ("observation_delay", 1.5),
        ("observation_noise", True),
        ("observation_noise", "0.1"),
    ],
)
def test_a_strength_that_means_nothing_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        PerturbedFactory(Counting, name, value)


@given(st.integers(0, 2**32 - 1), st.sampled_from([(1,), (4,), (2, 3)]))
@settings(max_examples=20, deadline=None)
def test_no_strength_changes_nothing(seed: int, shape: tuple[int, ...]) -> None:
    # Given wrappers of strength zero
    plain = observations(Counting(shape), seed, 10)

    # Then the policy sees what there is
    np.testing.assert_array_equal(observations(ObservationNoise(Counting(shape), 0.0), seed, 10), plain)
    np.testing.assert_array_equal(
        observations(ObservationDropout(Counting(shape), 0.0), seed, 10), plain
    )


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_a_sweep_takes_a_perturbed_environment_in_place_of_an_id(name: str) -> None:
    # Given a policy, and an environment that can have every perturbation
    factory = env_factory("InvertedPendulum-v5")
    env = factory()
    student = StudentArchitecture("plain", hidden_sizes=(8, 8)).build(
        env.observation_space, env.action_space, seed=0
    )
    made = PerturbedFactory(factory, name, 1 if name == "observation_delay" else 0.9)

    # When it is evaluated at two sizes, in this process and with what a worker would get
    rows = evaluate_resize_sweep(ResizablePolicy(student), made, [8, 4], 2, seed=0)
    again = evaluate_resize_sweep(
        ResizablePolicy(student), pickle.loads(pickle.dumps(made)), [8, 4], 2, seed=0
    )

    # Then the same episodes are played
    assert rows == again
    assert len(rows) == 4
