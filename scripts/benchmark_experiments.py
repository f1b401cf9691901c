"""Speed and memory of experiments: one run prints each figure beside the peer's, and the bound.

Absolute figures drift on shared machines; quote the ratios, which are medians over rounds in which
both sides are measured one after the other. Every figure is one thread per process.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
import typer
from imitation.algorithms.bc import BC
from imitation.data.types import TrajectoryWithRew
from imitation.util.logger import HierarchicalLogger
from rich.console import Console
from rich.table import Table
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_integral import evaluate_resize_sweep
from sb3_integral.imitation import (
    Demonstrations,
    RandomSizes,
    StudentArchitecture,
    UniformSizes,
    load_demonstrations,
    make_trainer,
    save_episodes,
)

SIZES = (100, 95, 90, 85, 70, 60, 50, 40, 30, 20, 10, 5)
"""Those of the paper's tables."""

CHEETAH, ACROBOT = "HalfCheetah-v4", "Acrobot-v1"
RAW_BOUNDS = {CHEETAH: 0.8, ACROBOT: 0.6}
SB3_BOUND = 5.0
CLONING_BOUNDS = {256: 2.5, 1024: 4.0}
MEMORY_BOUND = 6.0
MEMORY_BATCHES = 300
EPISODE_STEPS = 1000

app = typer.Typer(add_completion=False)


class Row(NamedTuple):
    """A line of the table; ``lower`` says that the bound is a largest value."""

    what: str
    ours: str
    peer: str
    ratio: float
    bound: float | None
    lower: bool = False

    def verdict(self) -> str:
        """Say whether the bound is kept."""
        if self.bound is None:
            return ""
        return "yes" if (self.ratio <= self.bound if self.lower else self.ratio >= self.bound) else "NO"


# ---------------------------------------------------------------- the sweep


def student(env_id: str, kind: str = "integral") -> ActorCriticPolicy:
    """Return a student whose actions differ from state to state, which the speed does not depend on."""
    env = gym.make(env_id)
    policy = StudentArchitecture(kind).build(env.observation_space, env.action_space, seed=0)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return policy


def raw_worker(env_id: str, seconds: float, all_here: Any, go: Any, rates: Any) -> None:
    """Step one environment with actions drawn beforehand."""
    env = gym.make(env_id)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(10_000)]
    for _ in iter(go.get, None):
        env.reset(seed=0)
        all_here.wait()
        steps, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            for action in actions[:500]:
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()
            steps += 500
        rates.put(steps / (time.perf_counter() - started))


class RawLoop:
    """A process per core that steps an environment as fast as it goes; rates are summed."""

    def __init__(self, env_id: str, cores: int, seconds: float) -> None:
        context = multiprocessing.get_context("fork")
        self._cores = cores
        self._go, self._rates = context.Queue(), context.Queue()
        all_here = context.Barrier(cores)
        self._processes = [
            context.Process(target=raw_worker, args=(env_id, seconds, all_here, self._go, self._rates))
            for _ in range(cores)
        ]
        for process in self._processes:
            process.start()

    def rate(self) -> float:
        """Return the steps per second of all processes together."""
        for _ in range(self._cores):
            self._go.put(True)
        return sum(self._rates.get() for _ in range(self._cores))

    def stop(self) -> None:
        """End the processes."""
        for _ in range(self._cores):
            self._go.put(None)
        for process in self._processes:
            process.join()


def sweep_rate(policy: Any, env_id: str, sizes: Sequence[int], episodes: int, workers: int) -> float:
    started = time.perf_counter()
    rows = evaluate_resize_sweep(policy, env_id, sizes, episodes, seed=0, n_workers=workers)
    return sum(row.length for row in rows) / (time.perf_counter() - started)


def sb3_rate(policy: Any, env_id: str, sizes: Sequence[int], episodes: int, n_envs: int) -> float:
    """Evaluate size after size by SB3's ``evaluate_policy``, the policy as an ordinary one."""
    venv = make_vec_env(env_id, n_envs, seed=0)
    steps, started = 0, time.perf_counter()
    for size in sizes:
        _, lengths = evaluate_policy(
            policy.discretize(size), venv, episodes, return_episode_rewards=True
        )
        steps += sum(lengths)  # type: ignore[arg-type]
    rate = steps / (time.perf_counter() - started)
    venv.close()
    return rate


def sweeping(rounds: int, cores: int, raw_seconds: float) -> Iterator[Row]:
    for env_id in (CHEETAH, ACROBOT):
        policy = student(env_id)
        sides: dict[str, Callable[[], float]] = {
            "sweep": lambda p=policy, e=env_id: sweep_rate(p, e, SIZES, 30, cores),  # type: ignore[misc]
            "one": lambda p=policy, e=env_id: sweep_rate(p, e, (100, 30), 30, 1),  # type: ignore[misc]
            "sb3": lambda p=policy, e=env_id: sb3_rate(p, e, (100, 30), 1, 1),  # type: ignore[misc]
            "sb3 of 15": lambda p=policy, e=env_id: sb3_rate(p, e, (100, 30), 30, 15),  # type: ignore[misc]
        }
        loops = RawLoop(env_id, cores, raw_seconds), RawLoop(env_id, 1, raw_seconds)
        rates: dict[str, list[float]] = {name: [] for name in (*sides, "raw", "raw one")}
        sides["sweep"]()  # starts the workers
        for loop in loops:
            loop.rate()
        for _ in range(rounds):
            rates["raw"].append(loops[0].rate())
            rates["sweep"].append(sides["sweep"]())
            rates["raw one"].append(loops[1].rate())
            for name in ("one", "sb3", "sb3 of 15"):
                rates[name].append(sides[name]())
        for loop in loops:
            loop.stop()
        for what, ours, peer, bound in (
            (
                f"sweep, {cores} processes : raw env.step loop on {cores}",
                "sweep",
                "raw",
                RAW_BOUNDS[env_id],
            ),
            ("sweep, 1 process : raw env.step loop on 1", "one", "raw one", None),
            (f"sweep, {cores} processes : evaluate_policy per size", "sweep", "sb3", SB3_BOUND),
            (f"sweep, {cores} processes : the same with 15 envs", "sweep", "sb3 of 15", None),
        ):
            yield compared(f"{env_id}: {what}", rates[ours], rates[peer], bound, "steps/s")


def compared(
    what: str, ours: Sequence[float], peer: Sequence[float], bound: float | None, unit: str
) -> Row:
    ratio = statistics.median(a / b for a, b in zip(ours, peer, strict=True))
    medians = (f"{statistics.median(values):,.0f} {unit}" for values in (ours, peer))
    return Row(what, *medians, ratio, bound)


# ---------------------------------------------------------------- cloning


def random_episodes(n_episodes: int) -> list[TrajectoryWithRew]:
    """Return episodes of HalfCheetah under random actions."""
    env = gym.make(CHEETAH)
    env.action_space.seed(0)
    episodes = []
    for number in range(n_episodes):
        observations, actions, rewards = [env.reset(seed=number)[0]], [], []
        for _ in range(EPISODE_STEPS):
            actions.append(env.action_space.sample())
            observation, reward, *_ = env.step(actions[-1])
            observations.append(observation)
            rewards.append(float(reward))
        episodes.append(
            TrajectoryWithRew(
                obs=np.array(observations),
                acts=np.array(actions),
                infos=None,
                terminal=False,
                rews=np.array(rewards),
            )
        )
    return episodes


def as_demonstrations(episodes: Sequence[TrajectoryWithRew]) -> Demonstrations:
    return Demonstrations(
        observations=torch.from_numpy(np.concatenate([np.asarray(e.obs)[:-1] for e in episodes])),
        actions=torch.from_numpy(np.concatenate([e.acts for e in episodes])),
        returns=torch.tensor([float(e.rews.sum()) for e in episodes]),
    )


def stock_trainer(
    policy: ActorCriticPolicy, episodes: Sequence[TrajectoryWithRew], batch_size: int
) -> BC:
    """Return imitation's trainer as its documentation sets it up: with its own data loader."""
    return BC(
        observation_space=policy.observation_space,
        action_space=policy.action_space,
        rng=np.random.default_rng(0),
        policy=policy,
        demonstrations=episodes,
        batch_size=batch_size,
        optimizer_kwargs={"lr": 1e-3},
        device="cpu",
        custom_logger=HierarchicalLogger(Logger(folder=None, output_formats=[])),
    )


def samples_per_second(trainer: BC, n_batches: int) -> float:
    started = time.perf_counter()
    trainer.train(n_batches=n_batches, progress_bar=False)
    return n_batches * trainer.batch_size / (time.perf_counter() - started)


STUDENTS = {
    "plain": ("plain", None),
    "integral": ("integral", None),
    "integral, one size a step": ("integral", RandomSizes(small=0)),
}
"""Kind, and the sizes that it is trained at."""


def our_trainer(label: str, demonstrations: Demonstrations, batch_size: int) -> BC:
    kind, sizes = STUDENTS[label]
    return make_trainer(student(CHEETAH, kind), demonstrations, batch_size=batch_size, sizes=sizes)


def rates_in_turn(trainers: Sequence[BC], rounds: int) -> list[list[float]]:
    """Return the samples per second of each trainer in each round, one after the other."""
    rates: list[list[float]] = [[] for _ in trainers]
    n_batches = 40_000 // trainers[0].batch_size
    for trainer in trainers:
        trainer.policy.set_training_mode(True)
        samples_per_second(trainer, n_batches // 4)
    for _ in range(rounds):
        for rate, trainer in zip(rates, trainers, strict=True):
            rate.append(samples_per_second(trainer, n_batches))
    return rates


def cloning(rounds: int, n_episodes: int) -> Iterator[Row]:
    episodes = random_episodes(n_episodes)
    demonstrations = as_demonstrations(episodes)
    for label, (kind, _) in STUDENTS.items():
        for batch_size, bound in CLONING_BOUNDS.items():
            ours = our_trainer(label, demonstrations, batch_size)
            same_loss = stock_trainer(student(CHEETAH, kind), episodes, batch_size)
            same_loss.loss_calculator = ours.loss_calculator
            all_stock = stock_trainer(student(CHEETAH, kind), episodes, batch_size)
            rates = rates_in_turn((ours, same_loss, all_stock), rounds)
            what = f"cloning, {label}, batch {batch_size}"
            yield compared(f"{what} : stock loader", rates[0], rates[1], bound, "samples/s")
            yield compared(f"{what} : stock loader and loss", rates[0], rates[2], None, "samples/s")
    for batch_size in CLONING_BOUNDS:
        plain, *others = rates_in_turn(
            [our_trainer(label, demonstrations, batch_size) for label in STUDENTS], rounds
        )
        for label, rate in zip(list(STUDENTS)[1:], others, strict=True):
            yield compared(
                f"cloning, {label}, batch {batch_size} : plain", rate, plain, None, "samples/s"
            )


# ---------------------------------------------------------------- memory


def jittered(episodes: Sequence[TrajectoryWithRew], count: int) -> Iterator[TrajectoryWithRew]:
    """Yield as many episodes as wanted, made of real ones by a little noise."""
    rng = np.random.default_rng(0)
    for number in range(count):
        episode = episodes[number % len(episodes)]
        obs = np.asarray(episode.obs)
        noisy = obs + 0.01 * rng.standard_normal(obs.shape)
        yield TrajectoryWithRew(
            obs=noisy, acts=episode.acts, infos=None, terminal=False, rews=episode.rews
        )


def gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def in_own_process(command: str, *arguments: object) -> dict[str, float]:
    """Run a command of this script in a new process, and return what it printed last."""
    done = subprocess.run(
        [sys.executable, __file__, command, *map(str, arguments)],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def memory(transitions: int) -> Iterator[Row]:
    folder = Path(tempfile.mkdtemp(prefix="sb3-integral-benchmark-"))
    try:
        path = folder / "episodes"
        written = in_own_process("write", path, transitions // EPISODE_STEPS)
        size = sum(file.stat().st_size for file in path.iterdir()) / 2**30
        cloned = in_own_process("clone", path)
    finally:
        shutil.rmtree(folder)
    what = f"{transitions / 1e6:g} million transitions"
    yield Row(
        f"peak memory, writing {what}",
        f"{written['gigabytes']:.2f} GiB in {written['seconds']:.0f} s",
        f"{size:.1f} GiB on disk",
        written["gigabytes"],
        None,
    )
    yield Row(
        f"peak memory, loading and cloning {what}, {MEMORY_BATCHES} batches of 1024",
        f"{cloned['gigabytes']:.2f} GiB in {cloned['seconds']:.0f} s",
        f"{cloned['load seconds']:.0f} s of them loading",
        cloned["gigabytes"],
        MEMORY_BOUND,
        lower=True,
    )


@app.command("write", hidden=True)
def write_episodes(path: Path, episodes: int) -> None:
    started = time.perf_counter()
    save_episodes(jittered(random_episodes(20), episodes), path)
    print(json.dumps({"gigabytes": gigabytes(), "seconds": time.perf_counter() - started}))


@app.command("clone", hidden=True)
def clone_episodes(path: Path) -> None:
    torch.set_num_threads(1)
    started = time.perf_counter()
    demonstrations = load_demonstrations(path)
    loaded = time.perf_counter()
    # An epoch's order is drawn at its beginning: later batches need nothing that the first did not.
    trainer = make_trainer(
        student(CHEETAH),
        demonstrations,
        batch_size=1024,
        sizes=RandomSizes(UniformSizes(5, 100)),
    )
    trainer.train(n_batches=MEMORY_BATCHES, progress_bar=False)
    figures = {
        "gigabytes": gigabytes(),
        "seconds": time.perf_counter() - started,
        "load seconds": loaded - started,
    }
    print(json.dumps(figures))


# ---------------------------------------------------------------- the table


@app.callback(invoke_without_command=True)
def benchmark(
    context: typer.Context,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of alternating measurements.")] = 5,
    cores: Annotated[int, typer.Option(min=1, help="Processes of the sweep and the raw loop.")] = (
        os.cpu_count() or 1
    ),
    raw_seconds: Annotated[float, typer.Option(help="Length of one raw loop.")] = 4.0,
    cloning_episodes: Annotated[int, typer.Option(min=1, help="Episodes to clone.")] = 100,
    transitions: Annotated[
        int, typer.Option(min=1000, help="Transitions for peak memory.")
    ] = 10_000_000,
) -> None:
    """Print speeds against peers, and peak memory, with the bound that each has to keep."""
    if context.invoked_subcommand is not None:
        return
    torch.set_num_threads(1)
    torch.manual_seed(0)
    console, progress = Console(width=150), Console(stderr=True)
    table = Table("what : peer", "ours", "peer", "ratio", "bound", "kept")
    load = os.getloadavg()[0]
    for row in (
        *sweeping(rounds, cores, raw_seconds),
        *cloning(rounds, cloning_episodes),
        *memory(transitions),
    ):
        progress.print(f"{row.what}: {row.ratio:.2f}")
        sign = "≤" if row.lower else "≥"
        bound = "" if row.bound is None else f"{sign} {row.bound:g}"
        table.add_row(row.what, row.ours, row.peer, f"{row.ratio:.2f}", bound, row.verdict())
    console.print(f"torch {torch.__version__}, {cores} processes of one thread, {rounds} rounds")
    console.print(f"load average {load:.1f} at the start, {os.getloadavg()[0]:.1f} at the end")
    console.print(table)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message=".*is out of date.*")
    warnings.filterwarnings("ignore", message="Converting a tensor with requires_grad=True")
    app()
