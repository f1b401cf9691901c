"""Experts of every kind of space: demonstrations, file, student, smaller student, exported file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecFrameStack, VecNormalize

from sb3_integral import evaluate_resize_sweep
from sb3_integral.deploy import OnnxPolicy, export_onnx
from sb3_integral.imitation import (
    StudentArchitecture,
    clone,
    collect_episodes,
    dagger,
    load_demonstrations,
    save_episodes,
)
from sb3_integral.imitation.original_env import OriginalEnv
from sb3_integral.policies.serialization import load_policy, save_policy

VECTOR = spaces.Box(100.0, 200.0, (3,), np.float32)
IMAGE = spaces.Box(0, 255, (3, 36, 36), np.uint8)
CHANNELS_LAST = spaces.Box(0, 255, (40, 36, 3), np.uint8)
CHOICE = spaces.Discrete(3)


class Drawn(gym.Env[Any, Any]):
    """Observes samples; fails on actions that are not allowed, if it has masks."""

    def __init__(
        self, observed: spaces.Space[Any], done: spaces.Space[Any], masked: bool = False
    ) -> None:
        self.observation_space, self.action_space = observed, done
        self.is_strict = masked
        if masked:
            self.action_masks = lambda: np.arange(3) != self.count % 3

    def reset(self, *, seed: int | None = None, **_: Any) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.count = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        assert not self.is_strict or self.action_masks()[action], f"{action} is not allowed"
        self.count += 1
        return self.observation_space.sample(), 1.0, self.count == 8, False, {}


def drawn(
    observed: spaces.Space[Any], done: spaces.Space[Any] = CHOICE, masked: bool = False
) -> DummyVecEnv:
    return DummyVecEnv([lambda: Monitor(Drawn(observed, done, masked))] * 2)


PAIR = spaces.Dict({"image": IMAGE, "vector": VECTOR})
TRIPLE = spaces.Dict({**PAIR.spaces, "choice": spaces.Discrete(3)})

# The algorithm, its policy, the expert's environment, and that of the student, if it is another one.
Case = tuple[Any, str, Callable[[], VecEnv], Callable[[], VecEnv] | None]
CASES: dict[str, Case] = {
    "discrete": (PPO, "MlpPolicy", lambda: drawn(spaces.Discrete(5)), None),
    "dictionary": (PPO, "MultiInputPolicy", lambda: drawn(TRIPLE), None),
    "image": (PPO, "CnnPolicy", lambda: drawn(CHANNELS_LAST), None),
    "multi-discrete": (PPO, "MlpPolicy", lambda: drawn(VECTOR, spaces.MultiDiscrete([3, 2])), None),
    "multi-binary": (PPO, "MlpPolicy", lambda: drawn(VECTOR, spaces.MultiBinary(3)), None),
    "masked": (MaskablePPO, "MlpPolicy", lambda: drawn(VECTOR, masked=True), None),
    "normalised, then stacked": (
        PPO,
        "MlpPolicy",
        lambda: VecFrameStack(VecNormalize(drawn(VECTOR, spaces.Box(-5.0, 5.0, (2,)))), 3),
        lambda: VecFrameStack(drawn(VECTOR, spaces.Box(-5.0, 5.0, (2,))), 3),
    ),
    "stacked, then normalised": (
        PPO,
        "MlpPolicy",
        lambda: VecNormalize(VecFrameStack(drawn(VECTOR), 3)),
        lambda: VecFrameStack(drawn(VECTOR), 3),
    ),
    "dictionary, normalised and stacked": (
        PPO,
        "MultiInputPolicy",
        lambda: VecFrameStack(VecNormalize(drawn(PAIR), norm_obs_keys=["vector"]), 2),
        lambda: VecFrameStack(drawn(PAIR), 2),
    ),
}


@pytest.mark.parametrize("by_dagger", [False, True], ids=["cloned", "by DAgger"])
@pytest.mark.parametrize("name", list(CASES))
def test_an_expert_becomes_a_file_of_a_smaller_student(
    tmp_path: Path, name: str, by_dagger: bool
) -> None:
    # given an expert and its demonstrations
    algorithm, policy, expert_env, student_env = CASES[name]
    expert = algorithm(policy, expert_env(), n_steps=8, batch_size=16, n_epochs=1, seed=0, device="cpu")
    expert.learn(16)
    venv = expert.get_env()
    space = OriginalEnv(venv).observation_space
    save_episodes(collect_episodes(expert, venv, 4, np.random.default_rng(0)), tmp_path / "episodes")
    data = load_demonstrations(tmp_path / "episodes")
    data.check_spaces(space, venv.action_space)

    # when
    student = StudentArchitecture("integral", (8, 8)).build(space, venv.action_space, seed=0)
    if by_dagger:
        dagger(student, expert, venv, 48, n_rounds=3, epochs_per_round=1, n_epochs=1, batch_size=16)
    else:
        clone(student, data, n_epochs=1, batch_size=16)

    # then its file, its ordinary policy and its export act as it does
    save_policy(student, tmp_path / "student.safetensors")
    loaded: Any = load_policy(tmp_path / "student.safetensors")
    seen = data.sample(9, np.random.default_rng(0))
    size = tuple(max(1, most // 2) for most in loaded.max_sizes)
    with student.resized(size):  # type: ignore[operator]
        expected, _ = student.predict(seen, deterministic=True)
    small = loaded.discretize(size)
    np.testing.assert_allclose(small.predict(seen, deterministic=True)[0], expected, atol=1e-5)
    export_onnx(small, tmp_path / "student.onnx")
    exported, _ = OnnxPolicy(tmp_path / "student.onnx").predict(seen)
    np.testing.assert_allclose(exported, expected, atol=1e-4)

    # then it can be evaluated at sizes; a student knows no masks
    if name != "masked":
        env = (student_env or expert_env)()
        rows = evaluate_resize_sweep(loaded, env, [loaded.max_sizes, size], 2)
        assert [row.episode_return for row in rows] == [8.0] * 4


def test_an_image_whose_channels_are_first_is_observed_by_a_plain_student_too(tmp_path: Path) -> None:
    student = StudentArchitecture("plain", (8,)).build(PAIR, CHOICE, seed=0)
    venv = drawn(PAIR)

    def first(seen: Any, state: Any, dones: Any) -> tuple[np.ndarray, None]:
        return (seen["vector"][:, 0] > 150.0).astype(np.int64), None

    save_episodes(collect_episodes(first, venv, 4, np.random.default_rng(0)), tmp_path / "episodes")
    data = load_demonstrations(tmp_path / "episodes")
    clone(student, data, n_epochs=1, batch_size=16)
    scaled: Any = student.features_extractor
    vector = data.observations["vector"]  # type: ignore[call-overload]
    standardised = scaled.extractors["vector"](vector)
    np.testing.assert_allclose(standardised.mean(dim=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(standardised.std(dim=0, correction=0), 1.0, atol=1e-4)


@pytest.mark.parametrize("shape", [(3, 35, 40), (40, 40, 3)])
def test_an_image_that_cannot_be_read_is_refused(shape: tuple[int, ...]) -> None:
    space = spaces.Dict({"image": spaces.Box(0, 255, shape, np.uint8)})
    with pytest.raises(ValueError, match=r"images at key 'image', .* at least 36 pixels"):
        StudentArchitecture("plain").build(space, CHOICE, seed=0)
