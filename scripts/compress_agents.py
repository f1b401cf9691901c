"""Agents of eight algorithms, each compressed by one command: the table of agents.

    python scripts/compress_agents.py train
    python scripts/compress_agents.py compress

The first trains what is missing with rl-zoo3's settings, and Stable-Baselines3's defaults for the tasks
in agent_tasks.py. The second runs `sb3-integral compress AGENT --env ENV --keep 0.98` for each, and
writes results/compress/agents.csv. Both go on where they were interrupted.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, NamedTuple

import pandas as pd
import typer

HERE = Path(__file__).parent
TASKS = "agent_tasks"
MASKABLE = "maskable_ppo"

COLUMNS = (
    "algo",
    "env",
    "agent_parameters",
    "agent_us",
    "sizes",
    "parameters",
    "us",
    "bytes",
    "kept",
    "kept_low",
    "kept_high",
    "verdict",
    "minutes",
    "cpu_minutes",
)

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)


class Agent(NamedTuple):
    """An agent.

    Attributes:
        algo: As rl-zoo3 names it.
        env: Its environment.
        settings: Hyperparameters, where rl-zoo3 has none for the environment.
    """

    algo: str
    env: str
    settings: Mapping[str, object] = MappingProxyType({})

    def folder(self, root: Path) -> Path:
        """Return where rl-zoo3 writes the agent."""
        return root / self.algo / f"{self.env}_1"

    def file(self, root: Path) -> Path:
        """Return the agent's file."""
        return self.folder(root) / f"{self.env}.zip"


OWN_STEPS = 100_000
"""For how many steps agents learn the tasks of agent_tasks.py, which are easy."""

OWN: dict[str, object] = {"n_envs": 8, "n_timesteps": OWN_STEPS, "policy": "MlpPolicy", "n_steps": 256}

TRPO: dict[str, object] = {
    "normalize": True,
    "n_envs": 2,
    "n_timesteps": 158 * 2048,
    "policy": "MlpPolicy",
    "batch_size": 128,
    "n_steps": 1024,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "sub_sampling_factor": 1,
    "cg_max_steps": 25,
    "cg_damping": 0.1,
    "n_critic_updates": 20,
    "learning_rate": 1e-3,
}
"""rl-zoo3's for MuJoCo's tasks and BipedalWalker, but for the steps, of which it takes a million."""

AGENTS = (
    Agent("ppo", "CartPole-v1"),
    Agent("a2c", "Acrobot-v1"),
    Agent("dqn", "LunarLander-v3"),
    Agent("ppo", "LunarLanderContinuous-v3"),
    Agent("sac", "Pendulum-v1"),
    Agent("td3", "Pendulum-v1"),
    Agent("tqc", "Pendulum-v1"),
    # rl-zoo3 has TRPO's settings for the environment's version before; the tasks are the same but for
    # the observation of contacts and the reward, which the agent learns anew.
    Agent("trpo", "Hopper-v5", TRPO),
    Agent("trpo", "BipedalWalker-v3", TRPO),
    Agent("trpo", "HalfCheetah-v4", {**TRPO, "target_kl": 0.04}),
    Agent(MASKABLE, "Tanks-v0"),
    Agent("ppo", "Heaters-v0", OWN),
    Agent("ppo", "Pointer-v0", {**OWN, "policy": "MultiInputPolicy"}),
)

Folder = Annotated[Path, typer.Option(help="Where the agents are.")]
Only = Annotated[list[str] | None, typer.Option(help="An environment. Can be repeated.")]


def chosen(only: list[str] | None) -> list[Agent]:
    """Return the agents of the given environments, or all."""
    return [agent for agent in AGENTS if not only or agent.env in only]


@app.command()
def train(folder: Folder = Path("runs/agents"), only: Only = None) -> None:
    """Train the agents that are not there yet."""
    for agent in chosen(only):
        if agent.file(folder).exists():
            continue
        print(f"{agent.algo} learns {agent.env}", flush=True)
        began = time.monotonic()
        if agent.algo == MASKABLE:
            _train_maskable(agent, folder)
        else:
            _train_with_zoo(agent, folder)
        print(f"  {(time.monotonic() - began) / 60:.1f} minutes", flush=True)


def _environment() -> dict[str, str]:
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _train_with_zoo(agent: Agent, folder: Path) -> None:
    command = [sys.executable, "-m", "rl_zoo3.train", "--algo", agent.algo, "--env", agent.env]
    command += ["--log-folder", str(folder), "--seed", "0", "--eval-freq", "-1", "--device", "cpu"]
    command += ["--verbose", "0", "--gym-packages", TASKS]
    if agent.settings:
        settings = folder / "settings" / f"{agent.algo}_{agent.env}.yml"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(json.dumps({agent.env: dict(agent.settings)}), encoding="utf-8")
        command += ["--conf-file", str(settings)]
    subprocess.run(command, check=True, env=_environment())


def _train_maskable(agent: Agent, folder: Path) -> None:
    """Train with sb3-contrib itself: rl-zoo3 has no MaskablePPO."""
    import agent_tasks  # noqa: F401
    from sb3_contrib import MaskablePPO
    from stable_baselines3.common.env_util import make_vec_env

    model = MaskablePPO("MlpPolicy", make_vec_env(agent.env, 8, seed=0), n_steps=256, seed=0)
    model.learn(OWN_STEPS)
    agent.folder(folder).mkdir(parents=True, exist_ok=True)
    model.save(agent.file(folder))


@app.command()
def compress(
    folder: Folder = Path("runs/agents"),
    output: Annotated[Path, typer.Option(help="The table.")] = Path("results/compress/agents.csv"),
    only: Only = None,
) -> None:
    """Compress each agent, and write the table; lines of agents that were not asked for stay."""
    from sb3_integral.atomic import atomic_file

    rows = read_rows(output)
    for agent in chosen(only):
        work = folder / "compressed" / f"{agent.algo}_{agent.env}"
        record = work / "record.json"
        if not record.exists():
            work.mkdir(parents=True, exist_ok=True)
            _compress(agent, folder, work, record)
        rows[agent.algo, agent.env] = json.loads(record.read_text(encoding="utf-8"))
    ordered = [rows[key] for agent in AGENTS if (key := (agent.algo, agent.env)) in rows]
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(output) as partial:
        pd.DataFrame(ordered, columns=list(COLUMNS)).to_csv(partial, index=False)
    print(pd.DataFrame(ordered).to_string())


def read_rows(table: Path) -> dict[tuple[str, str], dict[str, object]]:
    """Return the lines of a table of agents by algorithm and environment; none if it is not there."""
    if not table.exists():
        return {}
    return {(row["algo"], row["env"]): row for row in pd.read_csv(table).to_dict("records")}


def _children_seconds() -> float:
    """Return the processor time of what was run: the minutes of a machine that nobody else uses."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _compress(agent: Agent, folder: Path, work: Path, record: Path) -> None:
    source = agent.file(folder) if agent.algo == MASKABLE else agent.folder(folder)
    program = [sys.executable, "-m", "sb3_integral", "compress", str(source)]
    options = ["--env", agent.env, "--keep", "0.98", "-o", str(work / "actor.onnx")]
    if agent.env in ("Tanks-v0", "Heaters-v0", "Pointer-v0"):
        options += ["--gym-packages", TASKS]
    print(" ".join(["sb3-integral", *program[3:], *options]), flush=True)
    began, used = time.monotonic(), _children_seconds()
    with (work / "output.txt").open("w", encoding="utf-8") as log:
        done = subprocess.run([*program, *options], env=_environment(), stdout=log, stderr=log)
    row: dict[str, object] = {
        "algo": agent.algo,
        "env": agent.env,
        "minutes": round((time.monotonic() - began) / 60, 2),
        "cpu_minutes": round((_children_seconds() - used) / 60, 2),
    }
    result = work / "actor.onnx-compression" / "result.json"
    if done.returncode == 0:
        found = json.loads(result.read_text(encoding="utf-8"))
        trial = next(one for one in found["trials"] if one["sizes"] == found["sizes"])
        row |= {
            "agent_parameters": found["agent"]["parameters"],
            "agent_us": round(found["agent"]["us"], 1),
            "sizes": "x".join(map(str, found["sizes"])),
            "parameters": trial["parameters"],
            "us": round(trial["us"], 1),
            "bytes": (work / "actor.onnx").stat().st_size,
            "kept": round(trial["kept"]["mean"], 4),
            "kept_low": round(trial["kept"]["low"], 4),
            "kept_high": round(trial["kept"]["high"], 4),
            "verdict": trial["verdict"],
        }
    else:
        last = (work / "output.txt").read_text(encoding="utf-8").strip().splitlines()[-1:]
        row["verdict"] = f"failed: {''.join(last)}"
        print(f"  {row['verdict']}", flush=True)
    record.write_text(json.dumps(row), encoding="utf-8")


if __name__ == "__main__":
    app()
