from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sb3_integral.cli.app import app
from sb3_integral.cli.run import about

ENVIRONMENT = """
import gymnasium
import numpy
from gymnasium.spaces import Box, Discrete, Tuple


class Endless(gymnasium.Env):
    observation_space = {observations}
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {{}}

    def step(self, action):
        return self.observation_space.sample(), 1.0, False, False, {{}}


gymnasium.register("{name}-v0", f"{{__name__}}:Endless")
"""

CONFIG = """
name: mine
env: {env}
seeds: [0]
sizes: [8, 4]
expert: {{algo: ppo, hyperparams: ppo.yml, n_timesteps: {steps}}}
students:
  inn: {{label: INN, kind: integral, hidden_sizes: [8, 8], random_sizes: {{}}}}
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a configuration, and an environment of the user's beside it."""

    def files(
        name: str,
        env: str = "{module}:{name}-v0",
        more: str = "",
        observations: str = "Box(-1, 1, (3,))",
        steps: int = 10**8,
    ) -> Path:
        module = f"{name.lower()}_environment"
        text = ENVIRONMENT.format(name=name, observations=observations)
        (tmp_path / f"{module}.py").write_text(text)
        entry = "{policy: MlpPolicy, n_timesteps: 64, n_steps: 64, n_envs: 1}"
        (tmp_path / "ppo.yml").write_text(f"{name}-v0: {entry}\n")
        config = CONFIG.format(env=env.format(module=module, name=name), steps=steps)
        (tmp_path / "mine.yml").write_text(config + more.format(module=module))
        return tmp_path / "mine.yml"

    return files


@pytest.fixture(scope="session")
def invoke() -> Callable[..., Result]:
    def call(*arguments: object) -> Result:
        environment = {"COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1"}
        return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)

    return call


# How long it takes


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (100, "1.7 minutes"),
        (40 * 60, "40 minutes"),
        (5400, "1.5 hours"),
        (3 * 86400, "3 days"),
        (20.4 * 86400, "20 days"),
    ],
)
def test_a_duration_is_told_in_its_largest_unit(seconds, said):
    assert about(seconds) == said


# Environments of the user's


@pytest.mark.parametrize(
    ("name", "env", "more"),
    [
        ("Colon", "{module}:{name}-v0", ""),
        ("Listed", "{name}-v0", "gym_packages: [{module}]\n"),
    ],
)
def test_an_environment_beside_the_configuration_is_found(invoke, write, tmp_path, name, env, more):
    config = write(name, env, more)
    result = invoke("run", config, "--runs", tmp_path / "runs", "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert "seed-0/inn/student" in result.stdout
    assert f"{name}-v0 has no time limit: episodes are cut after 10000 steps" in result.stdout
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("name", "env", "more", "said"),
    [
        (
            "Typo",
            "{module}:Tpyo-v0",
            "",
            "'Tpyo-v0' is not registered with Gymnasium; did you mean Typo-v0",
        ),
        ("Missing", "{name}-v0", "", "`gym_packages: [package]`"),
        ("Absent", "nowhere_at_all:{name}-v0", "", "package 'nowhere_at_all' cannot be imported"),
        ("Odd", "{name}-v0", "gym_packages: [os.system('x')]\n", "gym_packages.0"),
    ],
)
def test_an_environment_that_is_not_found_is_an_error_and_writes_nothing(
    invoke, write, tmp_path, name, env, more, said
):
    result = invoke("run", write(name, env, more), "--runs", tmp_path / "runs")
    assert result.exit_code == 1
    assert said in result.stderr
    assert not (tmp_path / "runs").exists()


def test_a_space_that_students_do_not_take_is_refused_before_anything_is_made(invoke, write, tmp_path):
    config = write("Tuples", observations="Tuple([Box(-1, 1, (3,)), Discrete(2)])")
    result = invoke("run", config, "--runs", tmp_path / "runs")
    assert result.exit_code == 1
    assert "env: tuples_environment:Tuples-v0 cannot be used: " in result.stderr
    assert "Tuple" in result.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_after_a_change_of_the_environments_code_stages_are_made_anew(invoke, write, tmp_path):
    # given an expert that was trained
    config = write("Changing", more="max_episode_steps: 20\n", steps=64)
    arguments = ("run", config, "--runs", tmp_path / "runs", "--stages", "expert", "--workers", "1")
    result = invoke(*arguments)
    assert result.exit_code == 0, result.stderr
    assert "done    expert" in result.stderr
    assert "1 of 1 stages were done before" in invoke(*arguments).stderr

    # when the environment's code is another
    module = tmp_path / "changing_environment.py"
    module.write_text(module.read_text().replace("1.0", "2.0"))

    # then the expert is trained anew, which is said with the reason
    asked = invoke(*arguments, "--dry-run")
    assert "1 finished stage is made anew: the code of changing_environment changed (1)" in asked.stdout
    assert "1 stage on 1 worker, about" in asked.stdout

    # when it is put back, then the expert is there; a fresh run trains it again nevertheless
    module.write_text(module.read_text().replace("2.0", "1.0"))
    assert "1 of 1 stages were done before" in invoke(*arguments).stderr
    assert "done    expert" in invoke(*arguments, "--fresh").stderr


# Folders that cannot be written


@pytest.mark.parametrize("place", ["runs", "runs/mine-standard", "runs/mine-standard/expert"])
def test_a_file_in_the_place_of_a_folder_is_an_error_of_one_line(invoke, write, tmp_path, place):
    config = write("Blocked", steps=64)
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text("mine")
    result = invoke("run", config, "--runs", tmp_path / "runs", "--stages", "expert")
    assert result.exit_code == 1
    (error,) = [line for line in result.stderr.splitlines() if "error" in line]
    assert str(tmp_path / place) in error
    assert (tmp_path / place).read_text() == "mine"


def test_a_preset_that_does_not_fit_is_no_matter_for_another(invoke, write, tmp_path):
    config = write("Presets", more="presets: {{quick: {{}}, broken: {{seeds: [-1]}}}}\n")
    arguments = ("run", config, "--runs", tmp_path / "runs", "--dry-run", "--preset")
    assert invoke(*arguments, "quick").exit_code == 0
    assert "seeds.0" in invoke(*arguments, "broken").stderr


# Being stopped


def is_alive(group: int) -> bool:
    """Whether a process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_in_the_background_ends_on_a_signal_and_says_how_to_go_on(write, tmp_path, number):
    # given a run that shells start with `&`, inside a stage that takes hours
    config = write("Stopped")
    process = subprocess.Popen(
        [sys.executable, "-m", "sb3_integral", "run", str(config), "--workers", "1"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        start_new_session=True,
    )
    root = tmp_path / "runs" / "mine-standard"
    deadline = time.monotonic() + 600
    while not any(root.glob(".partial-*-expert/ppo/*/*.csv")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)

    # when the main process alone is told to stop
    process.send_signal(number)
    _, errors = process.communicate(timeout=300)

    # then it says what is kept, its processes are gone, and nothing is half done
    assert process.returncode == 128 + number, errors
    assert f"stopped by {number.name}: 0 of 9 stages are finished and kept in runs" in errors
    assert "run the same command again to go on" in errors
    assert "Traceback" not in errors
    assert {path.name for path in root.iterdir()} == {".lock", "output.log"}
    while is_alive(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)
