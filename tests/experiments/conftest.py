from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym
import pandas as pd
import pytest
import yaml

from sb3_integral.experiments.files import STUDENT
from sb3_integral.imitation import StudentArchitecture
from sb3_integral.policies.serialization import save_policy

HYPERPARAMS = {
    "CartPole-v1": {"policy": "MlpPolicy", "n_timesteps": 1024, "n_steps": 256, "n_envs": 1},
    "Acrobot-v1": {"policy": "MlpPolicy", "n_timesteps": 768, "n_steps": 256, "normalize": True},
}

STAGE_FUNCTIONS = '''
import json
import os
import signal
import time
from pathlib import Path


def write(folder, report, *, text, **needs):
    """Write the texts of what is needed, and one's own."""
    report(0.5)
    (folder / "text").write_text("".join((need / "text").read_text() for need in needs.values()) + text)
    report(1.0)


def write_named(folder, report, *, name):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(name)


def write_slowly(folder, report, *, text, **needs):
    time.sleep(2)
    (folder / "text").write_text(text)


def sleep(folder, report, *, pid, **needs):
    Path(pid).write_text(f"{os.getpid()}.")
    time.sleep(60)


def die(folder, report, *, times, counter, **needs):
    """Be killed so many times."""
    path = Path(counter)
    before = len(path.read_text()) if path.exists() else 0
    if before < times:
        path.write_text("x" * (before + 1))
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / "text").write_text("alive")


def fail(folder, report, *, message, seed=None, **needs):
    (folder / "half").write_text("half of it")
    raise ValueError(message)


def interrupt(folder, report, **needs):
    (folder / "half").write_text("half of it")
    raise KeyboardInterrupt


def copy(folder, report, *, path, **needs):
    """Copy a file, and fail if there is none."""
    (folder / "half").write_text("half of it")
    (folder / "text").write_text(Path(path).read_text())


def play(folder, report, *, env_id):
    """Play an episode, and say how long it was."""
    import gymnasium

    environment = gymnasium.make(env_id)
    environment.reset()
    steps, over = 0, False
    while not over:
        *_, terminated, truncated, _ = environment.step(0)
        steps, over = steps + 1, terminated or truncated
    (folder / "text").write_text(f"{steps} steps in {env_id}")


def describe_process(folder, report, **needs):
    import numpy
    import torch
    from threadpoolctl import threadpool_info

    threads = {"torch": torch.get_num_threads(), "omp": os.environ["OMP_NUM_THREADS"]}
    threads["pools"] = max(pool["num_threads"] for pool in threadpool_info())
    (folder / "process.json").write_text(json.dumps({"pid": os.getpid(), **threads}))
'''

SMALL_ENVIRONMENT = """
import gymnasium
import numpy


class Small(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,), numpy.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return numpy.zeros(2, numpy.float32), {}

    def step(self, action):
        return numpy.zeros(2, numpy.float32), 1.0, False, False, {}


gymnasium.register("Small-v0", Small)
"""


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).parents[2]


@pytest.fixture(scope="session")
def hyperparams() -> dict[str, dict[str, Any]]:
    """Entries of rl-zoo3's format that train for a second."""
    return HYPERPARAMS


@pytest.fixture
def content() -> dict[str, Any]:
    """A small but whole configuration, to be changed and written."""
    return {
        "name": "small",
        "env": "CartPole-v1",
        "seeds": [0, 1],
        "sizes": [16, 4],
        "expert": {"algo": "trpo", "hyperparams": "hyperparams/trpo.yml"},
        "demonstrations": {"episodes": 20, "success": "any"},
        "students": {
            "inn": {
                "label": "INN",
                "kind": "integral",
                "hidden_sizes": [16, 16],
                "random_sizes": {"distribution": "uniform", "low": 4, "high": 16},
            },
            "nn": {
                "label": "NN",
                "kind": "plain",
                "hidden_sizes": [16, 16],
                "resize": ["bicubic", "bicubic-rescaled"],
            },
        },
        "cloning": {"epochs": 1, "batch_size": 64, "learning_rate": 0.001},
        "evaluation": {"episodes": 4, "n_envs": 2},
    }


@pytest.fixture
def write_config(tmp_path: Path) -> Callable[[object], Path]:
    """Write a configuration, and the expert's hyperparameters to where it looks for them."""

    def write(content: object) -> Path:
        folder = tmp_path / "hyperparams"
        folder.mkdir(exist_ok=True)
        (folder / "trpo.yml").write_text(yaml.safe_dump(HYPERPARAMS))
        path = tmp_path / "small.yml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


@pytest.fixture(scope="session")
def ignore_progress() -> Callable[[float], None]:
    """Where a stage's progress goes when nobody watches."""
    return lambda fraction: None


@pytest.fixture(scope="session")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """Small stages' functions, in a module that every process can import."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "small_stage_functions.py").write_text(STAGE_FUNCTIONS)
    (folder / "small_environment.py").write_text(SMALL_ENVIRONMENT)
    sys.path.insert(0, str(folder))  # which spawned processes are given
    importlib.invalidate_caches()
    yield importlib.import_module("small_stage_functions")
    sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def table() -> pd.DataFrame:
    """A small table in the form of ``table.csv``: two students, two baselines, the paper at one size."""
    means = {
        ("inn", "INN", "student"): (490.0, 480.0, 300.0),
        ("scratch", "NN, trained at that size", "student"): (495.0, 490.0, 400.0),
        ("nn_bicubic", "NN, bicubic", "baseline"): (480.0, 200.0, 10.0),
        ("nn_bicubic_rescaled", "NN, bicubic rescaled", "baseline"): (480.0, 300.0, -5000.0),
    }
    paper = {"paper_inn_mean": 450.0, "paper_inn_std": 5.0, "paper_nn_mean": 440.0, "paper_nn_std": 6.0}
    return pd.DataFrame(
        {
            "column": column,
            "label": label,
            "kind": kind,
            "n_hidden": size,
            "compression_pct": removed,
            "n_runs": 3,
            "return_mean": mean,
            "return_std": 12.5,
            "score_mean": (mean - 20) / 460,
            "score_iqm": (mean - 20) / 460,
            "score_low": (mean - 30) / 460,
            "score_high": (mean - 10) / 460,
            "welch_p": math.nan if column == "inn" else 0.01 if mean < 250 else 0.04,
            "welch_p_holm": math.nan if column == "inn" else 0.04 if mean < 250 else 0.2,
            **(paper if size == 16 else dict.fromkeys(paper)),
        }
        for (column, label, kind), values in means.items()
        for mean, (size, removed) in zip(values, ((16, 0.0), (8, 62.5), (4, 88.0)), strict=True)
    ).astype(dict.fromkeys(paper, float))


@pytest.fixture(scope="session")
def over_sizes(table: pd.DataFrame) -> pd.DataFrame:
    """The table's networks in the form of ``over_sizes.csv``."""
    rows = table.groupby(["column", "label", "kind"], sort=False)["score_mean"].mean().reset_index()
    lead = (rows["score_mean"][0] - rows["score_mean"]).mask(rows["column"] == "inn")
    return rows.assign(n_runs=3, lead=lead, lead_low=lead - 0.1, lead_high=lead + 0.1)


@pytest.fixture(scope="session")
def save_students(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Path]]:
    """Write untrained students as stages do, and return their folders."""

    def save(env_id: str, *architectures: StudentArchitecture) -> list[Path]:
        environment = gym.make(env_id)
        folders = []
        for architecture in architectures:
            folder = tmp_path_factory.mktemp("student")
            policy = architecture.build(environment.observation_space, environment.action_space, seed=1)
            save_policy(policy, folder / STUDENT)
            folders.append(folder)
        return folders

    return save
