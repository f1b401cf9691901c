"""Resizing while driving: HalfCheetah with a latency target, while other processes take the processor.

A student with two hidden layers of 1024 drives: large enough that its size decides what a step takes
(four megabytes of weights have to pass through the processor for every action), as a smaller policy's
does on the slower processor that a robot has. It drives three episodes: on the machine as it is, with
the load, and without it again; at full size throughout, and with the driving predictor. The load streams
through arrays of its own, as a camera's pipeline would: it takes caches and memory as well as the
processors.

What is measured is wall time from observation to action. The simulation waits for late actions; with
``--hold-late`` it does not, and the action before holds, as on a robot.

The expert and the student are made if they are not there.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Annotated

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import typer
from rich.console import Console
from rich.table import Table
from stable_baselines3.common.env_util import make_vec_env

from sb3_integral import LogUniformSizes
from sb3_integral.deploy import DrivingPredictor
from sb3_integral.deploy.latency import one_thread
from sb3_integral.experiments.stages.expert import ensure_expert, load_expert
from sb3_integral.imitation import (
    RandomSizes,
    StudentArchitecture,
    clone,
    collect_episodes,
    load_demonstrations,
    save_episodes,
)
from sb3_integral.policies import IntegralActorCriticPolicy
from sb3_integral.policies.serialization import load_policy, save_policy

ALGO = "trpo"
WIDTH = 1024
NARROW = 256
SMALLEST = 64
EPISODES = 24
PHASES = ("before", "load", "after")
DRIVERS = ("full size", "driving")
COLOURS = {"full size": "#D55E00", "driving": "#0072B2"}


def prepare(folder: Path, experts: Path, env_id: str, console: Console) -> IntegralActorCriticPolicy:
    """Return a student that was cloned at random sizes."""
    venv = make_vec_env(env_id, 8, seed=0)
    student = folder / "student.safetensors"
    if not student.exists():
        console.print(f"an expert of hyperparams/{ALGO}.yml, trained if it is not there")
        ensure_expert(experts, env_id, ALGO, Path(f"hyperparams/{ALGO}.yml"))
        expert = load_expert(experts, env_id, ALGO, venv)
        console.print(f"cloning it into a student of {NARROW} x {NARROW}, and growing that, once")
        episodes = collect_episodes(
            lambda observations, _state, _start: (expert.predict(observations)[0], None),
            venv,
            EPISODES,
            np.random.default_rng(0),
        )
        save_episodes(episodes, folder / "episodes")
        demonstrations = load_demonstrations(folder / "episodes")
        spaces = venv.observation_space, venv.action_space
        # Even partitions, for only along these is a finer sampling of the same functions wanted.
        narrow_architecture = StudentArchitecture("integral", (NARROW, NARROW), nested=False)
        narrow = narrow_architecture.build(*spaces, seed=0)
        clone(narrow, demonstrations, n_epochs=60, sizes=RandomSizes(LogUniformSizes(SMALLEST, NARROW)))
        # Functions can be sampled more finely than they were trained: the wide student starts where the
        # narrow one ended, and learns what its larger grid adds. Wide from the beginning takes hours.
        architecture = StudentArchitecture(
            "integral", hidden_sizes=(WIDTH, WIDTH), standardize=False, nested=False
        )
        wide = architecture.build(*spaces, seed=0)
        wide.load_state_dict(wide.state_dict() | narrow.discretize(WIDTH).state_dict())
        sizes = RandomSizes(LogUniformSizes(SMALLEST, WIDTH))
        clone(wide, demonstrations, n_epochs=5, learning_rate=1e-4, sizes=sizes)
        save_policy(wide, student)
    loaded = load_policy(student, venv.observation_space, venv.action_space)
    assert isinstance(loaded, IntegralActorCriticPolicy)
    return loaded


def _stream(busy: Event, megabytes: int, deadline: float) -> None:
    """Copy an array again and again while the event is set, and end at the deadline whatever happens."""
    source = np.ones(megabytes * 2**17)
    target = np.empty_like(source)
    while time.monotonic() < deadline:
        if busy.is_set():
            np.multiply(source, 1.5, out=target)
        else:
            time.sleep(0.005)


@contextmanager
def load(processes: int, megabytes: int, seconds: float) -> Iterator[Event]:
    """Give an event that turns a load on and off inside the block; it lives for so long at most."""
    context = multiprocessing.get_context("spawn")
    busy = context.Event()
    deadline = time.monotonic() + seconds
    workers = [
        context.Process(target=_stream, args=(busy, megabytes, deadline), daemon=True)
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    try:
        yield busy
    finally:
        busy.clear()
        for worker in workers:
            worker.terminate()
            worker.join()


def drive(
    driver: DrivingPredictor, env_id: str, busy: Event, seed: int, hold_late: bool
) -> pd.DataFrame:
    """Drive an episode in each phase, and return a row for every step."""
    env = gym.make(env_id)
    rows = []
    for number, phase in enumerate(PHASES):
        if phase == "load":
            busy.set()
        else:
            busy.clear()
        observation, _ = env.reset(seed=seed + number)
        before = np.zeros(env.action_space.shape, np.float32)  # type: ignore[arg-type]
        done = False
        while not done:
            action, _ = driver.predict(observation)
            step = driver.record[-1]
            if hold_late and step.latency_us > driver.target_us:
                action = before
            before = action
            observation, reward, terminated, truncated, _ = env.step(action)
            done = terminated or truncated
            rows.append((phase, step.seconds, step.sizes[0], step.latency_us, float(reward)))
    busy.clear()
    env.close()
    return pd.DataFrame(rows, columns=["phase", "seconds", "size", "latency_us", "reward"])


def plot(path: Path, steps: pd.DataFrame, target_us: float) -> None:
    """Plot size, latency and reward over the steps of the first round."""
    figure, axes = plt.subplots(3, 1, figsize=(9, 7), dpi=120, sharex=True, layout="constrained")
    first = steps[steps["round"] == 0]
    for driver, own in first.groupby("driver", sort=False):
        number = np.arange(len(own))
        colour = COLOURS[str(driver)]
        axes[0].plot(number, own["size"], color=colour, label=driver)
        axes[1].plot(number, own["latency_us"], ".", color=colour, markersize=2, alpha=0.5, label=driver)
        smooth = own["reward"].rolling(50, min_periods=1).mean()
        axes[2].plot(number, smooth, color=colour, label=driver, linewidth=1)
        middle = number[own["phase"] == "load"]
    for one in axes:
        one.axvspan(middle[0], middle[-1], color="0.92", zorder=0)
        one.spines[["top", "right"]].set_visible(False)
    axes[1].axhline(target_us, color="0.3", linewidth=0.8, linestyle="--")
    axes[1].set_yscale("log")
    axes[0].set(
        ylabel="neurons in each\nhidden layer, N", title="other processes take the processor (grey)"
    )
    axes[1].set(ylabel="observation to\naction, µs")
    axes[2].set(ylabel="reward of a step,\nmean of 50", xlabel="step")
    axes[0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def main(
    env_id: Annotated[str, typer.Option("--env", help="The environment.")] = "HalfCheetah-v4",
    experts: Annotated[
        Path, typer.Option(help="rl-zoo3's log folder, with the expert in trpo/<env>_1.")
    ] = Path("runs/experts"),
    folder: Annotated[Path, typer.Option(help="Where student and plot are kept.")] = Path(
        "runs/drive_under_load"
    ),
    target_us: Annotated[
        float | None,
        typer.Option(help="The target; 2.5 times what full size takes when idle by default."),
    ] = None,
    processes: Annotated[
        int, typer.Option(help="Processes of the load.", show_default="two per core")
    ] = 2 * (os.cpu_count() or 1),
    megabytes: Annotated[int, typer.Option(help="What each of them streams through.")] = 64,
    rounds: Annotated[int, typer.Option(help="Times three episodes with each driver.")] = 3,
    hold_late: Annotated[bool, typer.Option(help="A late action is not taken.")] = False,
    limit_s: Annotated[float, typer.Option(help="The load ends after so many seconds.")] = 600.0,
) -> None:
    """Print how many steps were within the target, and the reward lost; write the plot."""
    console = Console(width=110)
    policy = prepare(folder, experts, env_id, console)
    with one_thread(), load(processes, megabytes, limit_s) as busy:
        idle = DrivingPredictor(policy, 1e9, sizes=[WIDTH]).idle_us[0]
        target = 2.5 * idle if target_us is None else target_us
        drivers = {
            "full size": DrivingPredictor(policy, target, sizes=[WIDTH]),
            "driving": DrivingPredictor(policy, target),
        }
        sizes = ", ".join(
            f"{one[0]}: {us:.0f}"
            for one, us in zip(drivers["driving"].ladder, drivers["driving"].idle_us, strict=True)
        )
        console.print(
            f"µs at each size when idle: {sizes}; target {target:.0f} µs; {processes} processes load"
        )
        parts = []
        for number in range(rounds):
            for name, driver in drivers.items():
                steps = drive(driver, env_id, busy, 1000 * number, hold_late)
                parts.append(steps.assign(driver=name, round=number))
    everything = pd.concat(parts, ignore_index=True)
    everything["within"] = everything["latency_us"] <= target
    table = Table(
        "phase",
        "driver",
        "steps",
        "within the target",
        "median µs",
        "95 % µs",
        "99 % µs",
        "mean N",
        "return",
    )
    for phase in PHASES:
        for name in DRIVERS:
            own = everything[(everything["phase"] == phase) & (everything["driver"] == name)]
            median, p95, p99 = own["latency_us"].quantile([0.5, 0.95, 0.99])
            table.add_row(
                phase, name, f"{len(own):,}", f"{own['within'].mean():.1%}",
                f"{median:.0f}", f"{p95:.0f}", f"{p99:.0f}", f"{own['size'].mean():.0f}",
                f"{own['reward'].sum() / rounds:.0f}",
            )  # fmt: skip
    console.print(table)
    loaded = everything[everything["phase"] == "load"]
    within = loaded.groupby("driver")["within"].mean()
    returns = loaded.groupby("driver")["reward"].sum() / rounds
    lost = returns["full size"] - returns["driving"]
    console.print(
        f"under load: driving keeps {within['driving']:.1%} of its steps within {target:.0f} µs, "
        f"full size {within['full size']:.1%};\nreward lost: {lost:.0f} of {returns['full size']:.0f} "
        f"per episode ({lost / abs(returns['full size']):.1%})"
    )
    picture = folder / "drive_under_load.png"
    plot(picture, everything, target)
    console.print(f"plot: {picture}")


if __name__ == "__main__":
    typer.run(main)
