"""The integral policy against the stock one: same algorithm, hyperparameters, seeds and budget.

Runs of the two take turns, one thread each, so that the ratio of wall times means something.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

import sb3_integral  # noqa: F401 - its names, for rl-zoo3
from sb3_integral.evaluation import welch_p
from sb3_integral.experiments.config.hyperparams import expert_hyperparams
from sb3_integral.experiments.stages.expert import load_expert, train_expert

POLICIES = ("MlpPolicy", "IntegralMlpPolicy")


class Case(NamedTuple):
    """An algorithm on an environment, for so many steps."""

    algo: str
    env_id: str
    n_timesteps: int


CASES = (
    Case("ppo", "CartPole-v1", 100_000),
    Case("ppo", "LunarLander-v3", 1_000_000),
    Case("sac", "Pendulum-v1", 20_000),
)


class Run(NamedTuple):
    """What a training came to: mean return, and its wall time in seconds."""

    mean_return: float
    seconds: float


def run(case: Case, policy: str, seed: int, episodes: int) -> Run:
    """Train with the settings in ``hyperparams/``, and evaluate deterministically."""
    hyperparams = expert_hyperparams(Path("hyperparams") / f"{case.algo}.yml", case.env_id)
    hyperparams["policy"] = policy
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.perf_counter()
        train_expert(
            folder,
            lambda _: None,
            env_id=case.env_id,
            algo=case.algo,
            hyperparams=hyperparams,
            seed=seed,
            n_timesteps=case.n_timesteps,
        )
        seconds = time.perf_counter() - started
        venv = make_vec_env(case.env_id, 10, seed=1000)
        trained = load_expert(folder, case.env_id, case.algo, venv)
        returns, _ = evaluate_policy(trained, venv, episodes, return_episode_rewards=True)  # type: ignore[arg-type]
    return Run(float(np.mean(returns)), seconds)


def main(
    seeds: Annotated[str, typer.Option(help="One training of each policy for each.")] = "0,1,2",
    episodes: Annotated[int, typer.Option(help="Evaluation episodes per run.")] = 100,
) -> None:
    """Print mean returns over seeds, Welch's p, and the ratio of wall times."""
    torch.set_num_threads(1)
    console = Console(width=120)
    numbers = [int(seed) for seed in seeds.split(",")]
    table = Table("algorithm", "environment", "steps", *POLICIES, "Welch p", "time ratio")
    for case in CASES:
        runs: dict[str, list[Run]] = {policy: [] for policy in POLICIES}
        for seed in numbers:
            # Who goes first changes with the seed.
            for policy in POLICIES[:: 1 if seed % 2 else -1]:
                result = run(case, policy, seed, episodes)
                runs[policy].append(result)
                console.print(
                    f"{case.algo} {case.env_id} {policy} seed {seed}: "
                    f"{result.mean_return:.2f}, {result.seconds:.1f} s",
                    highlight=False,
                )
        stock, integral = ([one.mean_return for one in runs[policy]] for policy in POLICIES)
        p = "equal runs" if stock == integral else f"{welch_p(stock, integral):.2f}"
        ratios = [b.seconds / a.seconds for a, b in zip(*runs.values(), strict=True)]
        cells = [f"{np.mean(own):.1f} ± {np.std(own, ddof=1):.1f}" for own in (stock, integral)]
        table.add_row(
            case.algo, case.env_id, f"{case.n_timesteps:,}", *cells, p, f"{np.median(ratios):.2f}"
        )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
