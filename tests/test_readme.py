"""The commands and the Python of README.md, in the order in which they stand, in a fresh folder.

Budgets are shortened, and nothing else is changed. What installs is not run. What takes hours (``make``,
the stages of an experiment) is planned but not done; kept results stand in for its runs.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from sb3_contrib import TRPO

from sb3_integral import IntegralActorCriticPolicy

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALLS = ("pip install",)

ZOO = ("python", "-m")
BUDGETS = {
    "rl_zoo3.train": "-n 300 --eval-freq -1",
    "--optimize": "--n-trials 1 --n-startup-trials 1 --n-evaluations 1",
    "rl_zoo3.enjoy": "--no-render -n 20",
    "rl_zoo3.record_video": "-n 20",
    "sb3-integral run": "--dry-run --stages references",
    "train_imitation bc": "demonstrations.n_expert_demos=2 bc.train_kwargs.n_batches=2",
    "train_imitation dagger": "dagger.total_timesteps=600",
    "sb3-integral export": "--episodes 1",
    "sb3-integral rewards": "--episodes 2",
}
"""What is appended to a command in which a key stands; the last of two options counts."""

SMALLER = {
    r"learn\([\d_]+": "learn(256",
    r"eval_freq=5000": "eval_freq=128",
    r"sizes=\[64, 32, 16, 8\]": "sizes=[64, 8]",
    r"collect_episodes\(expert, venv, 100,": "collect_episodes(expert, venv, 40,",
    r"n_envs=16": "n_envs=2",
    r"tolerance=40": "tolerance=400",
}
"""Numbers of the README's Python and what the test has in their place."""


class Block(NamedTuple):
    """A fenced block."""

    language: str
    text: str


BLOCKS = [Block(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)]


def commands() -> list[str]:
    """Return the commands that shells are given, in their order."""
    found = []
    for block in BLOCKS:
        if block.language == "bash":
            found += block.text.replace("\\\n", " ").splitlines()
        elif block.language == "text" and "$ " in block.text:
            joined = block.text.replace("\\\n", " ")
            found += [line[2:] for line in joined.splitlines() if line.startswith("$ ")]
    stripped = [line.split("  #")[0].strip() for line in found if not line.startswith("#")]
    return [line for line in stripped if line]


def is_install(command: str) -> bool:
    return any(name in command for name in INSTALLS)


def python_program() -> str:
    return "\n".join(block.text for block in BLOCKS if block.language == "python")


def run(folder: Path, command: list[str]) -> str:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
        "SDL_VIDEODRIVER": "dummy",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=600
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def fresh_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give what a checkout has beside the package, and kept results as two finished runs."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("hyperparams", "zoo_configs", "results"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copyfile(ROOT / "Makefile", folder / "Makefile")
    shutil.copyfile(ROOT / "pyproject.toml", folder / "pyproject.toml")
    for name in ("acrobot", "ant"):
        shutil.copytree(ROOT / "results" / name, folder / "runs" / f"{name}-quick" / "report")
    return folder


@pytest.mark.xfail(run=False, reason="has not passed as a whole yet, for want of a quiet machine")
@pytest.mark.slow
def test_the_commands_work_in_the_order_in_which_they_stand(fresh_folder: Path) -> None:
    for command in commands():
        if is_install(command):
            continue
        words = shlex.split(command)
        if words[0] == "make":
            run(fresh_folder, ["make", "-n", *words[1:]])
            continue
        budget = [word for key, more in BUDGETS.items() if key in command for word in more.split()]
        words = [
            expanded
            for word in words
            for expanded in (
                sorted(str(path.relative_to(fresh_folder)) for path in fresh_folder.glob(word))
                if "*" in word
                else [word]
            )
        ]
        if words[:2] == list(ZOO):
            words[0] = sys.executable
        run(fresh_folder, [*words, *budget])
    # then the checkpoint that was gone on from was the integral one
    for number, policy in ((1, False), (2, True), (3, True)):
        model = TRPO.load(fresh_folder / "logs" / "trpo" / f"Acrobot-v1_{number}" / "Acrobot-v1.zip")
        assert isinstance(model.policy, IntegralActorCriticPolicy) is policy
    # and what the text says was written is there
    for name in ("actor.h", "actor.onnx", "int8.onnx", "model.zip", "policy.safetensors", "fig3.png"):
        assert (fresh_folder / name).is_file()


@pytest.mark.xfail(run=False, reason="has not passed as a whole yet, for want of a quiet machine")
@pytest.mark.slow
def test_the_python_works_in_the_order_in_which_it_stands(tmp_path: Path) -> None:
    program = python_program()
    for number, smaller in SMALLER.items():
        program, count = re.subn(number, smaller, program)
        assert count, f"{number} is not in the README"
    (tmp_path / "readme.py").write_text(program, encoding="utf-8")
    run(tmp_path, [sys.executable, "readme.py"])


def test_every_budget_belongs_to_a_command() -> None:
    assert len(commands()) > 15
    for key in BUDGETS:
        assert any(key in command for command in commands()), key


def test_links_and_pictures_are_there() -> None:
    links = re.findall(r"\]\(([^)#\s]+)\)", README)
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", ["README.md", "docs/training.md"])
def test_files_that_are_named_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`(?:python )?(\w+/[\w./]+\.(?:py|yml|md))`", text)
    assert named
    places = (ROOT, ROOT / "sb3_integral")
    assert [name for name in named if not any((place / name).exists() for place in places)] == []
