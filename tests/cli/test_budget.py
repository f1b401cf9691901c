from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize
from typer.testing import CliRunner, Result

from sb3_integral import IntegralPolicy, ResizablePolicy
from sb3_integral.cli.app import app
from sb3_integral.cli.loading import load_resizable
from sb3_integral.imitation import StudentArchitecture
from sb3_integral.policies.serialization import save_policy

SMALL = {"n_steps": 16, "batch_size": 8, "n_epochs": 1, "policy_kwargs": {"net_arch": [12, 10]}}


@pytest.fixture(scope="module")
def invoke() -> Callable[..., Result]:
    def call(*arguments: object) -> Result:
        # Rich draws for a terminal of this width, and without colours.
        environment = {"COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1"}
        return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)

    return call


@pytest.fixture(scope="module")
def integral_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("integral") / "model.zip"
    PPO("IntegralMlpPolicy", "CartPole-v1", seed=0, **SMALL).save(path)
    return path


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as rl-zoo3 leaves it, trained on normalised observations, of a plain policy."""
    folder = tmp_path_factory.mktemp("CartPole-v1_1")
    venv = VecNormalize(make_vec_env("CartPole-v1", 1, seed=0))
    PPO("MlpPolicy", venv, seed=0, **SMALL).learn(16).save(folder / "CartPole-v1.zip")
    (folder / "CartPole-v1").mkdir()
    venv.save(str(folder / "CartPole-v1" / "vecnormalize.pkl"))
    return folder


@pytest.fixture(scope="module")
def student_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("student") / "student.safetensors"
    architecture = StudentArchitecture("integral", hidden_sizes=(8, 6))
    observations = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    save_policy(architecture.build(*_pendulum(), seed=0), path)
    assert observations.shape == _pendulum()[0].shape
    return path


def _pendulum() -> tuple[Any, Any]:
    venv = make_vec_env("Pendulum-v1", 1)
    return venv.observation_space, venv.action_space


def test_a_zip_of_an_integral_policy_is_fitted(invoke, integral_zip):
    result = invoke("fit", integral_zip, "--max-parameters", 100, "--min-size", "2x3")
    assert result.exit_code == 0, result.output
    found = re.search(r"of 12 x 10, is (\d+) x (\d+): (\d+) parameters", result.stdout)
    assert found is not None
    first, second, parameters = map(int, found.groups())
    assert parameters == 5 * first + (first + 1) * second + 2 * (second + 1) <= 100
    assert "max_parameters: " in result.stdout
    assert f'--size "{first} x {second}"' in result.stdout


@pytest.mark.parametrize("notation", ["{0} x {1}", "{0}x{1}", "{0},{1}", "{0} × {1}"])
@pytest.mark.parametrize("method", [None, "nearest"])
def test_what_fit_recommends_is_what_export_writes(
    invoke, integral_zip, run_folder, tmp_path, notation, method
):
    # given
    options = [] if method is None else ["--method", method]
    header = tmp_path / "actor.h"
    for source in (integral_zip, run_folder):
        said = invoke("fit", source, "--max-parameters", 100, *options).stdout
        found = re.search(r"is (\d+) x (\d+): (\d+) parameters", said)
        assert found is not None
        size = notation.format(*found.groups())
        # when
        result = invoke(
            "export", source, header, "--format", "c", "--size", size, "--episodes", 1, *options
        )
        # then
        assert result.exit_code == 0, result.output
        first, second, parameters = found.groups()
        text = header.read_text(encoding="utf-8")
        assert f"layers:      4 - {first} - {second} - 2 ({parameters} parameters" in text


def test_an_impossible_budget_is_an_error_with_the_closest(invoke, integral_zip):
    result = invoke("fit", integral_zip, "--max-bytes", 20)
    assert result.exit_code == 1
    assert "error: no size meets the budget; the closest that exists is 1 x 1" in result.stderr


def test_a_plain_policy_of_rl_zoo_is_resized_and_gets_normalised_observations(invoke, run_folder):
    result = invoke(
        "smallest", run_folder, "--tolerance", 200, "--return-range", 0, 500,
        "--sizes", "6,3x2", "--max-episodes", 16,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert re.search(r"^3 x 2: mean return .* over \d+ episodes", result.stdout, re.M)
    assert "the smallest within 200 of full size (12 x 10:" in result.stdout


def test_a_student_is_driven(invoke, student_file):
    result = invoke(
        "drive", student_file, "--env", "Pendulum-v1", "--target-us", 100000, "--steps", 210,
        "--sizes", "8x6,4",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "of 210 steps within 100000 µs; mean return -" in result.stdout
    assert "over 1 episode\n" in result.stdout
    assert re.search(r"^\s*8 x 6 .* 210 ", result.stdout, re.M)


def test_any_algorithms_policy_is_opened(tmp_path):
    model = SAC("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [7, 5]}, use_sde=False)
    model.save(tmp_path / "model.zip")
    opened = load_resizable(tmp_path / "model.zip", None, "bicubic")
    assert isinstance(opened.policy, ResizablePolicy)
    assert opened.policy.max_sizes == (7, 5)
    observation = np.array([0.5, 0.5, 1.0], np.float32)
    found, _ = opened.policy.predict(observation, deterministic=True)
    np.testing.assert_array_equal(found, model.predict(observation, deterministic=True)[0])


def test_an_integral_policy_comes_back_as_one(integral_zip):
    opened = load_resizable(integral_zip, None, "bicubic")
    assert isinstance(opened.policy, IntegralPolicy)
    assert opened.env_id is None


def test_a_folder_knows_its_environment_and_statistics(run_folder):
    opened = load_resizable(run_folder, None, "bicubic")
    assert opened.env_id == "CartPole-v1"
    normalized = opened.environment(1, seed=0)
    assert isinstance(normalized, VecNormalize)
    assert not normalized.training
    assert not normalized.norm_reward


def test_a_stack_of_frames_behind_a_normalisation_is_driven_as_it_was_trained(invoke, tmp_path):
    # given what rl-zoo3 leaves with frame_stack: 3
    run = tmp_path / "CartPole-v1_1"
    (run / "CartPole-v1").mkdir(parents=True)
    normalize = VecNormalize(make_vec_env("CartPole-v1", 1, seed=0))
    stacked = VecFrameStack(normalize, 3)
    PPO("IntegralMlpPolicy", stacked, seed=0, **SMALL).learn(32).save(run / "CartPole-v1.zip")
    normalize.save(str(run / "CartPole-v1" / "vecnormalize.pkl"))
    normalize.training = False
    normalize.norm_reward = False
    # when
    venv = load_resizable(run, None).environment(1, seed=3)
    stacked.seed(3)
    # then
    np.testing.assert_allclose(venv.reset(), stacked.reset(), rtol=1e-5)
    for action in ([0], [1], [1]):
        np.testing.assert_allclose(
            venv.step(np.array(action))[0], stacked.step(np.array(action))[0], rtol=1e-5
        )
    result = invoke("smallest", run, "--tolerance", 200, "--sizes", "3x2", "--max-episodes", 16)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fit", "{zip}"], "no limit was given"),
        (["fit", "nowhere.zip", "--max-macs", "9"], "nowhere.zip does not exist"),
        (["fit", "{zip}", "--max-macs", "9", "--min-size", "two"], "a size is a number"),
        (["fit", "{empty}", "--max-macs", "9"], "holds 0 models, expected a model.zip"),
        (["drive", "{student}", "--target-us", "9"], "expected --env <environment>"),
        (["drive", "{student}", "--target-us", "9", "--env", "Nowhere-v0"], "Nowhere"),
        (["drive", "{student}", "--target-us", "9", "--env", "CartPole-v1"], "observation_space is"),
        (["fit", "{text}", "--max-macs", "9", "--env", "CartPole-v1"], "is not a whole safe file"),
        (["fit", "{cut}", "--max-macs", "9"], "is not a whole safe file"),
        (["smallest", "{zip}", "--tolerance", "9"], "expected --env <environment>"),
        (["smallest", "{zip}", "--env", "Pendulum-v1", "--tolerance", "9"], "observation_space is"),
        (["smallest", "{zip}", "--env", "CartPole-v1", "--tolerance", "-1"], "tolerance must be"),
        (["smallest", "{run}", "--method", "magic", "--tolerance", "1"], "unknown resize method"),
        (["drive", "{zip}", "--env", "CartPole-v1", "--target-us", "0"], "target_us must be"),
        (["drive", "{zip}", "--env", "CartPole-v1", "--target-us", "9", "--sizes", "0"], "got '0'"),
    ],
)  # fmt: skip
def test_mistakes_get_one_line(
    invoke, tmp_path, integral_zip, run_folder, student_file, arguments, said
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("hello")
    (tmp_path / "cut").write_bytes(integral_zip.read_bytes()[:500])
    places = {
        "zip": integral_zip, "run": run_folder, "student": student_file,
        "empty": tmp_path / "empty", "text": tmp_path / "text", "cut": tmp_path / "cut",
    }  # fmt: skip
    result = invoke(*(str(argument).format(**places) for argument in arguments))
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("error: ")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["fit", "smallest", "drive"])
def test_each_command_teaches_with_an_example(invoke, command):
    said = re.sub(r"\x1b\[[\d;]*m", "", invoke(command, "--help").stdout)
    assert f"sb3-integral {command} logs/trpo" in said
    assert "open only files that you trust" in said
