"""DAgger on CartPole with an expert that needs no training."""

from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecEnv

from sb3_integral import UniformSizes, evaluate_resize_sweep
from sb3_integral.imitation import StudentArchitecture, dagger


def balance(observations: Any, _state: Any = None, _start: Any = None) -> tuple[Any, None]:
    """Balance the pole: push to the side to which it falls and the cart drifts."""
    gains = np.array([0.1, 0.5, 10.0, 2.0])
    return (observations @ gains > 0).astype(np.int64), None


def cartpole(seed: int = 0) -> VecEnv:
    return make_vec_env("CartPole-v1", 1, seed=seed)


def student(kind: str = "integral") -> ActorCriticPolicy:
    venv = cartpole()
    architecture = StudentArchitecture(kind, hidden_sizes=(16, 16))  # type: ignore[arg-type]
    return architecture.build(venv.observation_space, venv.action_space, seed=0)


def test_the_expert_balances() -> None:
    venv = cartpole()
    observations, total = venv.reset(), 0.0
    for _ in range(500):
        observations, rewards, dones, _ = venv.step(balance(observations)[0])
        total += float(rewards[0])
        if dones[0]:
            break
    assert total == 500


def test_an_integral_student_learns_at_every_size() -> None:
    # when
    result = dagger(student(), balance, cartpole(), 4000, n_rounds=4, seed=0)
    # then
    assert len(result.demonstrations.observations) == len(result.demonstrations.actions) == 4000
    rows = evaluate_resize_sweep(result.policy, cartpole(1), [16, 8], 5, seed=1)
    assert min(row.episode_return for row in rows) > 400


def test_every_label_is_the_experts() -> None:
    result = dagger(student(), balance, cartpole(), 600, n_rounds=3, epochs_per_round=1, n_epochs=1)
    observations, actions = result.demonstrations.observations, result.demonstrations.actions
    np.testing.assert_array_equal(balance(observations.numpy())[0], actions.numpy())


def test_the_student_drives_after_the_first_round_at_the_drawn_sizes() -> None:
    # given
    policy, seen = student(), []
    plain_predict = policy.predict

    def predict(*args: Any, **kwargs: Any) -> Any:
        seen.append(policy.sizes)
        return plain_predict(*args, **kwargs)

    policy.predict = predict  # type: ignore[method-assign]
    rounds: list[int] = []
    # when
    dagger(
        policy, balance, cartpole(), 2500, n_rounds=5, epochs_per_round=1, n_epochs=1,
        rollout_sizes=UniformSizes(2, 16), seed=0, on_round_end=rounds.append,
    )  # fmt: skip
    # then
    assert len(set(seen)) > 1
    assert policy.sizes == (16, 16)
    assert rounds == sorted(rounds)
    assert rounds[-1] == 2500


def test_the_same_seed_gives_the_same_student() -> None:
    def trained() -> torch.Tensor:
        policy = student("plain")
        dagger(policy, balance, cartpole(), 500, n_rounds=2, epochs_per_round=1, n_epochs=1, seed=3)
        return torch.cat([parameter.detach().flatten() for parameter in policy.parameters()])

    assert torch.equal(trained(), trained())


@pytest.mark.parametrize("name", ["n_labels", "n_rounds"])
def test_wrong_numbers_are_refused(name: str) -> None:
    numbers = {"n_labels": 10, "n_rounds": 1, name: 0}
    with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1, got 0"):
        dagger(student(), balance, cartpole(), **numbers)
