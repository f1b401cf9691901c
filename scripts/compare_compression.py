"""What other ways make of the same agent, labels, steps and size as `compress`: one table.

    python scripts/compress_agents.py compress
    python scripts/compare_compression.py

For each agent of the first script, at the size that it chose: a plain network of that size, distilled
from the start; a plain one of full size, pruned by Torch-Pruning after half of the steps and trained on
with the other half; a slimmable one (nested, no corrections), its sizes drawn as the integral one's; and
the integral one. All of them play the agent's episodes of the same seeds. The size was chosen for
the integral student, so ties are the best that it can be expected to show.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from compress_agents import AGENTS, HERE, MASKABLE, TASKS, Agent
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_integral import ResizablePolicy
from sb3_integral.atomic import atomic_file
from sb3_integral.deploy.compress.teacher import Teacher, read_teacher
from sb3_integral.deploy.compress.teaching import STEPS, joined
from sb3_integral.evaluation.episodes import MAX_EPISODE_STEPS, episode_seeds
from sb3_integral.imitation import (
    CloningConfig,
    Demonstrations,
    StudentArchitecture,
    clone,
    load_demonstrations,
)
from sb3_integral.policies import as_resizable
from sb3_integral.policies.serialization import load_policy
from sb3_integral.resize.torch_pruning import GroupMagnitudePruning

FULL = (100, 100)


def train(policy: ActorCriticPolicy, demonstrations: Demonstrations, n_steps: int) -> ActorCriticPolicy:
    """Train a student for some steps, as `compress` does."""
    config = CloningConfig(seed=0)
    batch_size = min(config.batch_size, len(demonstrations))
    n_epochs = math.ceil(n_steps / (len(demonstrations) // batch_size))
    return clone(policy, demonstrations, config, n_epochs=n_epochs, batch_size=batch_size)


def students(
    teacher: Teacher, demonstrations: Demonstrations, n_steps: int, sizes: tuple[int, ...]
) -> dict[str, Callable[[], Any]]:
    """Return what makes the student of each competitor, as an ordinary policy of the given size."""
    spaces = teacher.observation_space, teacher.action_space

    def distilled() -> Any:
        return train(StudentArchitecture("plain", sizes).build(*spaces, 0), demonstrations, n_steps)

    def pruned() -> Any:
        full = train(StudentArchitecture("plain", FULL).build(*spaces, 0), demonstrations, n_steps // 2)
        small = ResizablePolicy(full, method=GroupMagnitudePruning()).discretize(sizes)
        return train(small, demonstrations, n_steps - n_steps // 2)  # type: ignore[arg-type]

    def slimmable() -> Any:
        architecture = StudentArchitecture("integral", FULL, scale_levels=0)
        student = train(architecture.build(*spaces, 0), demonstrations, n_steps)
        return as_resizable(student).discretize(sizes)

    return {"distilled": distilled, "pruned, fine-tuned": pruned, "slimmable": slimmable}


def compare(agent: Agent, folder: Path, episodes: int) -> list[dict[str, object]]:
    """Return the rows of one agent."""
    work = folder / "compressed" / f"{agent.algo}_{agent.env}" / "actor.onnx-compression"
    found = json.loads((work / "result.json").read_text(encoding="utf-8"))
    sizes = tuple(found["sizes"])
    source = agent.file(folder) if agent.algo == MASKABLE else agent.folder(folder)
    teacher = read_teacher(source, agent.env)
    labels = sorted(work.glob("labels-*"))
    demonstrations = joined([load_demonstrations(path) for path in labels])
    seeds = episode_seeds(1, episodes)  # others than those by which the size was chosen
    agent_returns = np.array(teacher.agent_returns(seeds, MAX_EPISODE_STEPS))
    span = float(agent_returns.mean()) - found["random_return"]
    student: Any = load_policy(work / "student.safetensors")
    makers = {"integral": lambda: student.discretize(sizes)}
    makers |= students(teacher, demonstrations, STEPS[len(labels) - 1], sizes)
    rows: list[dict[str, object]] = []
    for name, make in makers.items():
        began = time.monotonic()
        policy = make()
        seconds = time.monotonic() - began
        pairs = (
            np.array(teacher.student_returns(policy, seeds, MAX_EPISODE_STEPS)) - agent_returns
        ) / span
        half = 1.96 * float(pairs.std(ddof=1)) / math.sqrt(len(pairs))
        kept = 1.0 + float(pairs.mean())
        rows.append(
            {
                "algo": agent.algo,
                "env": agent.env,
                "sizes": "x".join(map(str, sizes)),
                "way": name,
                "kept": round(kept, 4),
                "kept_low": round(kept - half, 4),
                "kept_high": round(kept + half, 4),
                "seconds": round(seconds, 1),
            }
        )
        print(rows[-1], flush=True)
    return rows


def main(
    folder: Annotated[Path, typer.Option(help="Where the agents are.")] = Path("runs/agents"),
    output: Annotated[Path, typer.Option(help="The table.")] = Path("results/compress/ways.csv"),
    episodes: Annotated[int, typer.Option(help="Of each student.")] = 64,
    only: Annotated[list[str] | None, typer.Option(help="An environment. Can be repeated.")] = None,
) -> None:
    """Compare the ways on every agent that was compressed."""
    sys.path.insert(0, str(HERE))
    importlib.import_module(TASKS)
    rows: list[dict[str, object]] = []
    for agent in AGENTS:
        record = folder / "compressed" / f"{agent.algo}_{agent.env}" / "record.json"
        if (only and agent.env not in only) or not record.exists():
            continue
        if "sizes" in json.loads(record.read_text(encoding="utf-8")):
            rows += compare(agent, folder, episodes)
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(output) as partial:
        pd.DataFrame(rows).to_csv(partial, index=False)
    print(pd.DataFrame(rows).to_string())


if __name__ == "__main__":
    typer.run(main)
