from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from sb3_integral.atomic import PARTIAL_PREFIX

STAGES = (
    "expert",
    "seed-0/demonstrations",
    "seed-0/inn/student",
    "seed-0/inn/sweep",
    "report",
)
RESULTS = ("table.csv", "table.md", "reward_vs_size.png", "experiment.yml")
ASCII_ALONE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": ""}
"""Variables under which Python takes the terminal, and files without a named encoding, for ASCII."""


def start(config: Path, runs: Path, **variables: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sb3_integral", "run", str(config), "--runs", str(runs)]
    return subprocess.Popen(
        [*command, "--workers", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, **variables},
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()


def kill_inside(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Kill the run and all its workers while they fill the given stage's folder."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline and process.poll() is None:
        if any(folder.parent.glob(f"{PARTIAL_PREFIX}*-{folder.name}")):
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return
        time.sleep(0.002)
    pytest.fail(f"the run was never seen inside {folder}: {process.communicate()[1].decode()}")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "trpo.yml").write_text(
        yaml.safe_dump({"CartPole-v1": {"n_timesteps": 4096, "policy": "MlpPolicy", "n_steps": 512}})
    )
    path = tmp_path / "größe.yml"
    path.write_text(
        yaml.safe_dump(
            {
                "name": "tiny",
                "env": "CartPole-v1",
                "seeds": [0],
                "sizes": [32, 8],
                "expert": {"hyperparams": "trpo.yml", "n_eval_episodes": 20},
                "demonstrations": {"episodes": 40},
                "students": {
                    "inn": {
                        "kind": "integral",
                        "label": "INN, λ",
                        "hidden_sizes": [32, 32],
                        "random_sizes": {"low": 4, "high": 32},
                    },
                    "nn": {
                        "kind": "plain",
                        "label": "NN",
                        "hidden_sizes": [32, 32],
                        "resize": ["bicubic"],
                    },
                },
                "cloning": {"epochs": 20, "batch_size": 64},
                "evaluation": {"episodes": 20, "n_envs": 4},
            },
            allow_unicode=True,
        ),
        encoding="utf-8",
    )
    return path


@pytest.mark.slow
def test_a_run_killed_in_every_stage_ends_with_the_undisturbed_table(
    config: Path, tmp_path: Path
) -> None:
    # given the results of a run that nobody disturbed, whose locale knows no letter of its labels
    finish(start(config, tmp_path / "undisturbed", **ASCII_ALONE))
    undisturbed = tmp_path / "undisturbed" / "tiny-standard"

    # when another is killed inside each stage in turn, started again each time, and then finished
    disturbed = tmp_path / "disturbed" / "tiny-standard"
    for stage in STAGES:
        kill_inside(start(config, tmp_path / "disturbed"), disturbed / stage)
        assert not (disturbed / stage).exists()
    finish(start(config, tmp_path / "disturbed"))

    # then it ends with the same results, byte for byte, and with nothing half-done
    for name in RESULTS:
        expected = (undisturbed / "report" / name).read_bytes()
        assert (disturbed / "report" / name).read_bytes() == expected, name
    assert not list(disturbed.rglob(f"{PARTIAL_PREFIX}*"))
