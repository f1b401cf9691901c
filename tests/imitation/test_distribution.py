"""The expert's action distribution, as its own policy has it."""

import numpy as np
import pytest
import torch
from stable_baselines3 import DQN, PPO

from sb3_integral.imitation import clone, distribution, expert_distribution
from sb3_integral.imitation.losses import DistributionDivergence
from sb3_integral.imitation.students import StudentArchitecture


def observations_of(model, n=50):
    return torch.from_numpy(np.stack([model.observation_space.sample() for _ in range(n)])).clamp(-3, 3)


def test_probabilities_are_those_with_which_the_policy_acts(monkeypatch):
    model = PPO("MlpPolicy", "CartPole-v1", seed=0)
    observations = observations_of(model)
    monkeypatch.setattr(distribution, "STEPS_AT_ONCE", 16)  # in four parts
    probabilities = expert_distribution(model.policy, observations)
    assert probabilities.shape == (50, 2)
    _, log_probability, _ = model.policy.evaluate_actions(observations, torch.ones(50))
    torch.testing.assert_close(probabilities[:, 1].log(), log_probability.detach())


def test_a_gaussian_has_the_policy_s_mean_and_its_deviation():
    model = PPO("MlpPolicy", "Pendulum-v1", seed=0, policy_kwargs={"log_std_init": -1.5})
    observations = observations_of(model)
    mean, std = expert_distribution(model.policy, observations).unbind(dim=1)
    actions, _ = model.predict(observations.numpy(), deterministic=True)
    np.testing.assert_allclose(mean.clamp(-2, 2).numpy(), actions, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(std.numpy(), np.exp(-1.5), rtol=1e-5)


def test_a_student_learns_the_probabilities_not_only_the_choice(cart_pole):
    # given an expert that is never sure
    expert = PPO("MlpPolicy", "CartPole-v1", seed=0).policy
    demonstrations = cart_pole.demonstrations
    targets = expert_distribution(expert, demonstrations.observations)
    student = StudentArchitecture("integral", (24, 24)).build(
        cart_pole.observation_space, cart_pole.action_space, 0
    )
    # when
    loss = DistributionDivergence(discrete=True)
    clone(student, demonstrations, n_epochs=10, batch_size=32, loss=loss, targets=targets)
    # then
    learned = expert_distribution(student, demonstrations.observations)
    assert float((learned - targets).abs().mean()) < 0.02


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: DQN("MlpPolicy", "CartPole-v1", buffer_size=10), "DQNPolicy gives no action"),
        (lambda: PPO("MlpPolicy", "Pendulum-v1", use_sde=True), "got StateDependentNoise"),
    ],
)
def test_what_has_no_such_distribution_is_refused(model, message):
    made = model()
    with pytest.raises(ValueError, match=message):
        expert_distribution(made.policy, observations_of(made))
