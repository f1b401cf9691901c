"""Whether each way to resize a plain network is at its best setting: all of them, and variants.

Takes the plain students of an experiment that was run with ``sb3-integral run``, and prints at each size
for every method, and for settings that are not its defaults, how far the resized network's outputs are
from the full one's on the demonstrations (mean squared error over the outputs' variance), and the mean
return. Figures are means over the seeds that the experiment has.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from sb3_integral import ResizablePolicy
from sb3_integral.evaluation import evaluate_resize_sweep
from sb3_integral.imitation import load_demonstrations
from sb3_integral.policies.serialization import load_policy
from sb3_integral.resize import (
    RESIZE_METHODS,
    DenseLayer,
    KMeansMerging,
    Pruning,
    ResizeMethod,
    l1_norm,
    l2_norm,
    spectral_norm,
)

SAMPLES = 5_000


@dataclass(frozen=True)
class Rescaled:
    """Those neurons that stay count (old neurons) / (new neurons) times as much."""

    method: ResizeMethod

    def __call__(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        """See ``ResizeMethod``."""
        first, *others = self.method(layers, sizes)
        full = [len(layer.weight) for layer in layers[:-1]]
        factors = [old / new for old, new in zip(full, sizes, strict=True)]
        return [first, *(DenseLayer(w * f, b) for (w, b), f in zip(others, factors, strict=True))]


@dataclass(frozen=True)
class Blind:
    """A method that is not shown the observations."""

    method: ResizeMethod

    def __call__(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        """See ``ResizeMethod``."""
        return self.method(layers, sizes)


VARIANTS: dict[str, ResizeMethod] = {
    "k-means, started once": KMeansMerging(restarts=1),
    "k-means, started 100 times": KMeansMerging(restarts=100),
    "prune-group, rescaled": Rescaled(RESIZE_METHODS["prune-group"]),
    "prune-l1, rescaled": Rescaled(Pruning(l1_norm)),
    "prune-l1, blind": Blind(Pruning(l1_norm)),
    "prune-l2, rescaled": Rescaled(Pruning(l2_norm)),
    "prune-l2, blind": Blind(Pruning(l2_norm)),
    "prune-spectral, rescaled": Rescaled(Pruning(spectral_norm)),
    "prune-spectral, blind": Blind(Pruning(spectral_norm)),
}


def outputs(policy: ActorCriticPolicy, observations: Tensor) -> Tensor:
    """Return logits or mean actions."""
    with torch.no_grad():
        latent = policy.mlp_extractor.forward_actor(policy.extract_features(observations))
        actions: Tensor = policy.action_net(latent)
    return actions


def main(
    folder: Annotated[Path, typer.Argument(help="An experiment's folder, such as runs/acrobot.")],
    student: Annotated[str, typer.Option(help="Name of a plain student.")] = "nn",
    sizes: Annotated[str, typer.Option(help="Sizes, the full one first.")] = "100,70,50,30,20,10,5",
    episodes: Annotated[int, typer.Option(help="At each size and seed; 0 measures outputs only.")] = 10,
) -> None:
    """Print a table of errors of the outputs, and one of mean returns."""
    numbers = [int(size) for size in sizes.split(",")]
    files = sorted(folder.glob(f"seed-*/{student}/student/student.safetensors"))
    if not files:
        raise typer.BadParameter(f"no {folder}/seed-*/{student}/student/student.safetensors")
    env_id = json.loads((files[0].parent / "stage.json").read_text(encoding="utf-8"))["inputs"]["env_id"]
    venv = make_vec_env(env_id, 10)
    methods = {**RESIZE_METHODS, **VARIANTS}
    errors: dict[str, list[list[float]]] = {name: [] for name in methods}
    returns: dict[str, list[list[float]]] = {name: [] for name in methods}
    for file in files:
        policy = load_policy(file, venv.observation_space, venv.action_space)
        seen = load_demonstrations(file.parents[2] / "demonstrations" / "episodes").observations
        seen = seen[torch.randperm(len(seen), generator=torch.Generator().manual_seed(0))]
        fitted_on, tested_on = seen[:SAMPLES], seen[SAMPLES : 2 * SAMPLES]
        expected = outputs(policy, tested_on)
        for name, method in track(methods.items(), str(file.parents[2].name), transient=True):
            resizable = ResizablePolicy(policy, method, fitted_on.numpy())
            differences = [
                outputs(resizable.resize(size).policy, tested_on) - expected  # type: ignore[arg-type]
                for size in numbers
            ]
            errors[name].append([float(d.square().mean() / expected.var()) for d in differences])
            if episodes:
                rows = evaluate_resize_sweep(resizable, venv, numbers, episodes, seed=0)
                returns[name].append(
                    [float(np.mean([r.episode_return for r in rows if r.size == n])) for n in numbers]
                )
    for title, figures in (("relative squared error", errors), ("mean return", returns)):
        if not any(figures.values()):
            continue
        table = Table("method", title=f"{env_id}, {len(files)} students: {title}")
        for size in numbers:
            table.add_column(str(size), justify="right")
        for name in sorted(methods):
            table.add_row(name, *(f"{value:.3g}" for value in np.mean(figures[name], axis=0)))
        Console(width=110).print(table)


if __name__ == "__main__":
    typer.run(main)
