"""The commands that find and use the size that fits: ``fit``, ``smallest`` and ``drive``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from sb3_integral.cli.console import errors_as_messages
from sb3_integral.cli.options import EnvId, Method, PolicyPath, Seed, Sizes, option

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

    from sb3_integral.deploy import DrivingPredictor, SizeTrial


def fit(
    path: PolicyPath,
    max_parameters: Annotated[int | None, option("Most weights and biases.")] = None,
    max_bytes: Annotated[int | None, option("Most bytes that weights and biases take.")] = None,
    max_macs: Annotated[int | None, option("Most multiply-accumulates for an observation.")] = None,
    max_latency_us: Annotated[
        float | None, option("Most microseconds for an observation, on this machine.")
    ] = None,
    min_size: Annotated[str, option("Smallest size allowed: a number, or 8x5 for one per layer.")] = "1",
    env_id: EnvId = None,
    method: Method = None,
) -> None:
    """Find the sizes, layer by layer, that fit a budget.

    The answer is the finest sampling of the policy that meets every limit. Latency
    is measured here, in one thread, so run this on the machine that the policy is for.

    SB3's zip files are pickles, which can run code: open only files that you trust.

    Example: `sb3-integral fit logs/trpo/Acrobot-v1_1 --max-bytes 8000`
    """
    with errors_as_messages(Console(stderr=True)):
        from sb3_integral.cli.loading import load_resizable
        from sb3_integral.deploy import fit_to_budget
        from sb3_integral.nn.sizes import format_sizes, parse_size

        policy = load_resizable(path, env_id, method).policy
        fitted = fit_to_budget(
            policy,
            max_parameters=max_parameters,
            max_bytes=max_bytes,
            max_macs=max_macs,
            max_latency_us=max_latency_us,
            min_size=parse_size(min_size),
        )
    typer.echo(f"the best that fits, of {format_sizes(policy.max_sizes)}, is {fitted}")
    options = f'--size "{format_sizes(fitted.sizes)}"{f" --method {method}" if method else ""}'
    typer.echo(f"to write it: sb3-integral export {shlex.quote(str(path))} FILE --format c {options}")


def smallest(
    path: PolicyPath,
    tolerance: Annotated[float, option("How much mean return may be lost.")],
    confidence: Annotated[float, option("Probability that the answer is right.")] = 0.95,
    return_range: Annotated[
        tuple[float, float] | None,
        option(
            "Smallest and largest return of an episode. With it the confidence is exact, "
            "without it rare failures can go unseen."
        ),
    ] = None,
    sizes: Sizes = None,
    max_episodes: Annotated[int, option("Most episodes at one size.")] = 200,
    n_envs: Annotated[int, option("Environments stepped as one batch.", min=1)] = 8,
    seed: Seed = 0,
    env_id: EnvId = None,
    method: Method = None,
) -> None:
    """Find the smallest size that loses no more return than may be lost.

    It bisects the sizes, and plays more episodes where the answer is not clear.

    SB3's zip files are pickles, which can run code: open only files that you trust.

    Example: `sb3-integral smallest logs/trpo/Acrobot-v1_1 --tolerance 40
    --return-range -500 0 --sizes 48,32,24,16,8`
    """
    with errors_as_messages(Console(stderr=True)):
        from sb3_integral.cli.loading import load_resizable
        from sb3_integral.deploy import smallest_size
        from sb3_integral.nn.sizes import format_sizes, parse_sizes

        loaded = load_resizable(path, env_id, method)
        venv = loaded.environment(n_envs, seed)
        found = smallest_size(
            loaded.policy,
            venv,
            tolerance,
            confidence,
            return_range=return_range,
            sizes=None if sizes is None else parse_sizes(sizes),
            max_episodes=max_episodes,
            seed=seed,
            on_trial_end=_print_trial,
        )
        venv.close()
    certainty = "a size was settled by the means: more episodes (--max-episodes) would make it certain"
    if found.is_certain:
        certainty = f"{confidence:.0%} confidence"
    typer.echo(
        f"the smallest within {tolerance:g} of full size ({format_sizes(found.full.sizes)}: mean return "
        f"{found.full.mean_return:.1f} over {found.full.episodes} episodes) is "
        f"{format_sizes(found.sizes)}; {found.episodes} episodes; {certainty}"
    )


def drive(
    path: PolicyPath,
    target_us: Annotated[float, option("Longest time from observation to action, in microseconds.")],
    steps: Annotated[int, option("Steps to drive.", min=1)] = 1000,
    sizes: Sizes = None,
    seed: Seed = 0,
    env_id: EnvId = None,
    method: Method = None,
) -> None:
    """Drive an environment at the largest size that keeps a latency, and report the latencies.

    The size changes between steps, with the load of the machine.

    SB3's zip files are pickles, which can run code: open only files that you trust.

    Example: `sb3-integral drive logs/trpo/HalfCheetah-v4_1 --target-us 30`
    """
    with errors_as_messages(Console(stderr=True)):
        from sb3_integral.cli.loading import load_resizable
        from sb3_integral.deploy import DrivingPredictor
        from sb3_integral.deploy.latency import one_thread
        from sb3_integral.nn.sizes import parse_sizes
        from sb3_integral.policies.masking import takes_action_masks

        loaded = load_resizable(path, env_id, method)
        venv = loaded.environment(1, seed)
        with one_thread():
            ladder = None if sizes is None else parse_sizes(sizes)
            driver = DrivingPredictor(loaded.policy, target_us, ladder, max_steps_kept=steps)
            returns = _drive(driver, venv, steps, takes_action_masks(loaded.policy))
        venv.close()
    within = _print_latencies(driver, target_us)
    episodes = f"{len(returns)} {'episode' if len(returns) == 1 else 'episodes'}"
    mean = f"mean return {sum(returns) / len(returns):.1f} over {episodes}" if returns else ""
    typer.echo(f"{within:.1%} of {steps} steps within {target_us:g} µs; {mean or 'no episode ended'}")


def _print_trial(trial: SizeTrial) -> None:
    from sb3_integral.nn.sizes import format_sizes

    typer.echo(
        f"{format_sizes(trial.sizes)}: mean return {trial.mean_return:.1f} "
        f"over {trial.episodes} episodes, {trial.verdict}"
    )


def _drive(driver: DrivingPredictor, venv: VecEnv, steps: int, is_masked: bool) -> list[float]:
    """Drive one environment for some steps, and return the returns of the episodes that ended."""
    from sb3_integral.policies.masking import action_masks

    observation = venv.reset()
    returns, running = [], 0.0
    for _ in range(steps):
        masks = action_masks(venv) if is_masked else None
        action, _ = driver.predict(observation, action_masks=masks)  # type: ignore[arg-type]
        observation, rewards, dones, _ = venv.step(action)
        running += float(rewards[0])
        if dones[0]:
            returns.append(running)
            running = 0.0
    return returns


def _print_latencies(driver: DrivingPredictor, target_us: float) -> float:
    """Print a row for each size, and return the share of steps that kept the target."""
    import numpy as np

    from sb3_integral.nn.sizes import format_sizes

    taken = np.array([step.latency_us for step in driver.record])
    table = Table("size", "idle, µs", "steps", "median, µs", "99 %, µs", "within", box=SIMPLE)
    for sizes, idle in zip(reversed(driver.ladder), reversed(driver.idle_us), strict=True):
        latencies = taken[[step.sizes == sizes for step in driver.record]]
        figures = []
        if len(latencies):
            median, last = np.quantile(latencies, [0.5, 0.99])
            figures = [f"{median:.1f}", f"{last:.1f}", f"{np.mean(latencies <= target_us):.1%}"]
        table.add_row(format_sizes(sizes), f"{idle:.1f}", str(len(latencies)), *figures)
    Console().print(table)
    return float(np.mean(taken <= target_us))
