"""The programs and commands of README.md and the site, in their order on a page, in a fresh folder.

Training is shortened, and nothing else is changed. What installs is not run. What takes hours (``make``,
the stages of an experiment) is planned but not done. Where a page names an extra, its commands find only
what that extra brings.
"""

from __future__ import annotations

import csv
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from sb3_contrib import TRPO
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from sb3_integral import IntegralActorCriticPolicy

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MOST_STEPS = 256
"""What ``learn`` is given at most."""

BUDGETS = {
    "rl_zoo3.train": "-n 300 --eval-freq -1",
    "--optimize": "--n-trials 1 --n-startup-trials 1 --n-evaluations 1",
    "rl_zoo3.enjoy": "--no-render -n 20",
    "rl_zoo3.record_video": "-n 20",
    "sb3-integral run": "--dry-run --stages references",
    "train_imitation bc": "demonstrations.n_expert_demos=2 bc.train_kwargs.n_batches=2",
    "sb3-integral export": "--episodes 1",
    "sb3-integral rewards": "--episodes 2",
}
"""What is appended to a command in which a key stands; the last of two options counts."""


EXTRAS = {"docs/deploy.md": ("deploy",)}
"""The extras that a page names for its commands; elsewhere they find all that is installed."""

HIDING = """
from importlib.machinery import PathFinder
stock = PathFinder.find_spec
def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in {absent!r} else stock(name, path, target)
PathFinder.find_spec = staticmethod(find_spec)
"""
"""A start-up file of Python that hides modules."""


def absent_modules(extras: Iterable[str]) -> set[str]:
    """Return the modules that are installed here, and not brought by this library with some extras."""
    brought: set[tuple[str, frozenset[str]]] = set()
    pending = [("sb3-integral", frozenset(extras))]
    while pending:
        name, own = pending.pop()
        brought.add((name, own))
        with suppress(metadata.PackageNotFoundError):
            for needed in map(Requirement, metadata.requires(name) or ()):
                marker = needed.marker
                asked = marker is None or any(marker.evaluate({"extra": each}) for each in own or {""})
                found = (canonicalize_name(needed.name), frozenset(needed.extras))
                if asked and found not in brought:
                    pending.append(found)
    names = {name for name, _ in brought}
    owners = metadata.packages_distributions()
    return {module for module, own in owners.items() if names.isdisjoint(map(canonicalize_name, own))}


def run_commands(example: Example) -> None:
    """Run the commands of a block."""
    hiding, page = Path("hiding"), Path(example.path).relative_to(ROOT).as_posix()
    hiding.mkdir(exist_ok=True)
    absent = sorted(absent_modules(EXTRAS[page])) if page in EXTRAS else []
    (hiding / "sitecustomize.py").write_text(HIDING.format(absent=absent), encoding="utf-8")
    lines = example.parsed.replace("\\\n", " ").splitlines()
    for line in (line.split("  #")[0].strip() for line in lines):
        if not line or line.startswith("#") or "pip install" in line:
            continue
        budget = [word for key, more in BUDGETS.items() if key in line for word in more.split()]
        words = [*shlex.split(line), *budget]
        if words[0] == "make":
            words = ["make", "-n", *words[1:]]
        elif words[0] == "python":
            words[0] = sys.executable
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(hiding.absolute()),
            "PYTHONWARNINGS": "ignore",
            "SDL_VIDEODRIVER": "dummy",
            "OMP_NUM_THREADS": "1",
        }
        done = subprocess.run(
            words, env=environment, capture_output=True, encoding="utf-8", timeout=600, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def check_yaml(example: Example) -> None:
    """Read a configuration."""
    assert yaml.safe_load(example.parsed)


SYBIL = Sybil(
    parsers=[
        PythonCodeBlockParser(),
        CodeBlockParser(language="bash", evaluator=run_commands),
        CodeBlockParser(language="yaml", evaluator=check_yaml),
    ]
)
README = ROOT / "README.md"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]
DOCUMENTS = {
    path.relative_to(ROOT).with_suffix("").as_posix(): document
    for path in PAGES
    if list(document := SYBIL.parse(path))
}
MOST_WORDS = 900


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in a folder that has what a checkout has beside the package, where training is short."""
    for name in ("hyperparams", "zoo_configs", "results"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("Makefile", "pyproject.toml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for kind in (OnPolicyAlgorithm, OffPolicyAlgorithm):
        monkeypatch.setattr(kind, "learn", shortened(kind.learn))
    return tmp_path


def shortened(learn: Any) -> Any:
    def train(self: Any, total_timesteps: int, *args: Any, **kwargs: Any) -> Any:
        return learn(self, min(total_timesteps, MOST_STEPS), *args, **kwargs)

    return train


def test_pages_have_programs() -> None:
    assert len(DOCUMENTS) > 8


@pytest.mark.slow
@pytest.mark.parametrize("page", DOCUMENTS)
def test_a_page_does_what_it_says(page: str, checkout: Path) -> None:
    for example in DOCUMENTS[page].examples():
        example.evaluate()
    if page == "docs/rl-zoo3":  # then what was gone on from is the integral policy, not the plain one
        for number, is_integral in ((1, False), (2, True), (3, True)):
            model = TRPO.load(f"logs/trpo/Acrobot-v1_{number}/Acrobot-v1.zip", device="cpu")
            assert isinstance(model.policy, IntegralActorCriticPolicy) is is_integral


def test_a_page_that_names_an_extra_gets_no_more() -> None:
    assert [
        page for page in EXTRAS if f"sb3-integral[{','.join(EXTRAS[page])}]" not in text_of(page)
    ] == []
    absent = absent_modules(["deploy"])
    assert {"imitation", "sb3_contrib", "rl_zoo3", "pandas", "datasets", "pytest"} <= absent
    assert absent.isdisjoint({"sb3_integral", "torch", "numpy", "onnxruntime", "typer", "safetensors"})


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def test_every_budget_belongs_to_a_command() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)
    assert [key for key in BUDGETS if key not in text] == []


# The README


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").split()) <= MOST_WORDS


def test_links_of_the_readme_are_there() -> None:
    links = re.findall(r"\]\(([^)#\s]+)", README.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_the_readmes_table_is_that_of_the_results() -> None:
    text = README.read_text(encoding="utf-8")
    for environment, name in [
        ("halfcheetah", "HalfCheetah-v4"),
        ("ant", "Ant-v4"),
        ("lunarlander", "LunarLander-v3"),
        ("acrobot", "Acrobot-v1"),
    ]:
        path = ROOT / "results" / environment / "table.csv"
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["label"] == "INN"]
        scores = {row["n_hidden"]: float(row["score_mean"]) for row in rows}
        cells = " | ".join(f"{scores[size]:.2f}" for size in ("100", "50", "20", "10", "5"))
        assert f"| {name} | **integral** | {cells} |" in text


def test_files_that_pages_name_are_there() -> None:
    for page in PAGES:
        named = re.findall(
            r"`(?:python )?(\w+/[\w./]+\.(?:py|yml|md))`", page.read_text(encoding="utf-8")
        )
        places = (ROOT, ROOT / "sb3_integral", ROOT / "sb3_integral" / "experiments")
        missing = [name for name in named if not any((place / name).exists() for place in places)]
        assert missing == [], page
