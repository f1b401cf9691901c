from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from gymnasium.envs.registration import EnvSpec
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from typer.testing import CliRunner, Result

from sb3_integral import ResizablePolicy
from sb3_integral.cli.app import app
from sb3_integral.deploy import load_policy, save_policy
from sb3_integral.resize import DEFAULT_METHOD


@pytest.fixture(scope="module")
def invoke() -> Callable[..., Result]:
    def call(*arguments: object) -> Result:
        environment = {"COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1"}
        return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)

    return call


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder of rl-zoo3, with statistics."""
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
        "SB3's zip files are pickles, which can run code: open only files",
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


INT8 = ("--format", "onnx", "--weights", "int8")


def test_int8_is_calibrated_and_what_it_earns_is_printed(
    invoke: Callable[..., Result], run: Path, tmp_path: Path
) -> None:
    exact, small = tmp_path / "exact.onnx", tmp_path / "int8.onnx"
    result = invoke("export", run, exact, "--format", "onnx")
    assert result.exit_code == 0, result.output
    result = invoke("export", run, small, *INT8, "--env", "CartPole-v1")
    assert result.exit_code == 0, result.output
    assert "calibrated on 1000 observations" in result.stdout
    dynamic = invoke("export", run, tmp_path / "dynamic.onnx", *INT8, "--size", "2")
    assert dynamic.exit_code == 0, dynamic.output
    assert "the int8 form has" in dynamic.stderr
    assert "the float32 form has" in dynamic.stderr
    result = invoke("rewards", exact, small, "--env", "CartPole-v1", "--episodes", "2")
    assert result.exit_code == 0, result.output
    assert "mean return" in result.stdout
    assert str(small.stat().st_size) in result.stdout


def test_a_header_of_whole_numbers_says_what_it_is(
    invoke: Callable[..., Result], run: Path, tmp_path: Path
) -> None:
    header = tmp_path / "actor.h"
    names = ("--observation-names", "place, speed, angle, turn", "--action-names", "left,right")
    said = (*names, "--meta", "robot=arm = 3", "--meta", "note=")
    result = invoke("export", run, header, "--format", "c", "--weights", "q15", *said)
    assert result.exit_code == 0, result.output
    assert "a C99 header with policy_act and weights of q15" in result.stdout
    text = header.read_text(encoding="ascii")
    assert '"environment": "CartPole-v1"' in text
    assert 'observation[2]: -0.418879032 to 0.418879032, angle"' in text
    assert '"actions": "choice[1]: 1 to 1, right"' in text
    assert '"robot": "arm = 3"' in text
    assert '"note": ""' in text
    assert "static const int16_t policy_weight_0" in text


class Worn(CartPoleEnv):
    """Warns whenever an episode begins."""

    def reset(self, **settings: Any) -> Any:
        warnings.warn("the bearings of the pole are worn", UserWarning, stacklevel=1)
        return super().reset(**settings)


def test_warnings_of_an_environment_reach_the_user(
    invoke: Callable[..., Result], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setitem(gym.registry, "Worn-v0", EnvSpec("Worn-v0", Worn))
    # when / then
    with pytest.warns(UserWarning, match="bearings of the pole are worn"):
        invoke("export", run, tmp_path / "i.onnx", *INT8, "--env", "Worn-v0")
    assert (tmp_path / "i.onnx").is_file()


def test_errors_are_a_line_and_nothing_is_written(
    invoke: Callable[..., Result], run: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    safe = tmp_path / "policy.safetensors"
    invoke("export", run, safe, "--format", "safe")
    for arguments, said in (
        ((tmp_path / "none.zip", target, "--format", "c"), "does not exist"),
        ((run, target, "--format", "c", "--size", "x"), "a size is a number of at least 1"),
        ((run, target, "--format", "c", "--size", "0"), "a size is a number of at least 1"),
        ((run, target, "--format", "c", "--name", "a b"), "for a name in C"),
        ((run, target, "--format", "torch"), "end in .pt2"),
        ((run, target, "--format", "onnx", "--weights", "q15"), "weights of float32 or int8, got q15"),
        ((run, target, "--format", "safe", "--weights", "int8"), "weights of float32, got int8"),
        ((run, target, "--format", "c", "--meta", "robot"), "expected --meta key=value"),
        ((run, target, "--format", "c", "--meta", "a=1", "--meta", "a=2"), "expected --meta key=value"),
        ((run, target, "--format", "c", "--action-names", "left"), "expected 2 action names, got 1"),
        ((run, target, "--format", "sb3", "--algo", "walk"), "unknown algorithm 'walk'"),
        ((safe, target, "--format", "sb3"), "a policy alone becomes a model of --algo"),
        ((safe, safe, "--format", "safe"), "which is read, expected another file to write"),
        ((safe, target, "--format", "safe", "--env", "Nothing-v0"), "Nothing"),
        ((safe, target, "--format", "safe", "--env", "Acrobot-v1"), "observation_space is"),
    ):
        result = invoke("export", *arguments)
        assert result.exit_code == 1, result.output
        assert result.stderr.startswith("error: ")
        assert said in result.stderr
        assert not target.exists()
    result = invoke("rewards", safe, "--env", "CartPole-v1")
    assert result.exit_code == 1
    assert "error: " in result.stderr


def test_a_smaller_size_says_what_it_costs_or_asks_to_measure_it(
    invoke: Callable[..., Result], run: Path, tmp_path: Path
) -> None:
    # given
    zipped, header = tmp_path / "plain.zip", tmp_path / "actor.h"
    assert invoke("export", run, zipped, "--format", "sb3").exit_code == 0
    to_c = (header, "--format", "c", "--size", "8")
    # when / then
    measured = invoke("export", run, *to_c, "--episodes", 2)
    assert re.search(
        r"mean return over 2 episodes of CartPole-v1: [\d.]+ at 8 x 8, [\d.]+ at full size",
        measured.stderr,
    )
    measured = invoke("export", zipped, *to_c, "--episodes", 2, "--env", "CartPole-v1")
    assert "mean return over 2 episodes of CartPole-v1" in measured.stderr
    asked = invoke("export", zipped, *to_c)
    assert "was not measured: --env measures it" in asked.stderr
    assert invoke("export", run, header, "--format", "c").stderr == ""
    assert invoke("export", run, header, "--format", "c", "--size", "64").stderr == ""


def test_by_default_a_stock_policy_is_resized_as_the_other_verbs_resize_it(
    invoke: Callable[..., Result], tmp_path: Path
) -> None:
    # given
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=32, seed=0)
    model.save(tmp_path / "model.zip")
    safe = tmp_path / "small.safetensors"
    # when
    result = invoke("export", tmp_path / "model.zip", safe, "--format", "safe", "--size", "20x9")
    # then
    assert result.exit_code == 0, result.output
    wanted = ResizablePolicy(model.policy, DEFAULT_METHOD).discretize([20, 9]).state_dict()
    got = load_policy(safe).state_dict()
    assert wanted.keys() == got.keys()
    for name, tensor in wanted.items():
        np.testing.assert_array_equal(got[name].numpy(), tensor.numpy())


@pytest.mark.parametrize("format", ["sb3", "safe"])
def test_a_format_that_cannot_hold_the_normalisations_digits_says_so(
    invoke: Callable[..., Result], run: Path, tmp_path: Path, format: str
) -> None:
    # given statistics of an observation that is large beside its deviation
    normalize = VecNormalize.load(
        str(run / "CartPole-v1" / "vecnormalize.pkl"), make_vec_env("CartPole-v1")
    )
    normalize.obs_rms.mean[1] = 1e9
    normalize.save(str(tmp_path / "vecnormalize.pkl"))
    # when
    target = (tmp_path / "model", "--format", format, "--vecnormalize", tmp_path / "vecnormalize.pkl")
    result = invoke("export", run / "CartPole-v1.zip", *target)
    # then
    assert result.exit_code == 0, result.output
    assert "the result sees observations rounded to" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_missing_source_beside_an_existing_target_is_one_line(
    invoke: Callable[..., Result], tmp_path: Path
) -> None:
    target = tmp_path / "actor.h"
    target.write_text("mine", encoding="utf-8")
    result = invoke("export", tmp_path / "none.zip", target, "--format", "c")
    assert result.exit_code == 1
    assert re.fullmatch(r"error: .*none\.zip does not exist, .*\n", result.stderr)
    assert target.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("format", ["sb3", "onnx", "torch", "c", "safe"])
def test_no_format_writes_where_something_else_stands(
    invoke: Callable[..., Result], run: Path, tmp_path: Path, format: str
) -> None:
    # given
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "mine.txt").write_text("years of work", encoding="utf-8")
    # when / then
    for target in (folder, folder / "mine.txt" / "below", Path("/dev/null"), run, tmp_path / ".."):
        result = invoke("export", run, target, "--format", format)
        assert result.exit_code == 1
        assert re.fullmatch(r"error: .*\n", result.stderr), result.stderr
    assert (folder / "mine.txt").read_text(encoding="utf-8") == "years of work"
    assert (run / "CartPole-v1.zip").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder"]


@pytest.mark.parametrize("alias", ["itself", "link", "hard link"])
@pytest.mark.parametrize("name", ["PPO.zip", "PPO/vecnormalize.pkl", "mine.pkl", "stage.json"])
def test_what_an_export_reads_is_not_what_it_writes(
    invoke: Callable[..., Result], run: Path, tmp_path: Path, name: str, alias: str
) -> None:
    # given a model, its statistics in the usual place and in another, and a record of the run
    (tmp_path / "PPO").mkdir()
    shutil.copy(run / "CartPole-v1.zip", tmp_path / "PPO.zip")
    for place in ("PPO/vecnormalize.pkl", "mine.pkl"):
        shutil.copy(run / "CartPole-v1" / "vecnormalize.pkl", tmp_path / place)
    (tmp_path / "stage.json").write_text("{}", encoding="utf-8")
    read = tmp_path / name
    target = read if alias == "itself" else tmp_path / "target"
    if alias == "link":
        target.symlink_to(read)
    elif alias == "hard link":
        target.hardlink_to(read)
    before = read.read_bytes()
    # when
    more = ("--vecnormalize", read) if name == "mine.pkl" else ()
    result = invoke("export", tmp_path / "PPO.zip", target, "--format", "c", *more)
    # then
    assert result.exit_code == 1
    assert re.fullmatch(r"error: .* which is read, expected another file to write\n", result.stderr)
    assert read.read_bytes() == before
    assert target.samefile(read)


def test_a_students_folder_of_a_run_is_exported(invoke: Callable[..., Result], tmp_path: Path) -> None:
    # given
    stage = tmp_path / "acrobot" / "seed-0" / "inn"
    stage.mkdir(parents=True)
    student = PPO("IntegralMlpPolicy", "CartPole-v1", seed=0).policy
    save_policy(student, stage / "student.safetensors")
    inputs = {"inputs": {"env_id": "CartPole-v1"}}
    (stage / "stage.json").write_text(json.dumps(inputs), encoding="utf-8")
    # when
    arguments = (tmp_path / "actor.h", "--format", "c", "--size", "8", "--episodes", "1")
    for source in (stage, tmp_path / "acrobot", stage / "student.safetensors"):
        result = invoke("export", source, *arguments)
        # then
        assert result.exit_code == 0, result.output
        assert "of CartPole-v1" in result.stderr
    # and where there are two, they are named
    other = tmp_path / "acrobot" / "seed-0" / "nn"
    other.mkdir()
    save_policy(student, other / "student.safetensors")
    result = invoke("export", tmp_path / "acrobot", *arguments)
    assert result.exit_code == 1
    assert "holds 2 models" in result.stderr
    assert f"name one of them, {stage}, {other}" in result.stderr


WITHOUT_EXPERIMENTS = """
import sys

for name in "imitation rl_zoo3 datasets filelock joblib altair sacred seals optuna ray".split():
    sys.modules[name] = None
from sb3_integral.cli.app import app

for arguments in (
    ["export", "model.zip", "actor.onnx", "--format", "onnx", "--size", "8", "--env", "CartPole-v1"],
    ["fit", "model.zip", "--max-parameters", "100"],
    ["rewards", "actor.onnx", "--env", "CartPole-v1", "--episodes", "1"],
    ["smallest", "model.zip", "--env", "CartPole-v1", "--tolerance", "500", "--sizes", "8"],
    ["drive", "model.zip", "--env", "CartPole-v1", "--target-us", "500", "--steps", "9"],
):
    app(arguments, standalone_mode=False)
print("done")
"""


def test_what_leaves_the_library_needs_nothing_of_experiments(tmp_path: Path) -> None:
    # given
    arguments: dict[str, Any] = {"n_steps": 32, "batch_size": 32, "seed": 0}
    PPO("IntegralMlpPolicy", "CartPole-v1", **arguments).save(tmp_path / "model.zip")
    # when
    command = [sys.executable, "-c", WITHOUT_EXPERIMENTS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)
    # then
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("done\n")
