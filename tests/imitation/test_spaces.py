"""Students of discrete observations and of dictionaries, from the rollout to the file."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_integral.imitation import (
    Demonstrations,
    StudentArchitecture,
    check_student_spaces,
    clone,
    collect_episodes,
    dagger,
    load_demonstrations,
    save_episodes,
)
from sb3_integral.policies import StandardizeCombinedExtractor
from sb3_integral.policies.serialization import load_policy, save_policy

BOX = spaces.Box(100.0, 200.0, (2,), np.float32)
OBSERVED = {
    "dictionary": spaces.Dict({"b": BOX, "a": spaces.Discrete(3), "m": spaces.MultiBinary(2)}),
    "discrete": spaces.Discrete(5),
    "multi-discrete": spaces.MultiDiscrete([3, 4]),
    "multi-binary": spaces.MultiBinary(3),
}
RULES = {
    "dictionary": lambda seen: seen["b"][:, 0] > 150.0,
    "discrete": lambda seen: seen % 2,
    "multi-discrete": lambda seen: seen[:, 0] == 1,
    "multi-binary": lambda seen: seen[:, 0],
}


class Sampled(gym.Env[Any, Any]):
    action_space = spaces.Discrete(2)

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.observation_space = space

    def reset(self, *, seed: int | None = None, **_: Any) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.count = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        return self.observation_space.sample(), 1.0, self.count == 20, False, {}


@pytest.mark.parametrize("kind", ["plain", "integral"])
@pytest.mark.parametrize("name", list(OBSERVED))
def test_a_student_is_cloned_saved_and_made_smaller(tmp_path, name, kind) -> None:
    # given
    space = OBSERVED[name]
    venv = DummyVecEnv([lambda: Sampled(space)])
    venv.seed(0)

    def expert(seen: Any, state: Any, dones: Any) -> tuple[np.ndarray, None]:
        return np.asarray(RULES[name](seen)).astype(np.int64).reshape(-1), None

    save_episodes(collect_episodes(expert, venv, 12, np.random.default_rng(0)), tmp_path / "d")
    data = load_demonstrations(tmp_path / "d")
    data.check_spaces(space, venv.action_space)

    # when
    policy = student(kind, space)
    clone(policy, data, n_epochs=12, batch_size=32, learning_rate=0.01)

    # then
    seen = data.sample(len(data), np.random.default_rng(0))
    actions, _ = policy.predict(seen, deterministic=True)
    assert (actions == expert(seen, None, None)[0]).mean() > 0.9
    save_policy(policy, tmp_path / "student.safetensors")
    loaded: Any = load_policy(tmp_path / "student.safetensors")
    np.testing.assert_array_equal(loaded.predict(seen, deterministic=True)[0], actions)
    if kind == "integral":
        small = policy.discretize(7)
        assert not any(isinstance(m, StandardizeCombinedExtractor) for m in small.modules())
        with policy.resized(7):
            expected, _ = policy.predict(seen, deterministic=True)
        np.testing.assert_array_equal(small.predict(seen, deterministic=True)[0], expected)


def student(kind: Any, space: spaces.Space[Any]) -> Any:
    return StudentArchitecture(kind, (16, 16)).build(space, spaces.Discrete(2), seed=0)


def test_dagger_takes_dictionaries() -> None:
    venv = DummyVecEnv([lambda: Sampled(OBSERVED["dictionary"])])
    venv.seed(0)

    def expert(seen: Any, state: Any, dones: Any) -> tuple[np.ndarray, None]:
        return (seen["b"][:, 0] > 150.0).astype(np.int64), None

    policy = student("integral", OBSERVED["dictionary"])
    result = dagger(policy, expert, venv, 60, n_rounds=2, epochs_per_round=1, n_epochs=1)
    assert len(result.demonstrations) == 60


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (spaces.Box(0, 255, (36, 36, 3), np.uint8), "do not take images"),
        (spaces.Dict({"i": spaces.Box(0, 255, (36, 36, 3), np.uint8)}), "images at key 'i'"),
        (spaces.Text(3), "do not take Text observations"),
        (spaces.Dict({"d": spaces.Dict({"e": BOX})}), "Dict observations at key 'd'"),
        (spaces.Discrete(3, start=1), "count discrete observations from 0"),
    ],
)
def test_what_students_cannot_observe_is_refused_with_what_they_can(space, expected) -> None:
    with pytest.raises(ValueError, match=expected):
        StudentArchitecture("plain").build(space, spaces.Discrete(2), seed=0)


def test_what_students_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match="do not take Tuple actions"):
        check_student_spaces(BOX, spaces.Tuple([spaces.Discrete(2)]))
    with pytest.raises(ValueError, match="count discrete actions from 0"):
        check_student_spaces(BOX, spaces.Discrete(2, start=3))


def test_wrong_demonstrations_are_refused() -> None:
    ones = torch.ones(4)
    with pytest.raises(ValueError, match="got 3 observations and 4 actions"):
        Demonstrations(torch.ones(3, 2), ones, ones)
    with pytest.raises(ValueError, match="without a transition"):
        Demonstrations(torch.ones(0, 2), torch.ones(0), ones)
    with pytest.raises(ValueError, match=r"observations\['b'\] .* finite"):
        Demonstrations({"b": torch.full((4, 2), torch.nan)}, ones, ones)
    data = Demonstrations({"b": torch.ones(4, 2)}, ones, ones)
    with pytest.raises(ValueError, match=r"have observations\['b'\], expected observations for"):
        data.check_spaces(BOX, spaces.Discrete(2))
    bits = Demonstrations(torch.ones(4, 2), torch.full((4, 2), 2.0), ones)
    with pytest.raises(ValueError, match=r"actions .* range from \[2, 2\] to \[2, 2\]"):
        bits.check_spaces(BOX, spaces.MultiBinary(2))
    halves = Demonstrations(torch.ones(4, 2), torch.full((4,), 0.5), ones)
    with pytest.raises(ValueError, match="actions of demonstrations are no integers"):
        halves.check_spaces(BOX, spaces.Discrete(2))
