"""The commands and the Python of README.md, in the order in which they stand, in a fresh folder.

Budgets are shortened, and nothing else is changed. What installs is not run: each section's commands run
where no more is installed than the README says they need. What takes hours (``make``,
the stages of an experiment) is planned but not done; kept results stand in for its runs.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest
from sb3_contrib import TRPO

from sb3_integral import IntegralActorCriticPolicy

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALLS = ("pip install",)

EVERYTHING = ("imitation,experiments,envs",)
NEEDED = {"Ship it": ("deploy", "sb3-contrib")}
"""The extras, and what is installed beside them, for the commands below a heading."""

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
    """A fenced block, and the heading above it."""

    section: str
    language: str
    text: str


class Command(NamedTuple):
    """What a shell is given, and the heading above it."""

    section: str
    line: str


BLOCKS = [
    Block(section.partition("\n")[0], *found)
    for section in re.split(r"^## ", README, flags=re.M)
    for found in re.findall(r"^```(\w*)\n(.*?)^```$", section, re.M | re.S)
]


def commands() -> list[Command]:
    """Return the commands in their order."""
    found = []
    for section, language, text in BLOCKS:
        lines = text.replace("\\\n", " ").splitlines()
        if language == "text":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        if language in ("bash", "text"):
            stripped = [line.split("  #")[0].strip() for line in lines if not line.startswith("#")]
            found += [Command(section, line) for line in stripped if line]
    return found


def is_install(command: Command) -> bool:
    return any(name in command.line for name in INSTALLS)


def python_program(sections: tuple[str, ...]) -> str:
    """Return the Python below some headings, with smaller numbers."""
    texts = [
        block.text
        for block in BLOCKS
        if block.language == "python" and block.section.startswith(sections)
    ]
    assert len(texts) == len(sections)
    program = "\n".join(texts)
    for number, smaller in SMALLER.items():
        program = re.sub(number, smaller, program)
    return program


def run(folder: Path, command: list[str], python: Path) -> str:
    environment = {
        **os.environ,
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
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
def python_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make an environment with some extras of this library, and return its Python."""
    uv = str(Path(sys.executable).parent / "uv")

    @cache
    def make(extras: str, *packages: str) -> Path:
        folder = tmp_path_factory.mktemp("environment")
        python = folder / "bin" / "python"
        here = Path(sys.executable)
        run(folder, [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, "."], here)
        # The same torch as here, which is not CUDA's where a machine has no use for it.
        torch = f"torch=={version('torch').partition('+')[0]}"
        install = [uv, "pip", "install", "--quiet", "--python", str(python)]
        run(folder, [*install, torch, "--editable", f"{ROOT}[{extras}]", *packages], here)
        if "imitation" in extras:
            run(folder, [*install, "--no-deps", "imitation==1.0.1", "seals==0.2.1"], here)
        return python

    return make


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


@pytest.mark.slow
def test_the_commands_work_in_the_order_in_which_they_stand(
    fresh_folder: Path, python_with: Callable[..., Path]
) -> None:
    for command in commands():
        if is_install(command):
            continue
        words = shlex.split(command.line)
        python = python_with(*NEEDED.get(command.section, EVERYTHING))
        if words[0] == "make":
            run(fresh_folder, ["make", "-n", *words[1:]], python)
            continue
        budget = [word for key, more in BUDGETS.items() if key in command.line for word in more.split()]
        words = [
            expanded
            for word in words
            for expanded in (
                sorted(str(path.relative_to(fresh_folder)) for path in fresh_folder.glob(word))
                if "*" in word
                else [word]
            )
        ]
        program = python if words[0] == "python" else python.with_name(words[0])
        run(fresh_folder, [str(program), *words[1:], *budget], python)
    # then the checkpoint that was gone on from was the integral one
    for number, policy in ((1, False), (2, True), (3, True)):
        model = TRPO.load(fresh_folder / "logs" / "trpo" / f"Acrobot-v1_{number}" / "Acrobot-v1.zip")
        assert isinstance(model.policy, IntegralActorCriticPolicy) is policy
    # and what the text says was written is there
    for name in ("actor.h", "actor.onnx", "int8.onnx", "model.zip", "policy.safetensors", "fig3.png"):
        assert (fresh_folder / name).is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extras", "sections"),
    [
        ("", ("Ten lines", "Good at every size")),
        ("imitation", ("Clone an expert",)),
        ("deploy", ("Ten lines", "Ship it")),
        ("deploy,imitation", ("Ten lines", "Good at every size", "Clone an expert", "Ship it")),
    ],
)
def test_the_python_works_in_the_order_in_which_it_stands(
    python_with: Callable[..., Path], tmp_path: Path, extras: str, sections: tuple[str, ...]
) -> None:
    (tmp_path / "readme.py").write_text(python_program(sections), encoding="utf-8")
    python = python_with(extras)
    run(tmp_path, [str(python), "readme.py"], python)


def test_every_smaller_number_stands_for_one_of_the_readme() -> None:
    program = "".join(block.text for block in BLOCKS if block.language == "python")
    for number in SMALLER:
        assert re.search(number, program), number


def test_every_budget_belongs_to_a_command() -> None:
    assert len(commands()) > 15
    for key in BUDGETS:
        assert any(key in command.line for command in commands()), key
    assert NEEDED.keys() <= {command.section for command in commands()}


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
