"""Speed of the integral engine against plain torch: one run, one thread, alternating pairs.

Absolute times drift on shared machines; quote the ratios, which are medians over pairs.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import torch
import typer
from gymnasium import spaces
from rich.console import Console
from rich.table import Table
from stable_baselines3 import PPO
from torch import Tensor, nn
from torch.nn import functional as F

from sb3_integral.imitation.integral_losses import LossAtSizes
from sb3_integral.imitation.losses import LossCalculator, clipped_loss
from sb3_integral.imitation.students import StudentArchitecture
from sb3_integral.imitation.training_sizes import FullSize, sizes_for
from sb3_integral.nn import IntegralMLP, axis_matrices, convert, shortest_path

FEATURES = (17, 100, 100, 6)
STUDENT_WIDTHS = (64, 100, 256, 512, 1024)
STUDENT_BATCHES = (64, 256, 1024)
ROLLOUT_STEPS = 2048
BATCHES = (32, 64, 256, 1024, 4096)
SMALLEST, LARGEST = 5, 100
Step = Callable[[], object]


def plain_mlp(hidden: int = LARGEST) -> nn.Sequential:
    n_in, _, _, n_out = FEATURES
    return nn.Sequential(
        nn.Linear(n_in, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, n_out),
    )


def integral_mlp() -> IntegralMLP:
    n_in, *hidden, n_out = FEATURES
    return IntegralMLP(n_in, hidden, n_out)


def training_step(network: nn.Module, batch: int, before: Step | None = None) -> Step:
    """Return a whole step: forward, MSE, backward, Adam."""
    inputs, targets = torch.randn(batch, FEATURES[0]), torch.randn(batch, FEATURES[-1])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step() -> None:
        if before is not None:
            before()
        loss = F.mse_loss(network(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def seconds(step: Step, repetitions: int) -> float:
    started = time.perf_counter()
    for _ in range(repetitions):
        step()
    return (time.perf_counter() - started) / repetitions


def compare(steps: dict[str, Step], repetitions: int, pairs: int) -> dict[str, tuple[float, float]]:
    """Return each step's median time in µs, and the median over rounds of its ratio to the first."""
    for step in steps.values():
        seconds(step, max(repetitions // 2, 3))
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(pairs):
        for name, step in steps.items():
            times[name].append(seconds(step, repetitions))
    first = next(iter(times.values()))
    return {
        name: (
            statistics.median(own) * 1e6,
            statistics.median(a / b for a, b in zip(own, first, strict=True)),
        )
        for name, own in times.items()
    }


def training(console: Console, pairs: int) -> None:
    sizes = random.Random(0)
    table = Table("batch", "plain µs", "full size µs", "random size µs", "full ratio", "random ratio")
    for batch in BATCHES:
        resized = integral_mlp()
        steps = {
            "plain": training_step(plain_mlp(), batch),
            "full": training_step(integral_mlp(), batch),
            "random": training_step(
                resized, batch, lambda net=resized: net.resize(sizes.randint(SMALLEST, LARGEST))
            ),
        }
        for size in range(SMALLEST, LARGEST + 1):  # every size is seen before it is timed
            resized.resize(size)(torch.zeros(1, FEATURES[0]))
        result = compare(steps, max(10, min(100, 100 * 256 // batch)), pairs)
        table.add_row(
            str(batch),
            *(f"{result[name][0]:.0f}" for name in steps),
            *(f"{result[name][1]:.2f}" for name in ("full", "random")),
        )
    console.print("\nA whole training step (Adam, MSE), 17-100-100-6, ratios to plain nn.Linear")
    console.print(table)


def resizing(console: Console, pairs: int) -> None:
    network = integral_mlp().eval()
    inputs = torch.zeros(1, FEATURES[0])

    def seen() -> None:
        network.resize(50 + seen.turn)  # type: ignore[attr-defined]
        seen.turn = 1 - seen.turn  # type: ignore[attr-defined]

    seen.turn = 0  # type: ignore[attr-defined]
    seen_us = statistics.median(seconds(seen, 100) for _ in range(pairs)) * 1e6
    first_use = []
    for size in range(SMALLEST, LARGEST):
        axis_matrices.cache_clear()
        fresh = integral_mlp().eval()
        with torch.no_grad():
            fresh(inputs)
            started = time.perf_counter()
            fresh.resize(size)
            fresh(inputs)
            first_use.append(time.perf_counter() - started)
    console.print(f"\nresize to a size seen before: {seen_us:.1f} µs")
    console.print(
        "resize to a new size, matrices and the first forward included: "
        f"{statistics.median(first_use) * 1e6:.0f} µs"
    )


def inference(console: Console, pairs: int) -> None:
    table = Table("N", "plain µs", "integral µs", "ratio")
    inputs = torch.randn(1, FEATURES[0])
    for size in (100, 50, 20, 5):
        plain, integral = plain_mlp(size).eval(), integral_mlp().resize(size).eval()

        def run(network: nn.Module) -> Callable[[], Tensor]:
            return lambda: network(inputs)

        with torch.no_grad():
            result = compare({"plain": run(plain), "integral": run(integral)}, 500, pairs)
        table.add_row(
            str(size),
            *(f"{result[name][0]:.1f}" for name in ("plain", "integral")),
            f"{result['integral'][1]:.3f}",
        )
    console.print("\nA resized network in evaluation mode at batch 1, ratio to plain of that size")
    console.print(table)


def student_step(
    kind: Literal["integral", "plain"], width: int, batch: int, scale_levels: int | None = None
) -> Step:
    """Return a whole step of cloning with the default student: loss, backward, Adam as the trainer's."""
    observations = spaces.Box(-np.inf, np.inf, (FEATURES[0],), np.float32)
    actions = spaces.Box(-1.0, 1.0, (FEATURES[-1],), np.float32)
    architecture = StudentArchitecture(kind, hidden_sizes=(width, width), scale_levels=scale_levels)
    student = architecture.build(observations, actions, seed=0)
    loss: LossCalculator = clipped_loss(actions)
    sizes = sizes_for(student, None)
    if not isinstance(sizes, FullSize):
        loss = LossAtSizes(loss, sizes, np.random.default_rng(0))
    obs, acts = torch.randn(batch, FEATURES[0]), 2 * torch.rand(batch, FEATURES[-1]) - 1
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        loss(student, obs, acts).loss.backward()
        optimizer.step()

    return step


def students(console: Console, pairs: int) -> None:
    table = Table("width", "batch", "plain µs", "default µs", "ratio", "ratio without corrections")
    for width in STUDENT_WIDTHS:
        for batch in STUDENT_BATCHES:
            steps = {
                "plain": student_step("plain", width, batch),
                "default": student_step("integral", width, batch),
                "uncorrected": student_step("integral", width, batch, scale_levels=0),
            }
            work = width * width * batch
            result = compare(steps, max(3, min(60, 60 * 100 * 100 * 256 // work)), pairs)
            table.add_row(
                str(width),
                str(batch),
                *(f"{result[name][0]:.0f}" for name in ("plain", "default")),
                *(f"{result[name][1]:.2f}" for name in ("default", "uncorrected")),
            )
    console.print(
        "\nA step of cloning with the default student (nested, corrections, seven sizes in every step), "
        "ratio to the plain student"
    )
    console.print(table)


def ppo_update(policy: str, size: int | None = None) -> Step:
    """Return PPO's update on one rollout: ten epochs in batches of 64, SB3's defaults."""
    model = PPO(policy, "Pendulum-v1", n_steps=ROLLOUT_STEPS, seed=0, device="cpu")
    model.learn(ROLLOUT_STEPS)
    if size is not None:
        model.policy.resize(size)
    return model.train


def ppo(console: Console, pairs: int) -> None:
    steps = {
        "plain": ppo_update("MlpPolicy"),
        "integral at 64, its full size": ppo_update("IntegralMlpPolicy"),
        "integral at 32": ppo_update("IntegralMlpPolicy", 32),
    }
    result = compare(steps, 1, pairs)
    table = Table("policy", "ms", "ratio")
    for name, (microseconds, ratio) in result.items():
        table.add_row(name, f"{microseconds / 1e3:.0f}", f"{ratio:.2f}")
    console.print(f"\nPPO's update on {ROLLOUT_STEPS} steps of Pendulum-v1, ratio to MlpPolicy")
    console.print(table)


def ordering(console: Console) -> None:
    vectors = torch.randn(100, 120, generator=torch.Generator().manual_seed(0))

    def length(order: Tensor) -> float:
        return float(vectors[order].diff(dim=0).abs().sum())

    shortest_path(vectors[:5])
    started = time.perf_counter()
    found = length(shortest_path(vectors))
    elapsed = time.perf_counter() - started
    best = length(shortest_path(vectors, seconds=3.0))
    console.print(
        f"\nordering 100 vectors of 120 dimensions: {elapsed:.2f} s, "
        f"{100 * (found / best - 1):.3f} % longer than the best of 3 s "
        f"(as given: {length(torch.arange(100)) / best:.3f} times)"
    )
    plain = plain_mlp()
    started = time.perf_counter()
    converted = convert(plain)
    elapsed = time.perf_counter() - started
    inputs = torch.randn(256, FEATURES[0])
    difference = (converted.network(inputs) - plain(inputs)).abs().max() / plain(inputs).abs().max()
    console.print(f"converting 17-100-100-6: {elapsed:.2f} s, relative difference {difference:.1e}")


def main(
    pairs: Annotated[int, typer.Option(help="Rounds of alternating measurements.")] = 15,
) -> None:
    """Print medians and ratios of training, resizing, inference, students, PPO and conversion."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    console = Console(width=110)
    console.print(f"torch {torch.__version__}, 1 thread, {pairs} rounds")
    training(console, pairs)
    resizing(console, pairs)
    inference(console, pairs)
    students(console, pairs)
    ppo(console, pairs)
    ordering(console)


if __name__ == "__main__":
    typer.run(main)
