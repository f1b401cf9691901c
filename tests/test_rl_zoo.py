"""rl-zoo3's stock commands, as the README prints them, with a shortened budget."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sb3_contrib import TRPO
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_integral import IntegralActorCriticPolicy

ROOT = Path(__file__).parent.parent
PLUGIN = ("--gym-packages", "sb3_integral")
TRAIN = ("train", "--algo", "trpo", "--env", "Acrobot-v1", *PLUGIN)


def zoo(*arguments: str) -> str:
    """Run a command of rl-zoo3; return what it printed."""
    result = subprocess.run(
        [sys.executable, "-m", f"rl_zoo3.{arguments[0]}", *arguments[1:]],
        cwd=ROOT,
        env={**os.environ, "SDL_VIDEODRIVER": "dummy", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize(
    ("file", "policy_class"),
    [("trpo.yml", ActorCriticPolicy), ("trpo_integral.yml", IntegralActorCriticPolicy)],
    ids=["stock", "integral"],
)
def test_training_and_enjoying(file: str, policy_class: type[ActorCriticPolicy], tmp_path: Path) -> None:
    # when it is trained
    short = ("-n", "2048", "--eval-freq", "-1", "-f", str(tmp_path))
    zoo(*TRAIN, "--conf-file", f"hyperparams/{file}", *short)
    # then the policy is of the wanted class
    run = tmp_path / "trpo" / "Acrobot-v1_1"
    assert type(TRPO.load(run / "Acrobot-v1.zip").policy) is policy_class
    # and it can be watched, and trained further
    enjoy = ("--algo", "trpo", "--env", "Acrobot-v1", *PLUGIN, "-f", str(tmp_path), "-n", "600")
    assert "Mean reward" in zoo("enjoy", *enjoy, "--no-render")
    zoo(*TRAIN, "--conf-file", f"hyperparams/{file}", *short, "-i", str(run / "Acrobot-v1.zip"))
    assert (tmp_path / "trpo" / "Acrobot-v1_2" / "Acrobot-v1.zip").exists()


def test_a_policy_that_was_resized_is_enjoyed_and_filmed_at_that_size(tmp_path: Path) -> None:
    # given a model of rl-zoo3 that was made smaller, in its own place
    arguments = ("--algo", "ppo", "--env", "CartPole-v1")
    short = ("-n", "256", "--eval-freq", "-1", "-f", str(tmp_path))
    zoo("train", *arguments, *PLUGIN, "--conf-file", "hyperparams/ppo.yml", *short)
    path = tmp_path / "ppo" / "CartPole-v1_1" / "CartPole-v1.zip"
    model = PPO.load(path)
    model.policy.resize(8)
    model.save(path)
    # when
    assert "Mean reward" in zoo(
        "enjoy", *arguments, *PLUGIN, "-f", str(tmp_path), "-n", "600", "--no-render"
    )
    zoo("record_video", *arguments, "-f", str(tmp_path), "-n", "20")
    # then
    assert len(list(tmp_path.rglob("*.mp4"))) == 1
    assert PPO.load(path).policy.sizes == (8, 8)


def test_hyperparameters_are_optimized(tmp_path: Path) -> None:
    printed = zoo(
        *("train", "--algo", "ppo", "--env", "CartPole-v1", *PLUGIN),
        *("--conf-file", "hyperparams/ppo.yml", "-f", str(tmp_path), "-n", "256"),
        *("--optimize", "--n-trials", "1", "--n-startup-trials", "1", "--n-evaluations", "1"),
    )
    assert "Number of finished trials:  1" in printed
    assert list(tmp_path.rglob("report_CartPole-v1*"))


def test_callbacks_of_this_package_can_be_named_in_hyperparameters(tmp_path: Path) -> None:
    # when
    zoo(
        *("train", "--algo", "ppo", "--env", "CartPole-v1", *PLUGIN, "-f", str(tmp_path)),
        *("--conf-file", "hyperparams/ppo_any_size.yml", "-n", "2048", "--eval-freq", "-1"),
    )
    # then the model has its full size again
    model = PPO.load(tmp_path / "ppo" / "CartPole-v1_1" / "CartPole-v1.zip")
    assert model.policy.sizes == model.policy.max_sizes == (64, 64)
