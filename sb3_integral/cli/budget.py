"""The verbs that find and use the size that fits: ``fit``, ``smallest`` and ``drive``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from sb3_integral.cli.console import fail

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

    from sb3_integral.cli.opening import OpenedPolicy

Result = TypeVar("Result")

PolicyPath = Annotated[
    Path,
    typer.Argument(
        help="A zip file of SB3, a run's folder of rl-zoo3, or a student's file (.safetensors).",
        show_default=False,
    ),
]
EnvId = Annotated[
    str | None,
    typer.Option(
        "--env",
        help="The environment; a run's folder knows its own.",
        show_default=False,
    ),
]
Method = Annotated[
    str | None,
    typer.Option(help="How a policy that is not integral is resized.", show_default="the best one"),
]
Sizes = Annotated[
    str | None,
    typer.Option(
        help="Sizes, such as 64,32,16; 64x32 has a size for each layer.",
        show_default=False,
    ),
]
MinSize = Annotated[str, typer.Option(help="Smallest size allowed: a number, or 8x5 for one per layer.")]


def fit(
    path: PolicyPath,
    max_parameters: Annotated[
        int | None, typer.Option(help="Most weights and biases.", show_default=False)
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option(help="Most bytes that they take.", show_default=False)
    ] = None,
    max_macs: Annotated[
        int | None,
        typer.Option(help="Most multiply-accumulates for an observation.", show_default=False),
    ] = None,
    max_latency_us: Annotated[
        float | None,
        typer.Option(help="Most microseconds for an observation, on this machine.", show_default=False),
    ] = None,
    min_size: MinSize = "1",
    env_id: EnvId = None,
    method: Method = None,
) -> None:
    """Find the sizes, layer by layer, that fit a budget.

    The answer is the finest sampling of the policy that meets every limit. Latency
    is measured here, in one thread, so run this on the machine that the policy is for.

    SB3's zip files are pickles: read none of a stranger's.

    Example: [bold]sb3-integral fit logs/trpo/Acrobot-v1_1 --max-bytes 8000[/]
    """
    from sb3_integral.deploy import fit_to_budget

    opened = _opened(path, env_id, method)
    fitted = _or_fail(
        lambda: fit_to_budget(
            opened.policy,
            max_parameters=max_parameters,
            max_bytes=max_bytes,
            max_macs=max_macs,
            max_latency_us=max_latency_us,
            min_size=_size(min_size),
        )
    )
    full = opened.policy.max_sizes
    typer.echo(f"the best that fits, of {' x '.join(map(str, full))}, is {fitted}")


def smallest(
    path: PolicyPath,
    tolerance: Annotated[
        float, typer.Option(help="How much mean return may be lost.", show_default=False)
    ],
    confidence: Annotated[float, typer.Option(help="How often decisions have to be right.")] = 0.95,
    return_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            help="Smallest and largest return of an episode. With it the confidence is exact, "
            "without it rare failures can go unseen.",
            show_default=False,
        ),
    ] = None,
    sizes: Sizes = None,
    max_episodes: Annotated[int, typer.Option(help="Most episodes at one size.")] = 200,
    n_envs: Annotated[int, typer.Option(min=1, help="Environments stepped as one batch.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the episodes.")] = 0,
    env_id: EnvId = None,
    method: Method = None,
) -> None:
    """Find the smallest size that loses no more return than may be lost.

    Sizes are bisected, with more episodes where it is undecided.

    SB3's zip files are pickles: read none of a stranger's.

    Example: [bold]sb3-integral smallest logs/trpo/Acrobot-v1_1 --tolerance 40
    --return-range -500 0 --sizes 48,32,24,16,8[/]
    """
    from sb3_integral.deploy import SizeTrial, smallest_size

    opened = _opened(path, env_id, method)
    venv = _environment(opened, n_envs, seed)

    def say(trial: SizeTrial) -> None:
        typer.echo(
            f"{_text(trial.sizes)}: mean return {trial.mean_return:.1f} over {trial.episodes} episodes, "
            f"{trial.verdict}"
        )

    found = _or_fail(
        lambda: smallest_size(
            opened.policy,
            venv,
            tolerance,
            confidence,
            return_range=return_range,
            sizes=_all_sizes(sizes),
            max_episodes=max_episodes,
            seed=seed,
            on_trial_end=say,
        )
    )
    venv.close()
    typer.echo(
        f"the smallest within {tolerance:g} of full size ({_text(found.full.sizes)}: mean return "
        f"{found.full.mean_return:.1f} over {found.full.episodes} episodes) is {_text(found.sizes)}; "
        f"{found.episodes} episodes; "
        + (
            f"{confidence:.0%} confidence"
            if found.is_certain
            else "a size was settled by the means: more episodes (--max-episodes) would make it certain"
        )
    )


def drive(
    path: PolicyPath,
    target_us: Annotated[
        float,
        typer.Option(help="Microseconds from observation to action to keep.", show_default=False),
    ],
    steps: Annotated[int, typer.Option(min=1, help="Steps to drive.")] = 1000,
    sizes: Sizes = None,
    seed: Annotated[int, typer.Option(help="Of the environment.")] = 0,
    env_id: EnvId = None,
    method: Method = None,
) -> None:
    """Drive an environment at the size that keeps a latency, and report the latencies.

    The size changes between steps, with the load of the machine.

    SB3's zip files are pickles: read none of a stranger's.

    Example: [bold]sb3-integral drive logs/trpo/HalfCheetah-v4_1 --target-us 30[/]
    """
    import numpy as np

    from sb3_integral.deploy import DrivingPredictor
    from sb3_integral.deploy.latency import one_thread
    from sb3_integral.policies.masking import action_masks, takes_action_masks

    opened = _opened(path, env_id, method)
    venv = _environment(opened, 1, seed)
    is_masked = takes_action_masks(opened.policy)
    with one_thread():
        driver = _or_fail(
            lambda: DrivingPredictor(opened.policy, target_us, _all_sizes(sizes), max_steps_kept=steps)
        )
        observation = venv.reset()
        assert isinstance(observation, np.ndarray)
        returns, running = [], 0.0
        for _ in range(steps):
            masks = action_masks(venv) if is_masked else None
            action, _ = driver.predict(observation, action_masks=masks)
            observation, rewards, dones, _ = venv.step(action)
            assert isinstance(observation, np.ndarray)
            running += float(rewards[0])
            if dones[0]:
                returns.append(running)
                running = 0.0
    venv.close()
    taken = np.array([step.latency_us for step in driver.record])
    table = Table("size", "idle, µs", "steps", "median, µs", "99 %, µs", "within", box=SIMPLE)
    for ladder_sizes, idle in zip(reversed(driver.ladder), reversed(driver.idle_us), strict=True):
        own = taken[[step.sizes == ladder_sizes for step in driver.record]]
        figures = ["", "", ""]
        if len(own):
            figures = [
                f"{np.median(own):.1f}",
                f"{np.quantile(own, 0.99):.1f}",
                f"{np.mean(own <= target_us):.1%}",
            ]
        table.add_row(_text(ladder_sizes), f"{idle:.1f}", str(len(own)), *figures)
    Console().print(table)
    finished = (
        f"mean return {np.mean(returns):.1f} over {len(returns)} episodes"
        if returns
        else "no episode ended"
    )
    typer.echo(
        f"{np.mean(taken <= target_us):.1%} of {len(taken)} steps within {target_us:g} µs; {finished}"
    )


def _opened(path: Path, env_id: str | None, method: str | None) -> OpenedPolicy:
    from sb3_integral.cli.opening import open_policy

    return _or_fail(lambda: open_policy(path, env_id, method))


def _environment(opened: OpenedPolicy, n_envs: int, seed: int) -> VecEnv:
    from stable_baselines3.common.env_util import make_vec_env

    from sb3_integral.evaluation import evaluation_env
    from sb3_integral.evaluation.environments import env_factory

    if opened.env_id is None:
        fail(Console(stderr=True), "the file does not say its environment, expected --env <environment>")
    env_id = opened.env_id

    def make() -> VecEnv:
        venv = opened.normalized(make_vec_env(env_factory(env_id), n_envs, seed=seed))
        return cast("VecEnv", evaluation_env(opened.policy, venv))

    return _or_fail(make)


def _or_fail(call: Callable[[], Result]) -> Result:
    """Call, and turn an error that the user can mend into a message."""
    try:
        return call()
    except (ValueError, ImportError) as error:
        fail(Console(stderr=True), str(error))


def _all_sizes(text: str | None) -> list[Any] | None:
    return None if text is None else [_size(one) for one in text.split(",")]


def _size(text: str) -> int | list[int]:
    try:
        sizes = [int(part) for part in text.split("x")]
    except ValueError:
        fail(Console(stderr=True), f"a size is a number, or one per layer as in 64x32, got {text!r}")
    return sizes[0] if len(sizes) == 1 else sizes


def _text(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))
