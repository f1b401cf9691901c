"""Each compressed agent's student in each format, run by what the format is for: does it act the same?

    python scripts/compress_agents.py compress
    python scripts/verify_agents.py formats
    python scripts/verify_agents.py weights

The first command lets the student of each agent act on observations that agent and student met: plain
SB3 in a process without this library, onnxruntime, a C header under gcc's warnings and sanitizers, and
the same header on an emulated Cortex-M4 (see benchmark_cortex_m4.py). The second measures what rounded
weights lose, by paired episodes. They write results/compress/formats.csv and weights.csv.
"""

from __future__ import annotations

import importlib
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import benchmark_cortex_m4 as board
import numpy as np
import onnxruntime
import pandas as pd
import typer
from compress_agents import HERE, MASKABLE, TASKS, Agent, Folder, Only, chosen
from gymnasium import spaces
from imitation.data.types import map_maybe_dict
from stable_baselines3 import A2C
from stable_baselines3.common.policies import BasePolicy

from sb3_integral.actor import NumpyActor, actor_spec
from sb3_integral.actor.flattening import flattened
from sb3_integral.actor.quantized import Weights
from sb3_integral.atomic import atomic_file
from sb3_integral.deploy import export_c, export_sb3
from sb3_integral.deploy.compress.teacher import read_teacher
from sb3_integral.deploy.compress.teaching import joined
from sb3_integral.evaluation.actors import MlpActor
from sb3_integral.evaluation.episodes import MAX_EPISODE_STEPS, episode_seeds
from sb3_integral.imitation import load_demonstrations
from sb3_integral.policies.serialization import load_policy

OBSERVATIONS = 500
ON_THE_BOARD = 32
"""Observations that the emulated board acts on."""

WEIGHTS: tuple[Weights, ...] = ("float32", "int8", "q15")
C_FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")

PLAIN_SB3 = """
import sys
sys.modules["sb3_integral"] = None
import numpy as np
from stable_baselines3 import A2C
model = A2C.load(sys.argv[1], device="cpu")
seen = dict(np.load(sys.argv[2]))
np.save(sys.argv[3], model.predict(seen.get("", seen), deterministic=True)[0])
"""
MAIN = """
#include <stdio.h>
#include "policy.h"
void step(const float *observation, float *action);
int check(void);
int main(void)
{
    float observation[POLICY_OBSERVATIONS], action[POLICY_ACTIONS];
    if (check() != 0)
        return 1;
    while (fread(observation, sizeof observation, 1, stdin) == 1) {
        step(observation, action);
        if (fwrite(action, sizeof action, 1, stdout) != 1)
            return 2;
    }
    return 0;
}
"""

Array = np.ndarray[Any, Any]
Row = dict[str, object]

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)


class Student:
    """The student of a compressed agent at the chosen size, and observations that were met.

    Args:
        agent: The agent.
        folder: Where agents are.
    """

    def __init__(self, agent: Agent, folder: Path) -> None:
        self.agent = agent
        self.file = folder / "compressed" / f"{agent.algo}_{agent.env}" / "actor.onnx"
        self.work = self.file.with_name(f"{self.file.name}-compression")
        self.found = json.loads((self.work / "result.json").read_text(encoding="utf-8"))
        resizable: Any = load_policy(self.work / "student.safetensors")
        self.policy: BasePolicy = resizable.discretize(tuple(self.found["sizes"]))

    def observations(self, count: int) -> Any:
        """Return some of the observations that were labelled, as the environment gives them."""
        met = joined([load_demonstrations(path) for path in sorted(self.work.glob("labels-*"))])
        places = np.random.default_rng(0).permutation(len(met))[:count]
        space = self.policy.observation_space
        parts = space if isinstance(space, spaces.Dict) else {"": space}
        chosen_ones = map_maybe_dict(lambda part: part[places].numpy(), met.observations)
        arrays = chosen_ones if isinstance(chosen_ones, dict) else {"": chosen_ones}
        given = {
            name: array.reshape(-1, *parts[name].shape).astype(parts[name].dtype)
            for name, array in arrays.items()
        }
        return given.get("", given)

    def row(self, **others: object) -> Row:
        """Return a row of a table."""
        sizes = "x".join(map(str, self.found["sizes"]))
        return {"algo": self.agent.algo, "env": self.agent.env, "sizes": sizes, **others}


def students(folder: Path, only: list[str] | None) -> list[Student]:
    """Return the students of all agents that were compressed."""
    sys.path.insert(0, str(HERE))
    importlib.import_module(TASKS)
    found = []
    for agent in chosen(only):
        record = folder / "compressed" / f"{agent.algo}_{agent.env}" / "record.json"
        if record.exists() and "sizes" in json.loads(record.read_text(encoding="utf-8")):
            found.append(Student(agent, folder))
    return found


def in_plain_sb3(policy: BasePolicy, seen: Any, folder: Path) -> Array:
    """Return the actions of a zip, loaded where this library cannot be imported."""
    export_sb3(policy, folder / "model.zip", algorithm=A2C)
    np.savez(folder / "seen.npz", **(seen if isinstance(seen, dict) else {"": seen}))
    files = [str(folder / name) for name in ("model.zip", "seen.npz", "actions.npy")]
    subprocess.run([sys.executable, "-c", PLAIN_SB3, *files], check=True)
    actions: Array = np.load(folder / "actions.npy")
    return actions


def in_onnxruntime(file: Path, seen: Any) -> Array:
    """Return the actions of an ONNX file."""
    session = onnxruntime.InferenceSession(file)
    given = seen if isinstance(seen, dict) else {session.get_inputs()[0].name: seen}
    types = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64}
    arrays = {own.name: given[own.name].astype(types[own.type]) for own in session.get_inputs()}
    actions: Array = session.run(["action"], arrays)[0]
    return actions


def in_c(policy: BasePolicy, seen: Any, weights: Weights, folder: Path) -> Array:
    """Return the actions of a C header, compiled with warnings as errors and with sanitizers."""
    export_c(policy, folder / "policy.h", weights=weights)
    files = {"step.c": board.step_file(policy.action_space), "main.c": MAIN}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="ascii")
    command = ["gcc", *C_FLAGS, *SANITIZERS, *files, "-o", "main", "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    given = flattened(policy.observation_space, seen)
    done = subprocess.run([folder / "main"], input=given.tobytes(), check=True, capture_output=True)
    return np.frombuffer(done.stdout, np.float32).reshape(len(given), -1)


def off_by(actions: Array, wanted: Array) -> float:
    """Return the largest difference of an action's number, or of a choice's index."""
    flat = (np.asarray(own, np.float64).reshape(len(wanted), -1) for own in (actions, wanted))
    first, second = flat
    return float(np.abs(first - second).max())


def format_rows(student: Student) -> list[Row]:
    """Return a row for each format, and for each kind of weights in C and on the board."""
    policy, seen = student.policy, student.observations(OBSERVATIONS)
    on_the_board = student.observations(ON_THE_BOARD)
    wanted: Array = policy.predict(seen, deterministic=True)[0]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def add(format: str, weights: str, off: float, **counts: int) -> None:
            rows.append(student.row(format=format, weights=weights, off_by=off, **counts))

        add("sb3", "float32", off_by(in_plain_sb3(policy, seen, folder), wanted))
        add("onnx", "float32", off_by(in_onnxruntime(student.file, seen), wanted))
        for weights in WEIGHTS:
            right = wanted if weights == "float32" else NumpyActor(actor_spec(policy), weights)(seen)
            add("c", weights, off_by(in_c(policy, seen, weights, folder), right))
            counts = board.measure_policy(policy, on_the_board, weights, folder)._asdict()
            off, failed = float(counts.pop("off")), counts.pop("selftest")
            if failed:
                raise RuntimeError(f"the self-test of {student.agent.env} fails at {failed}")
            add("cortex-m4", weights, off, **counts)
    return rows


@app.command()
def formats(
    folder: Folder = Path("runs/agents"),
    output: Annotated[Path, typer.Option(help="The table.")] = Path("results/compress/formats.csv"),
    only: Only = None,
) -> None:
    """Let each student act in each format, and say how far its actions are off."""
    absent = board.missing()
    if absent:
        sys.exit(f"not installed: {', '.join(absent)}")
    rows = [row for student in students(folder, only) for row in format_rows(student)]
    _keep(rows, output)


@app.command()
def weights(
    folder: Folder = Path("runs/agents"),
    output: Annotated[Path, typer.Option(help="The table.")] = Path("results/compress/weights.csv"),
    episodes: Annotated[int, typer.Option(help="Of each kind of weights.")] = 128,
    only: Only = None,
) -> None:
    """Measure what int8 and q15 weights lose of the return that the student has with float32."""
    rows: list[Row] = []
    for student in students(folder, only):
        rows += weight_rows(student, folder, episodes)
    _keep(rows, output)


def weight_rows(student: Student, folder: Path, episodes: int) -> list[Row]:
    """Return a row for each kind of rounded weights."""
    agent, policy = student.agent, student.policy
    source = agent.file(folder) if agent.algo == MASKABLE else agent.folder(folder)
    teacher, seeds = read_teacher(source, agent.env), episode_seeds(1, episodes)
    spec = actor_spec(policy)
    actors = {name: MlpActor(NumpyActor(spec, name), policy.observation_space) for name in WEIGHTS}
    returns = {
        name: np.array(teacher.student_returns(actor, seeds, MAX_EPISODE_STEPS))
        for name, actor in actors.items()
    }
    span = student.found["agent"]["return"] - student.found["random_return"]
    rows = []
    for name in WEIGHTS[1:]:
        lost, half = mean_and_half((returns["float32"] - returns[name]) / span)
        shown = {"lost": lost, "lost_low": lost - half, "lost_high": lost + half}
        rounded = {key: round(value, 5) for key, value in shown.items()}
        rows.append(student.row(weights=name, episodes=episodes, **rounded))
    return rows


def mean_and_half(values: Sequence[float] | Array) -> tuple[float, float]:
    """Return the mean of pairs' differences, and half of its interval of 95 %."""
    array = np.asarray(values)
    return float(array.mean()), 1.96 * float(array.std(ddof=1)) / math.sqrt(len(array))


def _keep(rows: list[Row], output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(output) as partial:
        pd.DataFrame(rows).to_csv(partial, index=False)
    print(pd.DataFrame(rows).to_string())


if __name__ == "__main__":
    app()
