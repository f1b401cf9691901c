"""What other ways make of the same agent, labels and steps as `compress`, by the same search: one table.

    python scripts/compress_agents.py compress
    python scripts/compare_compression.py

Four ways get each agent of the first script: plain networks, distilled from the start at each size; one
of full size, pruned to each size by Torch-Pruning after half of the steps and trained on with the other
half; a slimmable one (nested, no corrections), its sizes drawn as the integral one's; and the integral
one of `compress`. The smallest size that is as good is found by the same bisection and paired test.
Slimmable and integral networks are bisected over their own best sizes. The others have none before
they are trained, so they are bisected over those of the integral one. The chosen sizes then play
other episodes than those by which they were chosen.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from compress_agents import AGENTS, HERE, MASKABLE, TASKS, Agent
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy

from sb3_integral import ResizablePolicy
from sb3_integral.atomic import atomic_file
from sb3_integral.deploy.compress import Goal
from sb3_integral.deploy.compress.candidates import Candidate, candidates
from sb3_integral.deploy.compress.checkpoints import Checkpoints
from sb3_integral.deploy.compress.choosing import AnySize, choose
from sb3_integral.deploy.compress.comparison import Comparer
from sb3_integral.deploy.compress.result import NotAsGoodError
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
from sb3_integral.policies.serialization import load_policy
from sb3_integral.resize.torch_pruning import GroupMagnitudePruning

FULL = (100, 100)
MAX_EPISODES = 1000
"""Of one size in the search, as in `compress`."""

Sizes = tuple[int, ...]


class MadeForEachSize:
    """A way that trains for each size; what it made is kept.

    Args:
        make: Makes the policy of a size.
    """

    max_sizes = FULL

    def __init__(self, make: Callable[[Sizes], BasePolicy]) -> None:
        self._make = make
        self._made: dict[Sizes, BasePolicy] = {}

    def discretize(self, size: Sizes) -> BasePolicy:
        """Return the policy of a size."""
        if size not in self._made:
            self._made[size] = self._make(size)
        return self._made[size]


@torch.no_grad()
def standardized(student: Any, small: BasePolicy, full: Any) -> ActorCriticPolicy:
    """Return a student that acts as a small policy, and standardises observations as the full one does.

    Pruning folds the standardisation into the first layer, where it would hinder further training.
    """
    extractor = full.features_extractor
    both = hasattr(extractor, "scale_and_shift")
    scale, shift = extractor.scale_and_shift() if both else (extractor.scale, extractor.shift)
    student.load_state_dict({**student.state_dict(), **small.state_dict()})
    student.features_extractor.load_state_dict(extractor.state_dict())
    first = student.mlp_extractor.policy_net[0]
    first.weight.div_(scale)
    first.bias.sub_(first.weight @ shift)
    return student  # type: ignore[no-any-return]


class Contest:
    """One agent, what it labelled, and the search that every way gets.

    Args:
        agent: The agent.
        folder: Where agents are.
    """

    def __init__(self, agent: Agent, folder: Path) -> None:
        work = folder / "compressed" / f"{agent.algo}_{agent.env}" / "actor.onnx-compression"
        source = agent.file(folder) if agent.algo == MASKABLE else agent.folder(folder)
        self.agent = agent
        self.teacher: Teacher = read_teacher(source, agent.env)
        self.found = json.loads((work / "result.json").read_text(encoding="utf-8"))
        labels = sorted(work.glob("labels-*"))
        self.demonstrations: Demonstrations = joined([load_demonstrations(path) for path in labels])
        self.n_steps = STEPS[len(labels) - 1]
        self.integral: Any = load_policy(work / "student.safetensors")
        self.span = self.found["agent"]["return"] - self.found["random_return"]

    def train(self, policy: ActorCriticPolicy, n_steps: int) -> ActorCriticPolicy:
        """Train a student for some steps, as `compress` does."""
        config = CloningConfig(seed=0)
        batch_size = min(config.batch_size, len(self.demonstrations))
        n_epochs = math.ceil(n_steps / (len(self.demonstrations) // batch_size))
        return clone(policy, self.demonstrations, config, n_epochs=n_epochs, batch_size=batch_size)

    def built(self, kind: Any, sizes: Sizes, **arguments: Any) -> ActorCriticPolicy:
        """Return an untrained student."""
        spaces = self.teacher.observation_space, self.teacher.action_space
        return StudentArchitecture(kind, sizes, **arguments).build(*spaces, 0)

    def ways(self) -> dict[str, Callable[[], tuple[AnySize, Sequence[Candidate]]]]:
        """Return what makes each way's networks, and the sizes over which it is bisected."""
        sizes = candidates(self.integral, self.demonstrations, Goal())

        def distilled(size: Sizes) -> BasePolicy:
            return self.train(self.built("plain", size), self.n_steps)

        def pruned() -> AnySize:
            half = self.n_steps // 2
            full = self.train(self.built("plain", FULL), half)
            smaller: Any = ResizablePolicy(full, method=GroupMagnitudePruning())
            return MadeForEachSize(
                lambda size: self.train(smaller.discretize(size), self.n_steps - half)
            )

        def slimmable() -> tuple[AnySize, Sequence[Candidate]]:
            student: Any = self.train(self.built("integral", FULL, scale_levels=0), self.n_steps)
            return student, candidates(student, self.demonstrations, Goal())

        return {
            "integral": lambda: (self.integral, sizes),
            "distilled at each size": lambda: (MadeForEachSize(distilled), sizes),
            "pruned, fine-tuned": lambda: (pruned(), sizes),
            "slimmable": slimmable,
        }

    def search(self, student: AnySize, sizes: Sequence[Candidate]) -> tuple[Sizes, str]:
        """Return the smallest size that is as good, and the verdict; the full one if it is not."""
        with TemporaryDirectory() as folder:
            checkpoints = Checkpoints(Path(folder) / "search", {})
            comparer = Comparer(self.teacher, checkpoints, 0.95, MAX_EPISODES, seed=0)
            try:
                chosen, _ = choose(
                    student, "student", sizes, comparer, 0.02 * self.span, Goal(keep=0.98), print
                )
            except NotAsGoodError as error:
                return sizes[-1].sizes, error.best.verdict
        return chosen, "as good"

    def row(self, way: str, episodes: int, agent_returns: np.ndarray[Any, Any]) -> dict[str, object]:
        """Return what a way came to."""
        began, used = time.monotonic(), time.process_time()
        student, sizes = self.ways()[way]()
        chosen, verdict = self.search(student, sizes)
        seconds, cpu = time.monotonic() - began, time.process_time() - used
        policy = student.discretize(chosen)
        seeds = episode_seeds(1, episodes)
        returns = np.array(self.teacher.student_returns(policy, seeds, MAX_EPISODE_STEPS))
        pairs = (returns - agent_returns) / self.span
        half = 1.96 * float(pairs.std(ddof=1)) / math.sqrt(len(pairs))
        kept = 1.0 + float(pairs.mean())
        return {
            "algo": self.agent.algo,
            "env": self.agent.env,
            "way": way,
            "sizes": "x".join(map(str, chosen)),
            "parameters": next(one.costs.parameters for one in sizes if one.sizes == chosen),
            "verdict": verdict,
            "kept": round(kept, 4),
            "kept_low": round(kept - half, 4),
            "kept_high": round(kept + half, 4),
            "seconds": round(seconds, 1),
            "cpu_seconds": round(cpu, 1),
        }

    def rows(self, episodes: int) -> list[dict[str, object]]:
        """Return the rows of all ways."""
        returns = self.teacher.agent_returns(episode_seeds(1, episodes), MAX_EPISODE_STEPS)
        found = []
        for way in self.ways():
            found.append(self.row(way, episodes, np.array(returns)))
            print(found[-1], flush=True)
        return found


def main(
    folder: Annotated[Path, typer.Option(help="Where the agents are.")] = Path("runs/agents"),
    output: Annotated[Path, typer.Option(help="The table.")] = Path("results/compress/ways.csv"),
    episodes: Annotated[int, typer.Option(help="Of each chosen network.")] = 64,
    only: Annotated[list[str] | None, typer.Option(help="An environment. Can be repeated.")] = None,
) -> None:
    """Compare the ways on every agent that was compressed, and keep what is in the table already."""
    sys.path.insert(0, str(HERE))
    importlib.import_module(TASKS)
    before = pd.read_csv(output).to_dict("records") if output.exists() else []
    rows: list[dict[Any, Any]] = list(before)
    done = {(row["algo"], row["env"]) for row in before}
    output.parent.mkdir(parents=True, exist_ok=True)
    for agent in AGENTS:
        record = folder / "compressed" / f"{agent.algo}_{agent.env}" / "record.json"
        if (only and agent.env not in only) or not record.exists():
            continue
        is_missing = (agent.algo, agent.env) not in done
        if is_missing and "sizes" in json.loads(record.read_text(encoding="utf-8")):
            rows += Contest(agent, folder).rows(episodes)
            with atomic_file(output) as partial:
                pd.DataFrame(rows).to_csv(partial, index=False)
    print(pd.DataFrame(rows).to_string())


if __name__ == "__main__":
    typer.run(main)
