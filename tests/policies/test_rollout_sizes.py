"""Another size for each rollout."""

import gc
from pathlib import Path
from typing import Any

import pytest
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback

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


class InterruptError(Exception):
    """Stands for the user's Ctrl-C."""


class InterruptAt(BaseCallback):
    """Interrupts at a step, at the end of a rollout, or in the midst of an update."""

    def __init__(self, moment: str) -> None:
        super().__init__()
        self.moment = moment
        self.rollouts = 0

    def _interrupt_if(self, moment: str) -> None:
        if self.moment == moment and self.rollouts > 1:
            raise InterruptError

    def _on_rollout_start(self) -> None:
        self.rollouts += 1
        self._interrupt_if("start")

    def _on_step(self) -> bool:
        self._interrupt_if("step")
        return True

    def _on_rollout_end(self) -> None:
        self._interrupt_if("end")
        if self.moment == "update" and self.rollouts > 1:
            self.model.policy.evaluate_actions = self.fail

    def fail(self, *args: object) -> None:
        raise InterruptError


@pytest.mark.parametrize("moment", ["start", "step", "end", "update"])
@pytest.mark.parametrize("order", [1, -1])
def test_an_interrupted_policy_has_its_own_size(moment: str, order: int) -> None:
    # given
    model = PPO("IntegralMlpPolicy", "CartPole-v1", n_steps=16, batch_size=16, seed=0, device="cpu")
    policy: Any = model.policy
    policy.resize([20, 30])
    callbacks = [RandomSizeCallback([7, 9], seed=0), InterruptAt(moment)][::order]
    # when
    with pytest.raises(InterruptError):
        model.learn(64, callback=callbacks)
    # then
    assert policy.sizes == (20, 30)
    assert type(model) is PPO
    # and what the user does then stays
    policy.resize(40)
    del callbacks
    gc.collect()
    assert policy.sizes == (40, 40)


def test_training_goes_on_after_an_interruption_at_the_policys_own_size() -> None:
    # given
    model = PPO("IntegralMlpPolicy", "CartPole-v1", n_steps=16, batch_size=16, seed=0, device="cpu")
    policy: Any = model.policy
    with pytest.raises(InterruptError):
        model.learn(64, callback=[RandomSizeCallback([7], seed=0), InterruptAt("step")])
    seen = set()
    # when
    model.learn(32, callback=lambda *_: bool(seen.add(policy.sizes)) or True)
    # then
    assert seen == {(64, 64)}


def test_a_checkpoint_of_a_training_at_random_sizes_can_be_loaded(tmp_path: Path) -> None:
    # given
    model = PPO("IntegralMlpPolicy", "CartPole-v1", n_steps=16, batch_size=16, seed=0, device="cpu")
    callbacks = [RandomSizeCallback([7], seed=0), CheckpointCallback(20, str(tmp_path))]
    # when
    model.learn(32, callback=callbacks)
    # then
    (path,) = tmp_path.iterdir()
    loaded = PPO.load(path, device="cpu")
    assert loaded.policy.sizes == (7, 7)  # type: ignore[union-attr]
    assert model.policy.sizes == (64, 64)  # type: ignore[union-attr]


def test_random_sizes_of_two_callbacks_end_with_the_training() -> None:
    model = PPO("IntegralMlpPolicy", "CartPole-v1", n_steps=16, batch_size=16, seed=0, device="cpu")
    model.learn(32, callback=[RandomSizeCallback([7], seed=0), RandomSizeCallback([9], seed=0)])
    assert type(model) is PPO
    assert model.policy.sizes == (64, 64)  # type: ignore[union-attr]
