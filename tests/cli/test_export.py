from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from typer.testing import CliRunner, Result

from sb3_integral.cli.app import app
from sb3_integral.deploy import load_policy


@pytest.fixture(scope="module")
def invoke() -> Callable[..., Result]:
    def call(*arguments: object) -> Result:
        environment = {"COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1"}
        return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)

    return call


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder of rl-zoo3, with statistics."""
    import gymnasium as gym

    folder = tmp_path_factory.mktemp("logs") / "CartPole-v1_1"
    env = VecNormalize(DummyVecEnv([lambda: gym.make("CartPole-v1")]))
    model = PPO("IntegralMlpPolicy", env, n_steps=32, batch_size=32, seed=0).learn(32)
    (folder / "CartPole-v1").mkdir(parents=True)
    model.save(folder / "CartPole-v1.zip")
    env.save(str(folder / "CartPole-v1" / "vecnormalize.pkl"))
    return folder


def test_the_help_says_what_each_format_is_and_warns_of_pickles(invoke: Callable[..., Result]) -> None:
    text = re.sub(r"\x1b\[[\d;]*m", "", invoke("export", "--help").output)
    for said in (
        "a zip that plain Stable-Baselines3 loads",
        "the same as one C99 header",
        "SB3's zips are pickles: open none of a stranger's",
        "--format c --size 30",
    ):
        assert said in text


def test_a_run_folder_becomes_a_safe_file_which_becomes_the_rest(
    invoke: Callable[..., Result], run: Path, tmp_path: Path
) -> None:
    # when
    safe = tmp_path / "policy.safetensors"
    result = invoke("export", run, safe, "--format", "safe", "--size", "30,20")
    # then
    assert result.exit_code == 0, result.output
    assert (
        f"{safe}: a safe file of the policy IntegralActorCriticPolicy, {safe.stat().st_size} bytes"
        in result.stdout
    )
    policy: Any = load_policy(safe)
    assert policy.sizes == (30, 20)
    # and from there
    zipped, header = tmp_path / "model.zip", tmp_path / "actor.h"
    for arguments in (
        (zipped, "--format", "sb3", "--algo", "ppo"),
        (header, "--format", "c", "--size", "8", "--name", "pole"),
    ):
        result = invoke("export", safe, *arguments)
        assert result.exit_code == 0, result.output
    seen = np.zeros((1, 4), np.float32)
    got = PPO.load(zipped, device="cpu").predict(seen, deterministic=True)[0]
    np.testing.assert_array_equal(got, policy.predict(seen, deterministic=True)[0])
    assert "layers:      4 - 8 - 8 - 2" in header.read_text()
    assert "static inline int pole_act(const float *observation)" in header.read_text()
    # and a plain model is resized too
    result = invoke("export", zipped, header, "--format", "c", "--size", "6", "--method", "nearest")
    assert result.exit_code == 0, result.output
    assert "layers:      4 - 6 - 6 - 2" in header.read_text()


def test_int8_is_calibrated_and_what_it_earns_is_printed(
    invoke: Callable[..., Result], run: Path, tmp_path: Path
) -> None:
    exact, small = tmp_path / "exact.onnx", tmp_path / "int8.onnx"
    result = invoke("export", run, exact, "--format", "onnx")
    assert result.exit_code == 0, result.output
    result = invoke("export", run, small, "--format", "onnx-int8", "--env", "CartPole-v1")
    assert result.exit_code == 0, result.output
    assert "calibrated on 1000 observations" in result.stdout
    dynamic = invoke("export", run, tmp_path / "dynamic.onnx", "--format", "onnx-int8", "--size", "2")
    assert dynamic.exit_code == 0, dynamic.output
    assert "the int8 form has" in dynamic.stdout
    assert "the float32 form has" in dynamic.stdout
    result = invoke("rewards", exact, small, "--env", "CartPole-v1", "--episodes", "2")
    assert result.exit_code == 0, result.output
    assert "mean return" in result.stdout
    assert str(small.stat().st_size) in result.stdout


def test_errors_are_a_line_and_nothing_is_written(
    invoke: Callable[..., Result], run: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    safe = tmp_path / "policy.safetensors"
    invoke("export", run, safe, "--format", "safe")
    for arguments, said in (
        ((tmp_path / "none.zip", target, "--format", "c"), "does not exist"),
        ((run, target, "--format", "c", "--size", "x"), "expected a size such as 30"),
        ((run, target, "--format", "c", "--size", "0"), "integer of at least 1"),
        ((run, target, "--format", "c", "--name", "a b"), "for a name in C"),
        ((run, target, "--format", "torch"), "end in .pt2"),
        ((run, target, "--format", "sb3", "--algo", "walk"), "unknown algorithm 'walk'"),
        ((safe, target, "--format", "sb3"), "a policy alone becomes a model of --algo"),
        ((safe, safe, "--format", "safe"), "is the source itself"),
        ((safe, target, "--format", "safe", "--env", "Nothing-v0"), "cannot be made"),
        ((safe, target, "--format", "safe", "--env", "Acrobot-v1"), "was made for"),
    ):
        result = invoke("export", *arguments)
        assert result.exit_code == 1, result.output
        assert result.stderr.startswith("error: ")
        assert said in result.stderr
        assert not target.exists()
    result = invoke("rewards", safe, "--env", "CartPole-v1")
    assert result.exit_code == 1
    assert "error: " in result.stderr
