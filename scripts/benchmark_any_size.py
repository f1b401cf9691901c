"""What training at many sizes at once costs: wall time against MlpPolicy's, in alternation.

Each round runs both for as many steps, one thread each, after a first one that is not counted. The ratio
is the median over rounds.
"""

from __future__ import annotations

import time
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from sb3_contrib import TRPO
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.env_util import make_vec_env

from sb3_integral import AnySizeCallback


class Case(NamedTuple):
    """A training: an algorithm, its settings, and how many steps it has."""

    algorithm: Any
    env_id: str
    n_envs: int
    n_steps: int
    settings: dict[str, Any]


CASES = (
    Case(PPO, "LunarLander-v3", 16, 16_384, {"n_steps": 1024, "batch_size": 64, "n_epochs": 4}),
    Case(TRPO, "HalfCheetah-v5", 8, 8_192, {"n_steps": 256, "batch_size": 256, "cg_max_steps": 25}),
    Case(SAC, "Pendulum-v1", 1, 1_500, {"learning_starts": 100}),
    Case(DQN, "LunarLander-v3", 1, 10_000, {"learning_starts": 100}),
)


def seconds(case: Case, is_any_size: bool) -> float:
    """Train a new model, and return the time that it learned."""
    policy = "IntegralMlpPolicy" if is_any_size else "MlpPolicy"
    env = make_vec_env(case.env_id, case.n_envs, seed=0)
    model = case.algorithm(policy, env, seed=0, device="cpu", **case.settings)
    began = time.perf_counter()
    model.learn(case.n_steps, callback=AnySizeCallback() if is_any_size else None)
    return time.perf_counter() - began


def main(rounds: Annotated[int, typer.Option(help="Trainings of each kind.")] = 5) -> None:
    """Print the ratios."""
    torch.set_num_threads(1)
    table = Table("algorithm", "environment", "MlpPolicy, s", "any size, s", "ratio", "range")
    for case in CASES:
        pairs = []
        for number in range(rounds + 1):
            order = (False, True) if number % 2 else (True, False)
            took = {is_any: seconds(case, is_any) for is_any in order}
            pairs.append((took[False], took[True]))
        plain, sized = np.array(pairs[1:]).T
        ratios = sized / plain
        table.add_row(
            case.algorithm.__name__,
            case.env_id,
            f"{np.median(plain):.2f}",
            f"{np.median(sized):.2f}",
            f"{np.median(ratios):.2f}",
            f"{ratios.min():.2f} to {ratios.max():.2f}",
        )
        Console(width=120).print(f"{case.algorithm.__name__}: {np.median(ratios):.2f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    typer.run(main)
