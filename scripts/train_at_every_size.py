"""PPO at a size drawn for each rollout: what the sweep callback logged at the end, for several seeds.

Runs rl-zoo3's own command with ``hyperparams/ppo_any_size.yml`` and reads the TensorBoard log it wrote.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ENV_ID = "CartPole-v1"
PREFIX = "resize/mean_reward_"


def last_rewards(seed: int, hyperparams: Path) -> dict[str, float]:
    """Train with a seed; return the last logged mean reward at each size."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "rl_zoo3.train", "--algo", "ppo", "--env", ENV_ID]
        command += ["--gym-packages", "sb3_integral", "--conf-file", str(hyperparams)]
        command += ["--seed", str(seed), "--eval-freq", "-1", "--num-threads", "1"]
        command += ["--log-folder", f"{folder}/logs", "--tensorboard-log", f"{folder}/board"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (events,) = Path(folder, "board").rglob("events.*")
        board = EventAccumulator(str(events)).Reload()
        names = [name for name in board.Tags()["scalars"] if name.startswith(PREFIX)]
        return {name.removeprefix(PREFIX): board.Scalars(name)[-1].value for name in names}


def main(
    seeds: Annotated[str, typer.Option(help="One training for each.")] = "0,1,2",
    hyperparams: Annotated[Path, typer.Option(help="In rl-zoo3's format.")] = Path(
        "hyperparams/ppo_any_size.yml"
    ),
) -> None:
    """Print the last mean reward at each size, a column per seed."""
    numbers = [int(seed) for seed in seeds.split(",")]
    columns = [last_rewards(seed, hyperparams) for seed in track(numbers, "Training")]
    table = Table("N", *(f"seed {seed}" for seed in numbers))
    for size in sorted(columns[0], key=int, reverse=True):
        table.add_row(size, *(f"{column[size]:.1f}" for column in columns))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
