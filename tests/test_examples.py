"""Every example runs as it is, in a fresh folder, and says what it promises."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
NOTEBOOK = EXAMPLES / "shrink_agent.ipynb"
MOST_LINES = 60

pytestmark = pytest.mark.slow


def run(folder: Path, example: str) -> str:
    """Run an example and return what it prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, EXAMPLES / example],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def returns_by_size(text: str) -> dict[int, float]:
    return {int(size): float(value) for size, value in re.findall(r"N = (\d+): (-?[\d.]+)", text)}


@pytest.mark.parametrize("path", [*SCRIPTS, EXAMPLES / "drive_in_c.c"], ids=lambda path: path.name)
def test_an_example_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < MOST_LINES


def test_an_agent_is_shrunk(tmp_path: Path) -> None:
    text = run(tmp_path, "shrink_agent.py")
    removed = float(re.findall(r"([\d.]+) % of the actor's parameters removed", text)[0])
    assert removed > 50.0
    assert (tmp_path / "actor.h").is_file()
    assert (tmp_path / "actor.onnx").is_file()


def test_ppo_is_good_at_every_size(tmp_path: Path) -> None:
    returns = returns_by_size(run(tmp_path, "any_size_ppo.py"))
    assert list(returns) == [64, 32, 16, 8]
    assert min(returns.values()) > 400.0
    assert (tmp_path / "any_size.zip").is_file()


def test_imitations_trainer_trains_a_student_of_any_size(tmp_path: Path) -> None:
    returns = returns_by_size(run(tmp_path, "clone_with_imitation.py"))
    assert list(returns) == [100, 50, 20, 10]
    assert min(returns.values()) > 400.0


def test_an_environment_of_dictionaries_is_learned(tmp_path: Path) -> None:
    returns = returns_by_size(run(tmp_path, "dict_observations.py"))
    # whoever stands still has about -50, at every size
    assert min(returns.values()) > -15.0
    assert (tmp_path / "reach_16.pt").is_file()


def test_onnxruntime_drives_alone(tmp_path: Path) -> None:
    text = run(tmp_path, "run_onnx.py")
    returns = [float(value) for value in re.findall(r"\d+\.\d", text)]
    assert len(returns) == 5
    assert min(returns) > 300.0


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_a_c_program_drives_with_the_header(tmp_path: Path) -> None:
    assert "500 steps of 500" in run(tmp_path, "drive_in_c.py")


def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    assert (tmp_path / "actor.h").is_file()
    printed = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    )
    assert "% of the actor's parameters removed" in printed
