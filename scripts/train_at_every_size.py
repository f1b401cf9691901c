"""Training at many sizes at once against one training for each size: the study of online training.

    python scripts/train_at_every_size.py train
    python scripts/train_at_every_size.py table

The first trains what is missing, one run after the other, and writes results/online/runs.csv; --task,
--column and --seed choose among the runs. It goes on where it was interrupted. The second prints the
table of that file and draws return against size.

Columns, each with as many environment steps for a training:

- any_size: one training with AnySizeCallback, for all sizes.
- scratch: MlpPolicy trained at each size, with a critic of full size. As many trainings as sizes.
- resized: scratch at full size, resized by the method that is best there (of METHODS).
- rollout_sizes: one training with RandomSizeCallback, which draws a size for each rollout.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import typer
from rich.console import Console
from rich.table import Table
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

import sb3_integral  # noqa: F401 - its names, for rl-zoo3
from sb3_integral import ResizablePolicy, evaluate_resize_sweep
from sb3_integral.atomic import atomic_file
from sb3_integral.evaluation import welch_p
from sb3_integral.experiments.config.hyperparams import expert_hyperparams, shipped_hyperparams
from sb3_integral.experiments.stages.expert import load_expert, train_expert
from sb3_integral.policies import Resizable
from sb3_integral.resize import RESIZE_METHODS

FULL = 64
SIZES = (64, 48, 32, 24, 16, 12, 8)
COLUMNS = ("any_size", "scratch", "rollout_sizes")
METHODS = tuple(name for name in RESIZE_METHODS if name != "prune-activations")  # needs observations
ROLLOUT_SIZES = [64, 56, 48, 40, 32, 24, 20, 16, 14, 12, 10, 9, 8]
SETTINGS = {
    "any_size": {"sb3_integral.AnySizeCallback": {"smallest": SIZES[-1]}},
    "rollout_sizes": {"sb3_integral.RandomSizeCallback": {"sizes": ROLLOUT_SIZES}},
}
ROWS = "rows.json"
LABELS = {
    "any_size": "one training for all sizes",
    "scratch": "a training for each size",
    "resized": "64, resized",
    "rollout_sizes": "a size for each rollout",
    "hyperppo": "HyperPPO",
}
FIELDS = ("env", "algo", "column", "n_hidden", "seed", "return_mean")

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)


class Task(NamedTuple):
    """An algorithm on an environment.

    Attributes:
        algo: As rl-zoo3 names it. TRPO has the settings of hyperparams/trpo.yml, others rl-zoo3's own.
        env: The environment.
        like: The environment whose settings are taken, where rl-zoo3 has none for this one.
        n_timesteps: The steps of a training; rl-zoo3's by default.
    """

    algo: str
    env: str
    like: str | None = None
    n_timesteps: int | None = None

    @property
    def name(self) -> str:
        """What folders are called."""
        return f"{self.algo}_{self.env}"


TASKS = (
    Task("ppo", "LunarLander-v3"),
    Task("trpo", "HalfCheetah-v5"),
    Task("trpo", "Hopper-v5"),
    Task("trpo", "Ant-v5"),
    Task("ppo", "BipedalWalker-v3"),
    Task("dqn", "LunarLander-v3"),
    Task("sac", "Pendulum-v1"),
    Task("sac", "Hopper-v5", like="Hopper-v4"),
    Task("ppo", "CartPole-v1"),
)


class Run(NamedTuple):
    """A training."""

    task: Task
    column: str
    size: int
    seed: int

    def folder(self, root: Path) -> Path:
        """Return where its model and its rows are."""
        own = f"{self.column}_{self.size}" if self.column == "scratch" else self.column
        return root / self.task.name / f"{own}_seed{self.seed}"

    def hyperparams(self) -> dict[str, Any]:
        """Return the settings of the training, in rl-zoo3's format."""
        task = self.task
        settings = expert_hyperparams(shipped_hyperparams(task.algo), task.like or task.env)
        critic = {"dqn": None, "ppo": "vf", "trpo": "vf"}.get(task.algo, "qf")
        layers = [self.size, self.size]
        arch = layers if critic is None else {"pi": layers, critic: [FULL, FULL]}
        own = settings.get("policy_kwargs", "{}")
        settings["policy_kwargs"] = f"{{**{own}, 'net_arch': {arch!r}}}"
        settings["policy"] = "MlpPolicy" if self.column == "scratch" else "IntegralMlpPolicy"
        if self.column in SETTINGS:
            settings["callback"] = [SETTINGS[self.column]]
        return settings


def train_run(run: Run, root: Path, episodes: int) -> None:
    """Train, evaluate, and keep the rows in the run's folder."""
    folder, task = run.folder(root), run.task
    partial = folder.with_name(folder.name + "-partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    settings = run.hyperparams()
    train_expert(
        partial,
        lambda _: None,
        env_id=task.env,
        algo=task.algo,
        hyperparams=settings,
        seed=run.seed,
        n_timesteps=task.n_timesteps or int(float(settings["n_timesteps"])),
    )
    expert = load_expert(partial, task.env, task.algo, make_vec_env(task.env))
    policy: Any = expert.model.policy
    play = functools.partial(_returns, expert.normalize, task.env)
    if run.column == "scratch":
        own: Any = ResizablePolicy(policy)
        found = {"scratch": play(own, (run.size,), episodes)}
        if run.size == FULL:
            ways = [ResizablePolicy(policy, method) for method in METHODS]
            best = max(ways, key=lambda way: sum(play(way, SIZES, 5, seed=2000).values()))
            found["resized"] = play(best, SIZES, episodes)
    else:
        found = {run.column: play(policy, SIZES, episodes)}
    rows = [
        (task.env, task.algo, column, size, run.seed, round(mean, 2))
        for column, means in found.items()
        for size, mean in means.items()
    ]
    (partial / ROWS).write_text(json.dumps(rows), encoding="utf-8")
    partial.rename(folder)


def _returns(
    normalize: VecNormalize | None,
    env: str,
    policy: Resizable,
    sizes: Sequence[int],
    episodes: int,
    seed: int = 1000,
) -> dict[int, float]:
    """Return the mean return at each size, in the same episodes."""
    played = evaluate_resize_sweep(policy, env, sizes, episodes, seed=seed, training_env=normalize)
    return {
        size: float(np.mean([one.episode_return for one in played if one.size == size]))
        for size in sizes
    }


def write_table(root: Path, output: Path) -> None:
    """Add the rows of all runs in a folder to the table that is kept, and write it."""
    rows = [
        row
        for path in sorted(root.glob(f"*/*/{ROWS}"))
        for row in json.loads(path.read_text(encoding="utf-8"))
    ]
    kept = pd.read_csv(output) if output.exists() else pd.DataFrame(columns=list(FIELDS))
    both = pd.concat([kept, pd.DataFrame(rows, columns=list(FIELDS))])
    both = both.drop_duplicates(list(FIELDS[:-1]), keep="last").sort_values(list(FIELDS[:-1]))
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(output) as partial:
        both.to_csv(partial, index=False)


Seeds = Annotated[str, typer.Option(help="One training of each kind for each.")]
Output = Annotated[Path, typer.Option(help="The table that is kept.")]
Only = Annotated[list[str] | None, typer.Option(help="Such as ppo_LunarLander-v3. Can be repeated.")]


@app.command()
def train(
    task: Only = None,
    column: Annotated[list[str] | None, typer.Option(help="Can be repeated.")] = None,
    size: Annotated[list[int] | None, typer.Option(help="Of scratch. Can be repeated.")] = None,
    seeds: Seeds = "0,1,2",
    episodes: Annotated[int, typer.Option(help="At each size.")] = 20,
    folder: Annotated[Path, typer.Option(help="Where the runs are.")] = Path("runs/online"),
    output: Output = Path("results/online/runs.csv"),
) -> None:
    """Train what is missing, and add it to the table."""
    torch.set_num_threads(1)
    for seed in map(int, seeds.split(",")):
        for run in (
            Run(one, name, n_hidden, seed)
            for one in TASKS
            if not task or one.name in task
            for name in column or COLUMNS
            for n_hidden in ((size or SIZES) if name == "scratch" else (FULL,))
        ):
            if not (run.folder(folder) / ROWS).exists():
                print(run.folder(folder), flush=True)
                train_run(run, folder, episodes)
                write_table(folder, output)


def _cell(returns: pd.Series) -> str:
    """Return the mean over seeds, with the standard deviation if there are several."""
    if len(returns) < 2:
        return "".join(f"{value:.0f}" for value in returns)
    return f"{returns.mean():.0f} ± {returns.std(ddof=1):.0f}"


@app.command()
def table(output: Output = Path("results/online/runs.csv"), plot: Path | None = None) -> None:
    """Print the table, and draw return against size."""
    runs = pd.read_csv(output)
    console = Console(width=150)
    for (env, algo), of_task in runs.groupby(["env", "algo"], sort=False):
        shown = Table("", *(str(size) for size in SIZES), "mean", "seeds", title=f"{algo}, {env}")
        scratch = of_task[of_task["column"] == "scratch"]
        for column, own in of_task.groupby("column"):
            means = [own[own["n_hidden"] == size]["return_mean"] for size in SIZES]
            cells = [_cell(m) for m in means]
            overall = np.mean([m.mean() for m in means if len(m)])
            shown.add_row(str(column), *cells, f"{overall:.0f}", str(own["seed"].nunique()))
        console.print(shown)
        full = [
            own[own["n_hidden"] == FULL]["return_mean"].tolist()
            for own in (of_task[of_task["column"] == "any_size"], scratch)
        ]
        if min(map(len, full)) > 1:
            console.print(f"any_size against scratch at {FULL}: Welch's p = {welch_p(*full):.2f}")
    if plot is not None:
        draw(runs, plot)


def draw(runs: pd.DataFrame, path: Path) -> None:
    """Draw the mean return over seeds against size, a panel for each task."""
    tasks = list(runs.groupby(["env", "algo"], sort=False))
    figure, axes = plt.subplots(1, len(tasks), figsize=(4.2 * len(tasks), 3.4), squeeze=False)
    for ax, ((env, algo), of_task) in zip(axes[0], tasks, strict=True):
        for column, own in of_task.groupby("column"):
            stats = own.groupby("n_hidden")["return_mean"].agg(["mean", "min", "max"])
            (line,) = ax.plot(stats.index, stats["mean"], marker="o", label=LABELS[str(column)])
            ax.fill_between(stats.index, stats["min"], stats["max"], alpha=0.15, color=line.get_color())
        ax.set(xscale="log", title=f"{algo}, {env}", xlabel="neurons in each hidden layer")
        ax.set_xticks(SIZES, [str(size) for size in SIZES])
        ax.minorticks_off()
    axes[0, 0].set_ylabel("return (mean, and range of seeds)")
    axes[0, -1].legend()
    figure.tight_layout()
    with atomic_file(path) as partial:
        figure.savefig(partial, format=path.suffix.removeprefix("."))


if __name__ == "__main__":
    app()
