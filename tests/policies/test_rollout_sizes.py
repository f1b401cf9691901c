"""Another size for each rollout."""

from typing import Any

import pytest
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback

from sb3_integral import LogUniformSizes, RandomSizeCallback, UniformSizes


class Watch(BaseCallback):
    """Notes the policy's sizes at each step of rollouts, and at each update."""

    def __init__(self) -> None:
        super().__init__()
        self.at_steps: list[tuple[int, ...]] = []
        self.at_rollout_ends: list[tuple[int, ...]] = []

    def _on_step(self) -> bool:
        self.at_steps.append(self.model.policy.sizes)
        return True

    def _on_rollout_end(self) -> None:
        self.at_rollout_ends.append(self.model.policy.sizes)


def ppo(policy: str = "IntegralMlpPolicy") -> PPO:
    return PPO(policy, "CartPole-v1", n_steps=16, batch_size=16, n_epochs=2, seed=0, device="cpu")


def test_a_size_is_drawn_per_rollout_and_kept_for_its_updates() -> None:
    # given
    model, watch = ppo(), Watch()
    # when
    model.learn(16 * 20, callback=[RandomSizeCallback(UniformSizes(5, 64), seed=0), watch])
    # then it is the same within a rollout, and when the update begins
    rollouts = [watch.at_steps[i : i + 16] for i in range(0, 320, 16)]
    assert all(len(set(sizes)) == 1 for sizes in rollouts)
    assert [sizes[0] for sizes in rollouts] == watch.at_rollout_ends
    assert len(set(watch.at_rollout_ends)) > 10
    # and the policy has its own size afterwards
    assert model.policy.sizes == (64, 64)


def test_ratios_are_one_in_the_first_update() -> None:
    # given a policy at a small size that collected a rollout
    model = ppo()
    model.n_epochs = 1
    model.batch_size = 16
    # when it is updated at that size, in one step
    model.learn(16, callback=RandomSizeCallback([7], seed=0))
    # then the old probabilities were of the same network
    assert model.logger.name_to_value == {} or model.logger.name_to_value["train/clip_fraction"] == 0
    assert model.logger.name_to_value.get("train/approx_kl", 0.0) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("sizes", [UniformSizes(4, 9), LogUniformSizes(4, 9), [4, (5, 6), 9]], ids=str)
def test_the_same_seed_draws_the_same_sizes(sizes: Any) -> None:
    def drawn(seed: int) -> list[tuple[int, ...]]:
        watch = Watch()
        ppo().learn(16 * 12, callback=[RandomSizeCallback(sizes, seed=seed), watch])
        return watch.at_rollout_ends

    assert drawn(1) == drawn(1) != drawn(2)
    assert all(4 <= size <= 9 for sizes_ in drawn(1) for size in sizes_)


def test_a_policy_that_came_resized_leaves_resized() -> None:
    model = ppo()
    model.policy.resize((20, 30))
    model.learn(32, callback=RandomSizeCallback(UniformSizes(5, 64), seed=0))
    assert model.policy.sizes == (20, 30)


def test_it_serves_off_policy_algorithms() -> None:
    # given
    model = SAC("IntegralMlpPolicy", "Pendulum-v1", learning_starts=5, buffer_size=50, device="cpu")
    watch = Watch()
    # when
    model.learn(20, callback=[RandomSizeCallback([8, 16, 32], seed=0), watch])
    # then
    assert set(watch.at_rollout_ends) == {(8, 8), (16, 16), (32, 32)}


def test_a_plain_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="need an integral policy, got ActorCriticPolicy"):
        ppo("MlpPolicy").learn(16, callback=RandomSizeCallback([8]))


def test_a_wrong_size_is_refused_before_a_step() -> None:
    model = ppo()
    with pytest.raises(ValueError, match="at least 1, got 0"):
        model.learn(16, callback=RandomSizeCallback([8, 0]))
    assert model.num_timesteps == 0
    assert model.policy.sizes == (64, 64)


def test_nothing_to_draw_from_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one size"):
        RandomSizeCallback([])
