"""DAgger against behavioural cloning with equal numbers of expert labels and steps, integral students.

The expert is trained by rl-zoo3 if it is not there. Every student is swept over sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecEnv

from sb3_integral import UniformSizes, evaluate_resize_sweep
from sb3_integral.evaluation import welch_p
from sb3_integral.experiments.stages.expert import Expert, ensure_expert, load_expert
from sb3_integral.imitation import StudentArchitecture, clone, collect_episodes, dagger
from sb3_integral.imitation.demonstrations import Demonstrations

ALGO = "trpo"
N_EVAL_ENVS = 16
SIZES = (100, 50, 20, 10, 5)
ROUNDS, ROUND_EPOCHS, FINAL_EPOCHS = 10, 4, 200
"""DAgger's. So few labels need many passes, for an integral student needs some thousand steps."""
BC_EPOCHS = FINAL_EPOCHS + ROUND_EPOCHS * (ROUNDS - 1) // 2
"""As many steps in all: round k of DAgger passes over k tenths of the labels."""
Method = Callable[[ActorCriticPolicy, Expert, VecEnv, int, int], object]


def behavioural_cloning(
    student: ActorCriticPolicy, expert: Expert, venv: VecEnv, n_labels: int, seed: int
) -> None:
    """Clone from whole episodes of the expert, cut after so many actions."""
    rng = np.random.default_rng(seed)
    # The shortest successful episodes of LunarLander have some two hundred steps.
    episodes = collect_episodes(_deterministic(expert), venv, 1 + n_labels // 150, rng)
    observations = np.concatenate([np.asarray(episode.obs)[:-1] for episode in episodes])
    actions = np.concatenate([episode.acts for episode in episodes])
    assert len(actions) >= n_labels
    demonstrations = Demonstrations(
        observations=torch.as_tensor(observations[:n_labels]),
        actions=torch.as_tensor(actions[:n_labels]),
        returns=torch.tensor([float(episode.rews.sum()) for episode in episodes]),
    )
    clone(student, demonstrations, n_epochs=BC_EPOCHS, seed=seed)


def aggregation(
    student: ActorCriticPolicy,
    expert: Expert,
    venv: VecEnv,
    n_labels: int,
    seed: int,
    *,
    any_size: bool = False,
) -> None:
    """Let the student drive, at full size or at a random one in each round."""
    sizes = UniformSizes(min(SIZES), max(SIZES)) if any_size else None
    dagger(
        student,
        _deterministic(expert),
        venv,
        n_labels,
        n_rounds=ROUNDS,
        epochs_per_round=ROUND_EPOCHS,
        n_epochs=FINAL_EPOCHS,
        rollout_sizes=sizes,
        seed=seed,
    )


METHODS: dict[str, Method] = {
    "BC": behavioural_cloning,
    "DAgger": aggregation,
    "DAgger, random sizes drive": partial(aggregation, any_size=True),
}


def _deterministic(expert: Expert) -> Callable[..., tuple[np.ndarray, None]]:
    """Return the expert as what imitation's rollout calls."""
    return lambda observations, _state, _start: (expert.predict(observations)[0], None)


def main(
    env_id: Annotated[str, typer.Option("--env", help="The environment.")] = "LunarLander-v3",
    labels: Annotated[str, typer.Option(help="Numbers of expert labels.")] = "5000",
    seeds: Annotated[str, typer.Option(help="One student of each kind for each.")] = "0,1,2,3,4",
    episodes: Annotated[int, typer.Option(help="Evaluation episodes per student and size.")] = 32,
    folder: Annotated[Path, typer.Option(help="Where the expert is kept.")] = Path("runs/experts"),
) -> None:
    """Print mean returns at each size, and Welch's p of DAgger against BC over seeds."""
    torch.set_num_threads(1)
    console = Console(width=120)
    console.print(f"the expert, with hyperparams/{ALGO}.yml, is trained once")
    ensure_expert(folder, env_id, ALGO, Path(f"hyperparams/{ALGO}.yml"))
    eval_venv = make_vec_env(env_id, N_EVAL_ENVS)
    counts, numbers = ([int(one) for one in text.split(",")] for text in (labels, seeds))
    rows = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Students", total=len(counts) * len(numbers) * len(METHODS))
        for count in counts:
            for seed in numbers:
                for name, method in METHODS.items():
                    venv = make_vec_env(env_id, 1, seed=10_000 * (seed + 1))
                    expert = load_expert(folder, env_id, ALGO, venv)
                    architecture = StudentArchitecture("integral", hidden_sizes=(100, 100))
                    student = architecture.build(venv.observation_space, venv.action_space, seed=seed)
                    method(student, expert, venv, count, seed)
                    swept = evaluate_resize_sweep(student, eval_venv, SIZES, episodes, seed=1000)
                    rows += [
                        {"labels": count, "seed": seed, "method": name, **r._asdict()} for r in swept
                    ]
                    progress.advance(task)
    keys = ["labels", "size", "method", "seed"]
    means = pd.DataFrame(rows).groupby(keys)["episode_return"].mean().unstack("seed")
    table = Table("labels", "N", *METHODS, *(f"p, {name}" for name in list(METHODS)[1:]))
    for count in counts:
        for size in SIZES:
            per_seed = {name: means.loc[(count, size, name)].tolist() for name in METHODS}
            cells = [f"{np.mean(own):.0f} ± {np.std(own, ddof=1):.0f}" for own in per_seed.values()]
            baseline, *others = per_seed.values()
            table.add_row(
                f"{count:,}",
                str(size),
                *cells,
                *(f"{welch_p(own, baseline):.2f}" for own in others),
            )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
