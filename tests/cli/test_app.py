from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner, Result

from sb3_integral import __version__
from sb3_integral.cli.app import app

REPORT = (
    "experiment.yml",
    "over_sizes.csv",
    "provenance.json",
    "reward_vs_size.png",
    "runs.csv",
    "stage.json",
    "table.csv",
    "table.md",
)


@pytest.fixture(scope="session")
def invoke() -> Callable[..., Result]:
    def call(*arguments: object) -> Result:
        # Rich draws for a terminal of this width, and without colours.
        environment = {"COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1"}
        return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)

    return call


@pytest.fixture
def content() -> dict[str, Any]:
    """Eighteen stages of a few seconds each."""
    return {
        "name": "tiny",
        "env": "CartPole-v1",
        "seeds": [0, 1],
        "sizes": [16, 4],
        "expert": {"hyperparams": "trpo.yml", "n_timesteps": 1500, "n_eval_episodes": 4},
        "demonstrations": {"episodes": 20, "success": "any", "n_envs": 4},
        "students": {
            "inn": {
                "label": "INN",
                "kind": "integral",
                "hidden_sizes": [16, 16],
                "random_sizes": {"low": 4, "high": 16},
            },
            "nn": {
                "label": "NN",
                "kind": "plain",
                "hidden_sizes": [16, 16],
                "resize": ["bicubic", "prune-activations"],
            },
        },
        "cloning": {"epochs": 1, "batch_size": 32},
        "evaluation": {"episodes": 4, "n_envs": 2},
    }


@pytest.fixture
def write_config(tmp_path: Path) -> Callable[[object], Path]:
    def write(content: object) -> Path:
        entry = {"policy": "MlpPolicy", "n_timesteps": 10**6, "n_steps": 256}
        (tmp_path / "trpo.yml").write_text(yaml.safe_dump({"CartPole-v1": entry}))
        path = tmp_path / "tiny.yml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


def unstyle(text: str) -> str:
    """Typer colours its help where it thinks that it runs in continuous integration."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_help_teaches_every_verb(invoke):
    result = invoke("--help")
    assert result.exit_code == 0
    for said in (
        "Policies for Stable-Baselines3 whose size is chosen after training.",
        "Run experiments: train an expert, clone it",
        "Print the table of a finished experiment.",
        "Draw reward against size of several experiments",
        "Run a script of imitation with integral students",
        "Find the sizes, layer by layer, that fit a budget.",
        "Find the smallest size that loses no more return",
        "Drive an environment at the largest size that keeps a",
    ):
        assert said in unstyle(result.stdout)


def test_a_call_without_a_verb_says_the_same(invoke):
    assert invoke().output.strip() == invoke("--help").output.strip()


def test_the_help_of_run_has_an_example_and_its_options(invoke):
    result = invoke("run", "--help")
    assert result.exit_code == 0
    options = ("--preset", "--runs", "--workers", "--stages", "--ray", "--dry-run")
    for said in ("sb3-integral run zoo_configs/acrobot.yml", "Run it again", *options):
        assert said in unstyle(result.stdout)


def test_the_help_of_show_has_an_example(invoke):
    result = invoke("show", "--help")
    assert result.exit_code == 0
    assert "runs/acrobot-quick" in unstyle(result.stdout)


def test_the_help_of_imitation_names_scripts_configurations_and_an_example(invoke):
    result = invoke("imitation", "--help")
    assert result.exit_code == 0
    for said in (
        "train_imitation bc or dagger, train_adversarial gail or airl, eval_policy",
        "integral_student",
        "trpo_expert",
        "sb3-integral imitation train_imitation bc with",
        "scratch/policy-latest.pt",
    ):
        assert said in unstyle(result.stdout)


@pytest.mark.parametrize("behind", [[], ["--help"], ["--", "-x", "with", "a=b"]])
def test_what_is_behind_a_script_is_not_the_verbs(invoke, behind, tmp_path, monkeypatch):
    # given a script that imitation has and this command has not
    monkeypatch.chdir(tmp_path)
    # when
    result = invoke("imitation", "train_rl", *behind)
    # then it is the script that is missed, whatever is behind it
    assert result.exit_code == 1
    assert "expected the name of a script, one of train_imitation" in result.output
    assert "got 'train_rl'" in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [("--version",), ("--help",), ("run", "--help"), ("export", "--help")]
)
def test_version_and_help_need_no_torch(arguments):
    # given
    code = (
        "import sys; sys.argv = ['sb3-integral', *sys.argv[1:]]\n"
        "from sb3_integral.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as done:\n"
        "    assert not done.code\n"
        "    assert not {'torch', 'stable_baselines3', 'pandas', 'gymnasium'} & set(sys.modules)"
    )
    # when, then
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr


def test_the_command_line_still_registers_the_policies():
    # given a process that takes itself for the command line
    code = (
        "import sys; sys.argv = ['sb3-integral']\n"
        "import sb3_integral; assert 'torch' not in sys.modules\n"
        "from sb3_integral import ResizablePolicy, evaluate_resize_sweep\n"
        "from stable_baselines3 import PPO\n"
        "assert 'IntegralMlpPolicy' in PPO.policy_aliases"
    )
    # when, then
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr


def test_a_folder_that_was_removed_is_named(invoke, tmp_path, monkeypatch):
    # given a shell in a folder that is no longer there
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    # when
    result = invoke("show", "results")
    # then
    assert result.exit_code == 1
    assert result.stderr == "error: the current folder was removed, expected one that is there\n"


def test_the_version_is_that_of_the_package(invoke):
    result = invoke("--version")
    assert result.exit_code == 0
    assert result.stdout == f"sb3-integral {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["walk"], ["run"], ["show"], ["imitation"], ["run", "x", "--workers", "0"]]
)
def test_what_cannot_be_understood_is_a_usage_error(invoke, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("sizes", [16, 0], "sizes.1: Input should be greater than 0 (got 0)"),
        ("sizes", [16, -1], "sizes.1: Input should be greater than 0 (got -1)"),
        ("sizes", [16, 2.5], "(got 2.5)"),
        ("env", "CartPole-v99", "environment 'CartPole-v99' is not registered"),
        ("env", "Acrobot-v1", "has no entry for 'Acrobot-v1'; it has CartPole-v1"),
        ("colour", "red", "colour: Extra inputs are not permitted (got 'red')"),
        ("expert", {"hyperparams": "nowhere.yml"}, "nowhere.yml"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_an_error_and_writes_nothing(
    invoke, content, write_config, tmp_path, key, value, said
):
    # given
    path = write_config({**content, key: value})
    before = files(tmp_path)

    # when
    result = invoke("run", path, "--runs", tmp_path / "runs")

    # then
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert said in result.stderr
    assert result.stdout == ""
    assert files(tmp_path) == before
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("text", ["sizes: [16", "just text", None])
def test_a_file_that_is_no_configuration_is_an_error_that_names_it(invoke, tmp_path, text):
    path = tmp_path / "other.yml"
    if text is not None:
        path.write_text(text)
    result = invoke("run", path, "--runs", tmp_path / "runs")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {path} ")
    assert not (tmp_path / "runs").exists()


def test_a_folder_without_a_report_cannot_be_shown(invoke, tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        result = invoke("show", folder)
        assert result.exit_code == 1
        assert f"{folder} holds no finished experiment, expected" in result.stderr
        assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_stage_that_fails_is_an_error_that_says_why(invoke, content, write_config, tmp_path):
    # given an expert that cannot be trained
    config = write_config(content)
    (tmp_path / "trpo.yml").write_text("CartPole-v1: {policy: OraclePolicy, n_timesteps: 100}")

    # when
    result = invoke("run", config, "--runs", tmp_path / "runs", "--workers", "1")

    # then
    assert result.exit_code == 1
    assert "failed  expert" in result.stderr
    said = "error: stage expert (seed 0) failed: ValueError: Policy OraclePolicy unknown"
    assert said in result.stderr
    assert "not begun because of it: references, seed-0/demonstrations, " in result.stderr
    assert "tiny-standard: 19 stages on 1 worker; no such stage was made before" in result.stderr
    assert result.stdout == ""
    # Nothing is left of the stage but why it failed, nor made of what needs it.
    root = tmp_path / "runs" / "tiny-standard"
    assert {path.name for path in root.iterdir()} <= {".lock", "failures", "output.log"}
    assert "Traceback" in (root / "failures" / "expert.txt").read_text()
    assert invoke("show", root).exit_code == 1


@pytest.mark.slow
def test_an_experiment_is_run_printed_and_reused(invoke, content, write_config, tmp_path):
    # given
    config, runs = write_config(content), tmp_path / "runs"
    root = runs / "tiny-standard"

    # when
    result = invoke("run", config, "--runs", runs, "--workers", "2")

    # then every file of the report is there
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in (root / "report").iterdir()) == list(REPORT)
    assert all((root / "report" / name).stat().st_size > 0 for name in REPORT)
    assert (root / "report" / "reward_vs_size.png").read_bytes().startswith(b"\x89PNG")
    kept = yaml.safe_load((root / "report" / "experiment.yml").read_text())
    assert kept["sizes"] == [16, 4]
    assert kept["expert_hyperparams"]["n_steps"] == 256

    # then the table has a row for each column and size, with all that was measured
    table = pd.read_csv(root / "report" / "table.csv")
    expected = ["inn", "inn", "nn_bicubic", "nn_bicubic", "nn_prune_activations", "nn_prune_activations"]
    assert table["column"].tolist() == expected
    assert table["n_hidden"].tolist() == [16, 4] * 3
    assert (table["compression_pct"] == 0.0).tolist() == [True, False] * 3
    assert table["return_mean"].between(1, 500).all()
    assert table["return_std"].notna().all()
    assert math.isclose(table["score_mean"][2], 1.0)
    assert table["return_mean"][2] == table["return_mean"][4]

    # then it is printed, and every stage was told of
    for said in ("CartPole-v1: average return", "INN", "bicubic", "best", "table.md"):
        assert said in result.stdout
    for _, row in table.iterrows():
        assert f"{row['return_mean']:.1f} ± {row['return_std']:.1f}" in result.stdout or (
            row["column"] == "nn_prune_activations"
        )
    assert result.stderr.count("done") == 19
    assert "failed" not in result.stderr
    assert "tiny-standard: 19 stages on 2 workers; no such stage was made before" in result.stderr

    # when it is run again
    before = files(root)
    again = invoke("run", config, "--runs", runs, "--workers", "2")

    # then every stage is reused, which is said, and no byte has changed
    assert again.exit_code == 0
    assert again.stderr.strip() == "19 of 19 stages were done before"
    assert again.stdout == result.stdout
    assert files(root) == before

    # when a larger scale is only asked about
    arguments = ("--preset", "paper", "--stages", "seed-0/inn/*", "--runs", runs, "--dry-run")
    asked = invoke("run", config, *arguments)

    # then what is done serves it too, the time for the rest is told from it, and nothing is made
    assert asked.exit_code == 0, asked.stderr
    for name in ("expert", "seed-0/demonstrations", "seed-0/inn/student", "seed-0/inn/sweep"):
        assert re.search(rf"{name} +done in another folder", asked.stdout)
    assert "seed-1" not in asked.stdout
    assert asked.stderr == ""
    assert files(root) == before
    assert not (runs / "tiny-paper").exists()

    # when it is shown, then the same is printed
    shown = invoke("show", root)
    assert shown.exit_code == 0
    assert shown.stdout == result.stdout
    assert files(root) == before


def test_what_looks_like_markup_is_printed_as_it_is(invoke, tmp_path):
    # given a folder whose name would be a colour
    folder = tmp_path / "[red]runs[/red]"
    # when
    result = invoke("show", str(folder))
    # then
    assert result.exit_code == 1
    assert "[red]runs[/red]" in unstyle(result.output).replace("\n", "")
