"""How small can it be? A sequential search for Acrobot's smallest size, against a full sweep.

A student is cloned at full size only, so that it degrades somewhere. Its full sweep gives the answer to
find; then the search looks for it with one seed after another. A TRPO expert, its demonstrations and the
student are made if they are not there.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer
from rich.console import Console
from rich.table import Table
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecEnv

from sb3_integral import evaluate_resize_sweep
from sb3_integral.deploy import smallest_size
from sb3_integral.experiments.stages.expert import ensure_expert, load_expert
from sb3_integral.imitation import (
    FullSize,
    StudentArchitecture,
    clone,
    collect_episodes,
    load_demonstrations,
    save_episodes,
)
from sb3_integral.policies import Resizable
from sb3_integral.policies.serialization import load_policy, save_policy

ENV = "Acrobot-v1"
ALGO = "trpo"
RETURNS = (-500.0, 0.0)
SIZES = (100, 95, 90, 85, 70, 60, 50, 40, 30, 20, 10, 5)


def prepare(folder: Path, console: Console, venv: VecEnv) -> ActorCriticPolicy:
    """Return a student that was cloned at full size only."""
    student = folder / "student.safetensors"
    if not student.exists():
        expert_folder = folder / "expert"
        console.print(f"an expert of hyperparams/{ALGO}.yml, trained if it is not there")
        ensure_expert(expert_folder, ENV, ALGO, Path(f"hyperparams/{ALGO}.yml"))
        expert = load_expert(expert_folder, ENV, ALGO, venv)
        console.print("cloning it into a student of 100 x 100, at full size only")
        episodes = collect_episodes(
            lambda observations, _state, _start: (expert.predict(observations)[0], None),
            venv,
            200,
            np.random.default_rng(0),
        )
        save_episodes(episodes, folder / "episodes")
        architecture = StudentArchitecture("integral", hidden_sizes=(100, 100))
        policy = architecture.build(venv.observation_space, venv.action_space, seed=0)
        clone(policy, load_demonstrations(folder / "episodes"), sizes=FullSize())
        save_policy(policy, student)
    return load_policy(student, venv.observation_space, venv.action_space)


def main(
    tolerance: Annotated[float, typer.Option(help="Mean return that may be lost.")] = 40.0,
    confidence: Annotated[float, typer.Option(help="Of each search.")] = 0.95,
    seeds: Annotated[int, typer.Option(help="Searches, with a seed each.")] = 20,
    episodes: Annotated[int, typer.Option(help="Episodes per size in the sweep.")] = 200,
    most: Annotated[int, typer.Option(help="Most episodes per size in a search.")] = 350,
    folder: Annotated[Path, typer.Option(help="Where expert and student are kept.")] = Path(
        "runs/smallest_size_acrobot"
    ),
) -> None:
    """Print the sweep, each search, and whether they say the same."""
    torch.set_num_threads(1)
    console = Console(width=110)
    venv = make_vec_env(ENV, 16, seed=0)
    policy = prepare(folder, console, venv)
    assert isinstance(policy, Resizable)

    console.print(f"full sweep: {episodes} episodes at each size")
    sweep = evaluate_resize_sweep(policy, venv, SIZES, episodes, seed=0)
    rows = pd.DataFrame(sweep).groupby("size", sort=False)["episode_return"]
    table = Table("N", "mean return", "standard error", f"loss at most {tolerance:g}")
    is_within = {}
    for size, returns in rows:
        is_within[size] = rows.mean()[SIZES[0]] - returns.mean() <= tolerance
        error = returns.std() / math.sqrt(len(returns))
        table.add_row(
            str(size), f"{returns.mean():.1f}", f"{error:.1f}", "yes" if is_within[size] else "no"
        )
    console.print(table)
    # The smallest such that it and all larger ones are within.
    answer = min(size for size in SIZES if all(is_within[other] for other in SIZES if other >= size))
    console.print(f"answer: N = {answer}, {len(sweep):,} episodes\n")

    console.print("seed  answer  episodes  tried: episodes and verdict at each size")
    spent, wrong, undecided = [], 0, 0
    for seed in range(1, seeds + 1):
        found = smallest_size(
            policy, venv, tolerance, confidence,
            return_range=RETURNS, sizes=SIZES, max_episodes=most, seed=seed,
        )  # fmt: skip
        size = found.sizes[0]
        spent.append(found.episodes)
        undecided += not found.is_certain
        wrong += size != answer
        tried = ", ".join(
            f"{trial.sizes[0]}: {trial.episodes} {trial.verdict}" for trial in found.trials
        )
        console.print(f"{seed:>4}  {size:>6}  {found.episodes:>8}  {tried}", highlight=False)
    allowed = 1.0 - confidence
    console.print(
        f"\n{seeds} searches: {wrong} with another answer than the sweep; "
        f"in {undecided} the means had to settle a size"
    )
    share = max(spent) / len(sweep)
    console.print(f"episodes: mean {np.mean(spent):.0f}, most {max(spent)}, {share:.0%} of the sweep's")
    kept = {True: "kept", False: "BROKEN"}
    console.print(
        f"{kept[undecided <= seeds / 4]}: decided by the test in three of four searches\n"
        f"{kept[wrong <= allowed * seeds]}: wrong at most as often as the confidence allows\n"
        f"{kept[share <= 1 / 3]}: at most a third of the sweep's episodes"
    )


if __name__ == "__main__":
    typer.run(main)
