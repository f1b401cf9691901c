"""Actions of any scale are cloned alike, and the student's action layer gives actions all the time."""

from __future__ import annotations

import functools
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_integral.imitation import (
    Demonstrations,
    RandomSizes,
    Sandwich,
    StudentArchitecture,
    clone,
    dagger,
    make_trainer,
)
from sb3_integral.imitation.action_scale import ActionScale
from sb3_integral.policies import ResizablePolicy

OBSERVED = spaces.Box(-1.0, 1.0, (3,), np.float32)
SIZES = {"plain": None, "integral": None, "slimmable": Sandwich()}
ARCHITECTURES = {"plain": {}, "integral": {}, "slimmable": {"scale_levels": 0}}


def observations(seed: int = 0, n: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (n, 3)).astype(np.float32)


def wanted(seen: np.ndarray) -> np.ndarray:
    """Actions in [-1, 1]."""
    return 0.8 * np.sin(2.0 * seen[:, :2])


def demonstrations(space: spaces.Box, middle: Any, half: Any) -> Demonstrations:
    seen = observations()
    acts = (middle + half * wanted(seen)).astype(space.dtype)
    return Demonstrations(torch.from_numpy(seen), torch.from_numpy(acts), torch.zeros(1))


def box(middle: Any, half: Any, dtype: Any = np.float32) -> spaces.Box:
    low, high = (np.broadcast_to(np.asarray(end, dtype), (2,)) for end in (middle - half, middle + half))
    return spaces.Box(low, high, (2,), dtype)


def student(kind: str, space: spaces.Space[Any]) -> Any:
    name = "plain" if kind == "plain" else "integral"
    return StudentArchitecture(name, (24, 24), **ARCHITECTURES[kind]).build(OBSERVED, space, seed=0)


def relative_error(policy: Any, middle: Any, half: Any) -> float:
    seen = observations(seed=1, n=300)
    got, _ = policy.predict(seen, deterministic=True)
    return float(np.sqrt(np.mean(((got - middle) / half - wanted(seen)) ** 2)))


SCALES: dict[str, tuple[Any, Any, Any]] = {
    "10 to 20": (15.0, 5.0, np.float32),
    "0 to 255": (127.5, 127.5, np.float32),
    "a thousandth": (0.0, 1e-3, np.float32),
    "float64": (0.0, 1e4, np.float64),
    "unequal": (np.array([0.0, 500.0]), np.array([1e-3, 1e3]), np.float32),
}
"""Middle and half of the range of actions, and their type."""


@pytest.fixture(scope="module")
def error_at_scale() -> Any:
    """The relative error of a kind of student at a scale; each is trained once."""

    @functools.cache
    def measured(kind: str, name: str) -> float:
        middle, half, dtype = SCALES.get(name, (0.0, 1.0, np.float32))
        space = box(middle, half, dtype)
        policy = student(kind, space)
        data = demonstrations(space, middle, half)
        clone(policy, data, n_epochs=30, batch_size=32, sizes=SIZES[kind])
        return relative_error(policy, middle, half)

    return measured


@pytest.mark.parametrize(
    ("kind", "name"),
    [*(("integral", name) for name in SCALES), ("plain", "0 to 255"), ("slimmable", "unequal")],
)
def test_actions_of_any_scale_are_cloned_alike(error_at_scale, kind, name) -> None:
    at_one = error_at_scale(kind, "-1 to 1")
    assert error_at_scale(kind, name) < 1.3 * at_one + 0.02
    assert at_one < 0.2


@pytest.mark.parametrize("loss", ["clipped", "paper"])
def test_cloning_is_equivariant(loss) -> None:
    """Given actions and twice the same plus one, then the students do twice the same plus one."""
    policies = []
    for middle, half in ((0.0, 1.0), (1.0, 2.0)):
        space = box(middle, half)
        policy = student("integral", space)
        data = demonstrations(space, middle, half)
        policies.append(clone(policy, data, n_epochs=3, batch_size=32, loss=loss))
    seen = observations(seed=2, n=50)
    for size in (24, 7):
        one, other = (p.resize(size).predict(seen, deterministic=True)[0] for p in policies)
        np.testing.assert_allclose(other, 2.0 * one + 1.0, atol=1e-3)
    torch.testing.assert_close(policies[1].log_std, policies[0].log_std + np.log(2.0))


# imitation logs the loss without detaching it.
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True:UserWarning")
@pytest.mark.parametrize("kind", ["plain", "slimmable"])
def test_the_action_layer_gives_actions_after_every_pass(kind) -> None:
    # given a trainer of imitation's, with which its user does as he likes
    space = box(127.5, 127.5)
    policy, data = student(kind, space), demonstrations(space, 127.5, 127.5)
    trainer = make_trainer(policy, data, batch_size=32, sizes=SIZES[kind])
    errors = []
    # when
    trainer.train(
        n_epochs=10,
        on_epoch_end=lambda: errors.append(relative_error(policy, 127.5, 127.5)),
        progress_bar=False,
    )
    # then
    assert errors[-1] < 0.25
    assert max(errors) < 0.8


@pytest.mark.parametrize("size", [24, 9])
def test_nothing_has_to_be_folded_when_a_student_leaves(size) -> None:
    """Given a trained student, then its ordinary policy of any size acts as it does."""
    space = box(np.array([0.0, 500.0]), np.array([1e-3, 1e3]))
    data = demonstrations(space, np.array([0.0, 500.0]), np.array([1e-3, 1e3]))
    policy = clone(student("integral", space), data, n_epochs=2, batch_size=32)
    seen = observations(seed=3, n=40)
    with policy.resized(size):
        expected, _ = policy.predict(seen, deterministic=True)
    got, _ = policy.discretize(size).predict(seen, deterministic=True)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    fresh = student("integral", space)
    fresh.load_state_dict(policy.state_dict())
    np.testing.assert_array_equal(
        fresh.predict(seen, deterministic=True)[0], policy.predict(seen, deterministic=True)[0]
    )
    plain = clone(student("plain", space), data, n_epochs=1, batch_size=32)
    resized = ResizablePolicy(plain, "bicubic")
    np.testing.assert_allclose(
        resized.predict(seen, deterministic=True)[0],
        plain.predict(seen, deterministic=True)[0],
        rtol=1e-4,
        atol=1e-6,
    )


@pytest.mark.parametrize(("kind", "value"), [("integral", 0.0), ("plain", 150.0), ("slimmable", 150.0)])
def test_an_action_that_is_constant_is_learned_too(kind, value) -> None:
    # given
    space = box(np.zeros(2), np.array([1.0, 200.0]))
    seen = observations()
    acts = np.stack([wanted(seen)[:, 0], np.full(len(seen), value)], axis=1).astype(np.float32)
    data = Demonstrations(torch.from_numpy(seen), torch.from_numpy(acts), torch.zeros(1))
    # when
    policy = clone(student(kind, space), data, n_epochs=20, batch_size=32, sizes=SIZES[kind])
    # then
    got, _ = policy.predict(seen, deterministic=True)
    assert np.abs(got[:, 0] - acts[:, 0]).mean() < 0.2
    assert np.abs(got[:, 1] - value).max() < 4.0  # a fiftieth of its range


def test_training_goes_on_from_a_trained_student() -> None:
    """Given a student that was cloned, when it is cloned for a moment more, then it stays as good."""
    space = box(127.5, 127.5)
    data = demonstrations(space, 127.5, 127.5)
    policy = clone(student("integral", space), data, n_epochs=30, batch_size=32)
    before = relative_error(policy, 127.5, 127.5)
    log_std = policy.log_std.clone()
    clone(policy, data, n_epochs=1, batch_size=32, learning_rate=1e-6)
    assert relative_error(policy, 127.5, 127.5) == pytest.approx(before, rel=0.05)
    assert torch.equal(policy.log_std, log_std)


@pytest.mark.parametrize("mean", [3e4, 1e6])
def test_small_steps_are_not_lost_beside_a_large_mean(mean) -> None:
    space = box(mean, 100.0)
    policy = clone(
        student("plain", space), demonstrations(space, mean, 100.0), n_epochs=40, batch_size=32
    )
    assert relative_error(policy, mean, 100.0) < 0.12


def test_bounds_that_are_clipped_have_no_error_at_any_scale() -> None:
    # given an expert that is at a bound, or the other, all the time
    space = spaces.Box(0.0, 255.0, (1,), np.float32)
    seen = observations()
    acts = np.where(seen[:, :1] > 0, 255.0, 0.0).astype(np.float32)
    data = Demonstrations(torch.from_numpy(seen), torch.from_numpy(acts), torch.zeros(1))
    # when
    policy = clone(student("plain", space), data, n_epochs=20, batch_size=32)
    # then the mean actions go beyond the bounds, and what is clipped is right
    with torch.no_grad():
        means = policy.get_distribution(data.observations).distribution.mean
    assert float(means.max()) > 260.0
    assert (np.abs(policy.predict(seen, deterministic=True)[0] - acts) < 1.0).mean() > 0.9


def test_matrices_and_single_numbers_are_actions_too() -> None:
    for shape in ((2, 2), ()):
        space = spaces.Box(0.0, 255.0, shape, np.float32)
        acts = torch.rand(128, *shape, generator=torch.Generator().manual_seed(0)) * 255.0
        data = Demonstrations(torch.from_numpy(observations(n=128)), acts, torch.zeros(1))
        policy = clone(student("integral", space), data, n_epochs=2, batch_size=32)
        got, _ = policy.predict(observations(n=5), deterministic=True)
        assert got.shape == (5, *shape)
        assert 60.0 < got.mean() < 190.0


def test_the_scale_is_measured_per_dimension() -> None:
    space = spaces.Box(np.array([-1, -np.inf, -2.0]), np.array([1, np.inf, 2.0]), (3,), np.float64)
    actions = torch.tensor([[0.0, 5.0, 1.0], [1.0, 5.0, 3.0]], dtype=torch.float64)
    scale = ActionScale.from_actions(actions, space)
    torch.testing.assert_close(scale.mean, torch.tensor([0.5, 5.0, 2.0], dtype=torch.float64))
    # The second is constant and has no bounds, so a hundredth of its magnitude stands in.
    expected = torch.tensor([0.5 * 3**0.5, 0.05, 3**0.5], dtype=torch.float64)
    torch.testing.assert_close(scale.unit, expected)


class Drawn(gym.Env[Any, Any]):
    observation_space = OBSERVED

    def __init__(self, action_space: spaces.Box) -> None:
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, **_: Any) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        seen = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        return seen, 0.0, self.count == 50, False, {}


def test_dagger_keeps_the_statistics_of_its_first_round() -> None:
    """Given actions in [0, 255], then DAgger's student does them, and its rounds fit together."""
    space = box(127.5, 127.5)

    def expert(seen: np.ndarray, state: Any, dones: Any) -> tuple[np.ndarray, None]:
        return (127.5 + 127.5 * wanted(seen)).astype(np.float32), None

    fitted = []
    policy = student("integral", space)
    extractor = policy.features_extractor
    venv = DummyVecEnv([lambda: Drawn(space)])
    venv.seed(0)
    dagger(
        policy, expert, venv, 400, n_rounds=3, epochs_per_round=8, n_epochs=30, batch_size=32,
        on_round_end=lambda _: fitted.append(extractor.shift.clone()),
    )  # fmt: skip
    assert relative_error(policy, 127.5, 127.5) < 0.15
    assert torch.equal(fitted[1], fitted[2])
    assert torch.equal(extractor.shift, fitted[1])


def test_dagger_learns_an_action_that_was_constant_in_its_first_round() -> None:
    # given an expert whose second action varies from the second round on, far from its first unit
    space, asked = spaces.Box(np.float32([-1, -np.inf]), np.float32([1, np.inf])), [0]

    def expert(seen: np.ndarray, state: Any, dones: Any) -> tuple[np.ndarray, None]:
        asked[0] += len(seen)
        scale = np.array([1.0, 0.0 if asked[0] <= 100 else 200.0])
        return (scale * wanted(seen)).astype(np.float32), None

    policy, venv = student("plain", space), DummyVecEnv([lambda: Drawn(space)])
    venv.seed(0)
    # when
    dagger(policy, expert, venv, 1000, n_rounds=10, epochs_per_round=2, n_epochs=40, batch_size=32)
    # then
    seen = observations(seed=4)
    got, _ = policy.predict(seen, deterministic=True)
    assert np.abs(got[:, 1] / 200.0 - wanted(seen)[:, 1]).mean() < 0.2


def test_discrete_actions_have_no_scale(cart_pole) -> None:
    """Given discrete actions, then nothing is changed before training."""
    policy = StudentArchitecture("integral", (8, 8)).build(
        cart_pole.observation_space, cart_pole.action_space, seed=0
    )
    before = policy.action_net.bias.clone()
    make_trainer(policy, cart_pole.demonstrations, batch_size=32, sizes=RandomSizes())
    assert torch.equal(policy.action_net.bias, before)
