"""Students that go on by reinforcement learning."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from sb3_contrib import TRPO
from stable_baselines3 import A2C, PPO, SAC

from sb3_integral import AnySizeCallback
from sb3_integral.imitation import StudentArchitecture
from sb3_integral.policies import fine_tuning_model


def student(env_id: str, scale_levels: int = 6) -> Any:
    """Return a student with statistics and corrections that are not the initial ones."""
    env = gym.make(env_id)
    architecture = StudentArchitecture("integral", (24, 24), scale_levels=scale_levels)
    policy: Any = architecture.build(env.observation_space, env.action_space, 0)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        policy.features_extractor.shift.add_(0.5)
    return policy


@pytest.mark.parametrize("algorithm", [PPO, A2C, TRPO], ids=lambda a: a.__name__)
@pytest.mark.parametrize("env_id", ["Pendulum-v1", "CartPole-v1"])
def test_the_model_acts_as_the_student_at_every_size(algorithm: Any, env_id: str) -> None:
    policy = student(env_id)
    model = fine_tuning_model(policy, algorithm, env_id, n_steps=128, seed=0, device="cpu")
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(20, *policy.observation_space.shape)).astype(np.float32)
    for size in (24, 11, 4):
        with policy.resized(size), model.policy.resized(size):
            expected = policy.predict(observations, deterministic=True)[0]
            assert np.array_equal(model.predict(observations, deterministic=True)[0], expected)


def test_it_goes_on_at_every_size() -> None:
    """Given a student, when it learns at every size, then corrections of small sizes learn too."""
    policy = student("Pendulum-v1")
    model = fine_tuning_model(policy, PPO, "Pendulum-v1", n_steps=256, batch_size=64, device="cpu")
    before = {name: value.clone() for name, value in model.policy.named_parameters()}
    model.learn(256, callback=AnySizeCallback(smallest=4))
    changed = {n for n, v in model.policy.named_parameters() if n in before and not v.equal(before[n])}
    assert any("corrections" in name for name in changed)
    assert any("value_net" in name for name in changed)
    assert float(model.policy.log_std.detach().mean()) == pytest.approx(-1.0, abs=0.1)


def test_the_student_is_not_changed() -> None:
    policy = student("CartPole-v1")
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    fine_tuning_model(policy, PPO, "CartPole-v1", n_steps=64, batch_size=64, device="cpu").learn(64)
    assert all(torch.equal(before[name], value) for name, value in policy.state_dict().items())


def test_what_cannot_go_on_is_refused() -> None:
    policy = student("CartPole-v1")
    with pytest.raises(ValueError, match="expected PPO, A2C, TRPO or MaskablePPO, got SAC"):
        fine_tuning_model(policy, SAC, "Pendulum-v1")  # type: ignore[type-var]
    with pytest.raises(ValueError, match="expected an integral student, got ActorCriticPolicy"):
        fine_tuning_model(PPO("MlpPolicy", "CartPole-v1").policy, PPO, "CartPole-v1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the student's observation_space"):
        fine_tuning_model(policy, PPO, "Acrobot-v1")
    with pytest.raises(ValueError, match="log_std must be a finite number, got inf"):
        fine_tuning_model(policy, PPO, "CartPole-v1", log_std=float("inf"))
