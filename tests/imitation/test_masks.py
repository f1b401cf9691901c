"""Environments that fail on every action that they do not allow: nobody who drives may take one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from sb3_contrib.common.wrappers import ActionMasker
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from sb3_integral import UniformSizes
from sb3_integral.imitation import StudentArchitecture, collect_episodes, dagger

ACTION_SPACES = [spaces.Discrete(5), spaces.MultiDiscrete([3, 4]), spaces.MultiBinary(2)]
SIZES = {"Discrete": [5], "MultiDiscrete": [3, 4], "MultiBinary": [2, 2]}
N_STEPS = 12


class Picky(gym.Env[Any, Any]):
    """Allows one value of each part of an action, another one in each step, and fails on all others."""

    observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)

    def __init__(self, action_space: spaces.Space[Any]) -> None:
        self.action_space = action_space
        self.branches = SIZES[type(action_space).__name__]

    def reset(self, *, seed: int | None = None, **_: Any) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return self._next(), {}

    def step(self, action: Any) -> Any:
        allowed = self.allowed
        assert np.ravel(action).tolist() == allowed, f"got {action}, allowed is {allowed}"
        self.count += 1
        return self._next(), 1.0, self.count == N_STEPS, False, {"allowed": allowed}

    def action_masks(self) -> np.ndarray[Any, Any]:
        pairs = zip(self.branches, self.allowed, strict=True)
        return np.concatenate([np.arange(size) == value for size, value in pairs])

    def _next(self) -> Any:
        self.allowed = [int(self.np_random.integers(size)) for size in self.branches]
        return self.np_random.uniform(-1.0, 1.0, 3).astype(np.float32)


def wrapped(action_space: spaces.Space[Any]) -> gym.Env[Any, Any]:
    """Return an environment that got its masks from sb3-contrib's wrapper."""

    class Unmasked(gym.Wrapper[Any, Any, Any, Any]):
        def get_wrapper_attr(self, name: str) -> Any:
            if name == "action_masks":
                raise AttributeError(name)
            return super().get_wrapper_attr(name)

    picky = Picky(action_space)
    return ActionMasker(Unmasked(picky), lambda _env: picky.action_masks())


MAKERS: dict[str, Callable[[spaces.Space[Any]], VecEnv]] = {
    "own masks": lambda space: DummyVecEnv([lambda: Picky(space)] * 2),
    "wrapper": lambda space: DummyVecEnv([lambda: wrapped(space)] * 2),
    "normalised": lambda space: VecNormalize(DummyVecEnv([lambda: Picky(space)] * 2)),
}


def masked_expert(venv: VecEnv) -> MaskablePPO:
    return MaskablePPO("MlpPolicy", venv, n_steps=16, batch_size=16, seed=0)


@pytest.mark.parametrize("policy_of", ["algorithm", "policy"])
@pytest.mark.parametrize("maker", list(MAKERS))
@pytest.mark.parametrize("space", ACTION_SPACES, ids=repr)
def test_a_masked_expert_takes_only_valid_actions(
    space: spaces.Space[Any], maker: str, policy_of: str
) -> None:
    # given
    venv = MAKERS[maker](space)
    model = masked_expert(venv)
    venv.seed(0)
    # when
    expert: Any = model if policy_of == "algorithm" else model.policy
    episodes = collect_episodes(expert, venv, 4, np.random.default_rng(0))
    # then
    assert [len(episode) for episode in episodes] == [N_STEPS] * 4


def test_an_expert_without_masks_takes_others() -> None:
    """The environment does fail: the tests above and below can."""
    venv = MAKERS["own masks"](ACTION_SPACES[0])

    def first(observations: Any, _state: Any, _dones: Any) -> tuple[Any, None]:
        return np.zeros(len(observations), dtype=np.int64), None

    with pytest.raises(AssertionError, match="allowed is"):
        collect_episodes(first, venv, 4, np.random.default_rng(0))


@pytest.mark.parametrize("kind", ["plain", "integral"])
@pytest.mark.parametrize("maker", list(MAKERS))
@pytest.mark.parametrize("space", ACTION_SPACES, ids=repr)
def test_a_student_without_masks_drives_by_valid_actions(
    space: spaces.Space[Any], maker: str, kind: Any
) -> None:
    # given a student that knows nothing of masks
    venv = MAKERS[maker](space)
    expert = masked_expert(venv)
    venv.seed(0)
    student = StudentArchitecture(kind, (8, 8)).build(Picky.observation_space, space, seed=0)
    rounds: list[int] = []
    # when
    result = dagger(
        student, expert, venv, 96, n_rounds=3, epochs_per_round=1, n_epochs=1, seed=0,
        rollout_sizes=UniformSizes(2, 8) if kind == "integral" else None, on_round_end=rounds.append,
    )  # fmt: skip
    # then the student drove two of the three rounds to their ends
    assert rounds[-1] == 96
    assert len(result.demonstrations) == 96


@pytest.mark.parametrize("space", ACTION_SPACES, ids=repr)
def test_labels_are_valid_where_the_student_drives(space: spaces.Space[Any]) -> None:
    """What the expert would have done is learned from, so it has to be allowed as well."""
    # given
    venv = MAKERS["own masks"](space)
    allowed: list[Any] = []
    step = venv.step_wait

    def recorded() -> Any:
        allowed.extend([env.allowed for env in venv.envs])  # type: ignore[attr-defined]
        return step()

    venv.step_wait = recorded  # type: ignore[method-assign]
    student = StudentArchitecture("plain", (8, 8)).build(Picky.observation_space, space, seed=0)
    with torch.no_grad():
        student.action_net.bias.fill_(3.0)
    # when
    n_steps = 4 * N_STEPS
    result = dagger(student, masked_expert(venv), venv, n_steps, n_rounds=2, n_epochs=1, seed=0)
    # then
    labels = {tuple(np.ravel(row)) for row in result.demonstrations.actions.numpy()}
    assert labels <= {tuple(row) for row in allowed}
