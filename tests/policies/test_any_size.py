"""Training at many sizes at once."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback
from stable_baselines3.common.env_util import make_vec_env
from torch import Tensor

from sb3_integral import AnySizeCallback
from sb3_integral.policies import init_from
from sb3_integral.policies.any_size import SizeSequence
from sb3_integral.policies.size_conditioning import SizedLinear

MakeModel = Callable[..., Any]
SUPPORTED = (PPO, A2C, TRPO, MaskablePPO, SAC, TD3, TQC, DQN, QRDQN, CrossQ)
WITH_CRITICS = (PPO, A2C, TRPO, MaskablePPO, SAC, TD3, TQC, CrossQ)


@pytest.mark.parametrize("algorithm", SUPPORTED, ids=lambda a: a.__name__)
def test_it_trains_every_algorithm_with_batches(
    make_model: MakeModel, algorithm: type[BaseAlgorithm], tmp_path: Path
) -> None:
    """Given an ordinary integral policy, when it learns with the callback, then it can do all it could.

    It learns, for each size, values of its own; it is saved and loaded; a small policy acts as it does.
    """
    model = make_model(algorithm, net_arch=[16, 12])
    before = [parameter.clone() for parameter in model.policy.parameters()]

    model.learn(80, callback=AnySizeCallback(smallest=3))

    after = list(model.policy.parameters())
    assert len(after) >= len(before)
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=False))
    layers = [m for m in model.policy.modules() if isinstance(m, SizedLinear)]
    assert bool(layers) == (algorithm in WITH_CRITICS)
    assert all(layer.by_size.any() for layer in layers)
    model.save(tmp_path / "model.zip")
    loaded = algorithm.load(tmp_path / "model.zip", env=model.env)
    for old, new in zip(
        model.policy.state_dict().items(), loaded.policy.state_dict().items(), strict=True
    ):
        assert old[0] == new[0]
        assert torch.equal(old[1], new[1])
    loaded.learn(20, callback=AnySizeCallback(smallest=3), reset_num_timesteps=False)


class Look(BaseCallback):
    """A callback that may look at anything of the model."""

    model: Any


class Batches(Look):
    """Notes which sizes batches had in a step of learning."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[Tensor] = []

    def _on_step(self) -> bool:
        mixed: Any = self.model.policy._mixed
        if mixed is not None and mixed.sizes is not None:
            self.sizes.append(mixed.sizes.clone())
        return True


def pendulum(n_envs: int = 4, algorithm: Any = PPO, **arguments: Any) -> Any:
    defaults: dict[str, Any] = {"n_steps": 64, "batch_size": 32, "n_epochs": 2}
    return algorithm(
        "IntegralMlpPolicy",
        make_vec_env("Pendulum-v1", n_envs, seed=0),
        seed=0,
        device="cpu",
        **({**defaults, **arguments} if algorithm is PPO else arguments),
    )


def test_ratios_are_one_in_the_first_update() -> None:
    """Given one step with all samples of a rollout, then each ratio compares a network with itself."""
    model = pendulum(batch_size=256, n_epochs=1)
    model.learn(256, callback=AnySizeCallback())
    model.learn(0)
    assert model.logger.name_to_value["train/clip_fraction"] == 0
    assert model.logger.name_to_value["train/approx_kl"] == pytest.approx(0.0, abs=1e-6)


def test_each_environment_acts_at_its_own_size() -> None:
    model, batches = pendulum(n_envs=8), Batches()
    model.learn(512, callback=[AnySizeCallback(), batches])
    sizes = batches.sizes[0]
    assert sizes.min() < 16
    assert sizes.max() == 64
    assert len(set(sizes.tolist())) >= 6


def test_few_environments_change_their_sizes_within_a_rollout() -> None:
    """Given one environment, then a rollout has several sizes, each for some steps in a row."""
    model, batches = pendulum(n_envs=1, n_steps=256, batch_size=256), Batches()
    model.learn(256, callback=[AnySizeCallback(), batches])
    sizes = torch.cat(batches.sizes).tolist()
    assert [len(set(sizes[i : i + 31])) for i in range(0, 256, 32)] == [1] * 8
    assert len(set(sizes)) >= 6


def test_a_change_of_size_is_where_an_episode_is_cut_off() -> None:
    """Given a rollout with changes, then no advantage reads rewards of another size's actions."""
    model = pendulum(n_envs=1, n_steps=64, batch_size=64, n_epochs=1)
    seen: dict[str, Any] = {}

    class Watch(Look):
        def _on_step(self) -> bool:
            if self.n_calls == 32:
                seen["reward"] = float(self.locals["rewards"][0])
                with torch.no_grad():
                    value = self.model.policy.predict_values(torch.as_tensor(self.locals["new_obs"]))
                seen["value"] = float(value)
            return True

        def _on_rollout_end(self) -> None:
            buffer = self.model.rollout_buffer
            seen["starts"] = buffer.episode_starts.flatten().tolist()
            seen["stored"] = float(buffer.rewards[31, 0])

    model.learn(64, callback=[AnySizeCallback(), Watch()])
    assert [i for i, start in enumerate(seen["starts"]) if start] == [0, 32]
    assert seen["stored"] == pytest.approx(seen["reward"] + 0.99 * seen["value"], rel=1e-5)


def test_the_value_at_a_time_limit_is_that_of_the_environments_size() -> None:
    """Given an episode that is cut off, then its last value is that of the size that acted."""
    model = pendulum(n_envs=4, n_steps=256, batch_size=512, n_epochs=1)
    model.learn(1024, callback=AnySizeCallback())  # so that values differ between sizes
    seen: dict[str, Any] = {}

    class Watch(Look):
        def _on_step(self) -> bool:
            if any(self.locals["dones"]):
                policy = self.model.policy
                assert policy._mixed is not None
                last = np.stack([info["terminal_observation"] for info in self.locals["infos"]])
                with torch.no_grad(), policy._mixed.at(self.model.rollout_buffer.env_sizes):
                    waiting, policy.single_sizes = policy.single_sizes, type(policy.single_sizes)()
                    seen["values"] = policy.predict_values(torch.as_tensor(last)).flatten().numpy()
                    policy.single_sizes = waiting
                seen["rewards"] = self.locals["rewards"].copy()
                seen["step"] = self.model.rollout_buffer.pos
            return True

        def _on_rollout_end(self) -> None:
            seen["stored"] = self.model.rollout_buffer.rewards[seen["step"]].copy()

    model.learn(1024, callback=[AnySizeCallback(), Watch()], reset_num_timesteps=False)
    assert len(set(seen["values"].tolist())) == 4
    assert seen["stored"] == pytest.approx(seen["rewards"] + 0.99 * seen["values"], rel=1e-4)


@pytest.mark.parametrize("algorithm", [PPO, SAC], ids=["PPO", "SAC"])
def test_saving_in_the_middle_gives_the_run_that_was_not_interrupted(
    algorithm: Any, tmp_path: Path
) -> None:
    """Given two halves of a run, then it makes no difference whether a file lies between them."""
    arguments = {"learning_starts": 30, "batch_size": 32} if algorithm is SAC else {}
    n_steps = 60 if algorithm is SAC else 256

    def second_half(model: Any) -> dict[str, Tensor]:
        model.set_random_seed(5)
        model._last_obs = None
        model.learn(n_steps, callback=AnySizeCallback(smallest=6), reset_num_timesteps=False)
        state: dict[str, Tensor] = model.policy.state_dict()
        return state

    model = pendulum(2, algorithm, **arguments)
    model.learn(n_steps, callback=AnySizeCallback(smallest=6))
    model.save(tmp_path / "half.zip")
    if algorithm is SAC:
        model.save_replay_buffer(tmp_path / "buffer.pkl")
    loaded = algorithm.load(tmp_path / "half.zip", env=make_vec_env("Pendulum-v1", 2, seed=0))
    if algorithm is SAC:
        loaded.load_replay_buffer(tmp_path / "buffer.pkl")
    expected, got = second_half(model), second_half(loaded)

    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_checkpoints_of_models_and_buffers_can_be_written_meanwhile(tmp_path: Path) -> None:
    model = pendulum(1, SAC, learning_starts=10, batch_size=16)
    checkpoint = CheckpointCallback(30, str(tmp_path), save_replay_buffer=True)
    model.learn(60, callback=[AnySizeCallback(), checkpoint])
    loaded = SAC.load(tmp_path / "rl_model_30_steps.zip")
    loaded.load_replay_buffer(tmp_path / "rl_model_replay_buffer_30_steps.pkl")
    assert loaded.policy.any_size
    assert loaded.replay_buffer is not None
    assert loaded.replay_buffer.size() == 29


def test_other_callbacks_see_full_size() -> None:
    """Given a callback that evaluates, then it gets full size's actions, in batches of any length."""
    model = pendulum(n_envs=4)
    observations = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)

    class Evaluate(Look):
        def _on_step(self) -> bool:
            here = self.model.predict(observations, deterministic=True)[0]
            full = self.model.policy.discretize().predict(observations, deterministic=True)[0]
            assert here == pytest.approx(full, abs=1e-5)
            return True

    model.learn(256, callback=[AnySizeCallback(), Evaluate()])
    assert model.policy.sizes == (64, 64)


def test_at_full_size_nothing_changes_until_it_learns() -> None:
    """Given a trained policy, when it is prepared, then it acts, values and explores as before."""
    model = pendulum()
    model.learn(256)
    observations = torch.randn(5, 3)
    with torch.no_grad():
        before = model.policy.evaluate_actions(observations, torch.zeros(5, 1))
        model.policy.make_any_size()
        after = model.policy.evaluate_actions(observations, torch.zeros(5, 1))
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_all_sizes_start_as_one_policy() -> None:
    """Given a new policy, when it begins to learn, then each size acts as the smallest does.

    So in the beginning each size learns from the samples of all.
    """
    model, observations = pendulum(n_envs=2), torch.randn(5, 3)

    class Watch(Look):
        def _on_step(self) -> bool:
            if self.n_calls == 1:
                policy = self.model.policy
                means = []
                for size in (6, 9, 30, 64):
                    small = policy.discretize(size)
                    means.append(small.get_distribution(observations).mode().detach())
                assert all(torch.allclose(mean, means[0], atol=1e-6) for mean in means)
                assert means[0].abs().sum() > 0
            return True

    model.learn(2, callback=[AnySizeCallback(smallest=6), Watch()])


def test_a_policy_that_was_trained_keeps_what_it_learned(tmp_path: Path) -> None:
    """Given weights from elsewhere, when training at every size begins, then they are still there."""
    model = pendulum()
    model.learn(256)
    other = pendulum()
    other.policy.load_state_dict(model.policy.state_dict())
    model.save(tmp_path / "model.zip")
    loaded = PPO.load(tmp_path / "model.zip", env=model.env)
    for trained in (model, other, loaded):
        weight = trained.policy.action_net.weight.clone()
        trained.learn(0, callback=AnySizeCallback(smallest=6))
        assert torch.equal(trained.policy.action_net.weight, weight)


def test_a_small_policy_has_its_own_value_and_exploration() -> None:
    """Given a trained model, then an ordinary policy of a size values and explores as that size does."""
    model = pendulum()
    model.learn(1024, callback=AnySizeCallback())
    observations, actions = torch.randn(5, 3), torch.zeros(5, 1)
    small = model.policy.discretize(8)  # the smallest size, which surely was drawn
    with torch.no_grad(), model.policy.resized(8):
        expected = model.policy.evaluate_actions(observations, actions)
        got = small.evaluate_actions(observations, actions)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(expected, got, strict=True))
    assert not torch.allclose(small.log_std, model.policy.log_std)


@pytest.mark.parametrize("count", [8, 64, 1000])
def test_any_few_sizes_in_a_row_cover_the_range(count: int) -> None:
    """Given a sequence, then each stretch has full and small sizes, and logs are spread evenly."""
    sequence = SizeSequence(8, 64, 0.125)
    for _ in range(5):
        sizes = sequence.draw(count)
        assert sizes.max() == 64
        assert sizes.min() == 8
        assert abs((sizes == 64).float().mean() - 0.125 - 0.006) <= 1 / count + 0.01
        assert abs((sizes == 8).float().mean() - 0.125 - 0.042) <= 1 / count + 0.01
        assert abs((sizes < 23).float().mean() - 0.125 - 0.75 * 0.504) <= 2 / count + 0.02


def test_a_sequence_goes_on_where_it_was() -> None:
    whole, first = SizeSequence(4, 40, 0.2), SizeSequence(4, 40, 0.2)
    expected = whole.draw(30)
    got = [first.draw(13), SizeSequence(4, 40, 0.2, first.n_drawn).draw(17)]
    assert torch.equal(torch.cat(got), expected)


class InterruptError(Exception):
    """Stands for the user's Ctrl-C."""


@pytest.mark.parametrize("algorithm", [PPO, SAC], ids=["PPO", "SAC"])
def test_an_interruption_leaves_an_ordinary_model(algorithm: Any) -> None:
    class Interrupt(BaseCallback):
        def _on_step(self) -> bool:
            if self.n_calls == 20:
                raise InterruptError
            return True

    arguments = {"learning_starts": 5, "batch_size": 8} if algorithm is SAC else {}
    model = pendulum(2, algorithm, **arguments)
    with pytest.raises(InterruptError):
        model.learn(100, callback=[AnySizeCallback(), Interrupt()])
    assert type(model) is algorithm
    assert model.policy._mixed is None
    if algorithm is PPO:
        assert type(model.rollout_buffer).__module__.startswith("stable_baselines3")
    model.learn(64)


@pytest.mark.parametrize("algorithm", [RecurrentPPO, ARS], ids=["RecurrentPPO", "ARS"])
def test_algorithms_without_independent_samples_are_refused(
    make_model: MakeModel, algorithm: Any
) -> None:
    model = make_model(algorithm)
    with pytest.raises(ValueError, match=f"{algorithm.__name__} does not train at many sizes"):
        model.learn(16, callback=AnySizeCallback())


def test_a_plain_policy_is_refused() -> None:
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=16, batch_size=16, device="cpu")
    with pytest.raises(ValueError, match="need an integral policy, got ActorCriticPolicy"):
        model.learn(16, callback=AnySizeCallback())


def test_exploration_by_gsde_is_refused() -> None:
    model = pendulum(use_sde=True)
    with pytest.raises(ValueError, match="use_sde=False"):
        model.learn(64, callback=AnySizeCallback())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"smallest": 0}, "at least 1, got 0"),
        ({"end_share": 0.5}, "below 0.5, got 0.5"),
        ({"end_share": -0.1}, "at least 0"),
    ],
    ids=str,
)
def test_numbers_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AnySizeCallback(**arguments)


def test_a_smallest_size_above_the_largest_is_refused() -> None:
    with pytest.raises(ValueError, match="at most the largest layer, 64, got 65"):
        pendulum().learn(64, callback=AnySizeCallback(smallest=65))


def test_a_callback_can_be_used_again_and_leaves_no_model_behind() -> None:
    callback = AnySizeCallback()
    for _ in range(2):
        model = pendulum()
        model.learn(256, callback=callback)
        assert type(model) is PPO
    del model
    gc.collect()


def test_a_plain_agent_becomes_the_full_size_of_one_for_every_size() -> None:
    """Given a plain agent, when a policy for every size is made of it, then it acts as before."""
    agent = PPO("MlpPolicy", "CartPole-v1", n_steps=64, batch_size=64, seed=1, device="cpu").learn(128)
    arguments: dict[str, Any] = {"n_steps": 64, "batch_size": 64, "seed": 0, "device": "cpu"}
    model = PPO("IntegralMlpPolicy", "CartPole-v1", policy_kwargs={"any_size": True}, **arguments)
    policy: Any = model.policy
    init_from(policy, agent.policy)
    observations = torch.randn(20, 4)
    with torch.no_grad():
        expected = agent.policy.get_distribution(observations).distribution.logits
        got = policy.get_distribution(observations).distribution.logits
    assert torch.allclose(got, expected, atol=1e-5)
    model.learn(64, callback=AnySizeCallback(smallest=8))


def test_a_callback_that_stops_at_a_time_limit_leaves_a_policy_that_values() -> None:
    """Given training that stops where episodes are cut off, then values can be asked for afterwards."""

    class Stop(Look):
        def _on_step(self) -> bool:
            return not any(self.locals["dones"])

    model = pendulum(n_steps=256)
    model.learn(2048, callback=[AnySizeCallback(), Stop()])
    assert model.num_timesteps == 200 * 4
    with torch.no_grad():
        assert model.policy.predict_values(torch.zeros(5, 3)).shape == (5, 1)


def test_a_wrong_size_leaves_the_policy_as_it_was() -> None:
    model = pendulum()
    with pytest.raises(ValueError, match="at most the largest layer"):
        model.learn(64, callback=AnySizeCallback(smallest=65))
    assert not model.policy.any_size
    assert "any_size" not in model.policy_kwargs
