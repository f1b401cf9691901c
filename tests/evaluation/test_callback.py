"""The sweep during learn(), and during imitation's BC."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
import torch
from imitation.data import rollout
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecNormalize
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sb3_integral import IntegralActorCriticPolicy, ResizeSweepCallback
from sb3_integral.imitation import Demonstrations, StudentArchitecture, make_trainer

SIZES = [8, (4, 2), 2]
LABELS: list[Any] = [8, "4x2", 2]


def ppo(policy: str = "IntegralMlpPolicy", **arguments: Any) -> PPO:
    return PPO(
        policy,
        arguments.pop("env", "CartPole-v1"),
        n_steps=64,
        batch_size=32,
        n_epochs=1,
        seed=0,
        device="cpu",
        policy_kwargs={"net_arch": [8, 8]},
        **arguments,
    )


def test_a_curve_per_size_is_logged_to_tensorboard(tmp_path: Path) -> None:
    # given
    callback = ResizeSweepCallback("CartPole-v1", SIZES, eval_freq=50, n_eval_episodes=3)
    model = ppo(tensorboard_log=str(tmp_path))
    # when
    model.learn(128, callback=callback)
    # then
    (events,) = tmp_path.rglob("events.*")
    board = EventAccumulator(str(events)).Reload()
    table = pd.DataFrame(callback.rows)
    for label in LABELS:
        points = board.Scalars(f"resize/mean_reward_{label}")
        assert [point.step for point in points] == [50, 100]
        means = table[table["size"] == label].groupby("timesteps")["episode_return"].mean()
        assert [point.value for point in points] == pytest.approx(means.tolist())
    # and the policy has its own size
    assert model.policy.sizes == (8, 8)


def test_training_is_what_it_would_be_without_it() -> None:
    # given
    def trained(**arguments: Any) -> list[np.ndarray]:
        model = ppo()
        env = make_vec_env("CartPole-v1", 2, seed=3)
        callback = ResizeSweepCallback(env, SIZES, eval_freq=20, n_eval_episodes=2, **arguments)
        model.learn(128, callback=callback if arguments else None)
        return [parameter.detach().numpy() for parameter in model.policy.parameters()]

    # then deterministic evaluation draws nothing
    for with_it, without in zip(trained(deterministic=True), trained(), strict=True):
        np.testing.assert_array_equal(with_it, without)


def test_the_best_model_of_each_size_is_kept(tmp_path: Path) -> None:
    # given
    callback = ResizeSweepCallback(
        "CartPole-v1", SIZES, eval_freq=40, n_eval_episodes=3, best_model_save_path=tmp_path
    )
    # when
    ppo().learn(192, callback=callback)
    # then
    table = pd.DataFrame(callback.rows).groupby(["size", "timesteps"])["episode_return"].mean()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"best_model_{label}.zip" for label in LABELS
    )
    for label, sizes in zip(LABELS, [(8, 8), (4, 2), (2, 2)], strict=True):
        assert callback.best_mean_rewards[label] == pytest.approx(table[label].max())
        assert PPO.load(tmp_path / f"best_model_{label}").policy.sizes == sizes


def test_a_plain_policy_is_resized_by_a_method(tmp_path: Path) -> None:
    # given
    callback = ResizeSweepCallback(
        "CartPole-v1", [8, 3], 64, 2, method="bicubic-rescaled", best_model_save_path=tmp_path
    )
    # when
    ppo("MlpPolicy").learn(64, callback=callback)
    # then
    saved = ActorCriticPolicy.load(tmp_path / "best_model_3.zip")
    assert saved.mlp_extractor.policy_net[0].out_features == 3


@pytest.mark.parametrize(("algorithm", "env_id"), [(DQN, "CartPole-v1"), (SAC, "Pendulum-v1")])
def test_off_policy_algorithms_are_swept(algorithm: Any, env_id: str) -> None:
    model = algorithm("IntegralMlpPolicy", env_id, learning_starts=10, buffer_size=100, device="cpu")
    callback = ResizeSweepCallback(env_id, [32, 8], eval_freq=20, n_eval_episodes=1)
    model.learn(40, callback=callback)
    assert len(callback.rows) == 4


def test_statistics_of_a_normalised_environment_are_shared() -> None:
    # given
    env = VecNormalize(make_vec_env("Acrobot-v1", 2, seed=0))
    eval_env = VecNormalize(make_vec_env("Acrobot-v1", 2, seed=1), training=False, norm_reward=False)
    # when
    model = ppo(env=env)
    callback = ResizeSweepCallback(eval_env, [8, 4], eval_freq=64, n_eval_episodes=2)
    model.learn(128, callback=callback)
    # then
    assert eval_env.obs_rms.count > 64
    assert all(row["episode_return"] == -500.0 or row["length"] < 500 for row in callback.rows)


# imitation logs the loss without detaching it.
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True")
def test_imitations_bc_is_swept_after_epochs() -> None:
    # given a trainer of imitation
    env = make_vec_env("CartPole-v1", 2, seed=0)
    rng = np.random.default_rng(0)
    transitions = rollout.flatten_trajectories(
        rollout.rollout(None, env, rollout.make_sample_until(min_timesteps=300), rng, unwrap=False)
    )
    demonstrations = Demonstrations(
        torch.tensor(transitions.obs), torch.tensor(transitions.acts), torch.zeros(1)
    )
    student = StudentArchitecture("integral", hidden_sizes=(8, 8)).build(
        env.observation_space, env.action_space, seed=0
    )
    trainer = make_trainer(student, demonstrations, batch_size=32)
    callback = ResizeSweepCallback(env, [8, 2], n_eval_episodes=2)
    # when
    on_epoch_end = callback.for_trainer(trainer, every=2)
    trainer.train(n_epochs=5, on_epoch_end=on_epoch_end, progress_bar=False)
    # then
    assert [row["timesteps"] for row in callback.rows] == [2] * 4 + [4] * 4
    assert student.sizes == (8, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": []}, "at least one size"),
        ({"sizes": [8], "eval_freq": 0}, "eval_freq must be at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResizeSweepCallback("CartPole-v1", **arguments)


@pytest.mark.parametrize(("size", "message"), [(0, "at least 1, got 0"), ((1, 2, 3), "got 3 of them")])
def test_a_wrong_size_is_refused_before_training(size: Any, message: str) -> None:
    # given
    model = ppo()
    # then
    with pytest.raises(ValueError, match=message):
        model.learn(64, callback=ResizeSweepCallback("CartPole-v1", [size]))
    assert model.num_timesteps == 0


def test_wrong_epochs_are_refused() -> None:
    callback = ResizeSweepCallback(gym.make("CartPole-v1"), [8])

    class Trainer:
        policy = IntegralActorCriticPolicy(
            gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(2), lambda _: 0.0
        )

    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        callback.for_trainer(Trainer(), every=0)  # type: ignore[arg-type]
