"""The verbs that take a policy out of the library, and say what that costs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sb3_integral.cli.console import errors_as_messages, note

if TYPE_CHECKING:
    from sb3_integral.cli.loading import LoadedPolicy
    from sb3_integral.deploy.sources import Loaded

CALIBRATION_STEPS = 1000
"""Observations from which the ranges of an int8 form are taken."""


class Format(str, Enum):
    """What a policy can be exported as."""

    sb3 = "sb3"
    onnx = "onnx"
    onnx_int8 = "onnx-int8"
    torch = "torch"
    c = "c"
    safe = "safe"


@dataclass(frozen=True)
class Export:
    """What is to be written.

    Attributes:
        loaded: The policy, at its size.
        target: The file.
        algo: The algorithm whose model a policy alone becomes.
        env: An environment to calibrate in.
        name: How names in C begin.
    """

    loaded: Loaded
    target: Path
    algo: str | None
    env: str | None
    name: str


def export(
    source: Annotated[Path, typer.Argument(help="A zip of SB3, a safe file, or the folder of a run.")],
    target: Annotated[Path, typer.Argument(help="The file to write.")],
    format: Annotated[Format, typer.Option(help="What to write; see above.")],
    size: Annotated[
        str | None,
        typer.Option(
            help="Hidden size, such as 30, or one per layer: 30x20.", show_default="the current size"
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="How a plain policy is resized; integral ones resize themselves.",
            show_default="the best one",
        ),
    ] = None,
    algo: Annotated[
        str | None,
        typer.Option(
            help="The source's algorithm; for --format sb3 of a policy alone, whose model it becomes.",
            show_default="found out",
        ),
    ] = None,
    vecnormalize: Annotated[
        Path | None,
        typer.Option(
            help="Statistics of a zip's observations.",
            show_default="vecnormalize.pkl in rl-zoo3's places",
        ),
    ] = None,
    env: Annotated[
        str | None,
        typer.Option(
            help="An environment, which calibrates onnx-int8 and measures what a smaller size costs.",
            show_default="a run's folder knows its own",
        ),
    ] = None,
    episodes: Annotated[
        int,
        typer.Option(min=0, help="Episodes that measure what a smaller size costs; 0 measures nothing."),
    ] = 10,
    name: Annotated[str, typer.Option(help="How names in the C header begin.")] = "policy",
) -> None:
    """Write a policy as a file that needs nothing from here.

    [bold]sb3[/]        a zip that plain Stable-Baselines3 loads
    [bold]onnx[/]       the deterministic actor: raw observations in, actions out
    [bold]onnx-int8[/]  the same with whole numbers for weights, calibrated in --env
    [bold]torch[/]      the same for torch.export.load; ends in .pt2
    [bold]c[/]          the same as one C99 header that allocates nothing
    [bold]safe[/]       the whole policy, still resizable, in a file without pickles

    Normalisation of observations goes along.

    SB3's zip files are pickles, which can run code: open only files and folders
    that you trust. Nothing but a .zip is read as one. A safe file cannot run anything.

    Example: [bold]sb3-integral export logs/ppo/Acrobot-v1_1 actor.h --format c --size 30[/]
    """
    errors = Console(stderr=True)
    with errors_as_messages(errors), _status(errors, "reading and writing"):
        from sb3_integral.atomic import check_file_target
        from sb3_integral.deploy.environment import make_environment
        from sb3_integral.deploy.sources import read_source
        from sb3_integral.policies.saved_files import model_file

        if check_file_target(target) == model_file(source).resolve():
            raise ValueError(f"{target} is the source itself, expected another file to write")
        loaded = read_source(source, algo, vecnormalize)
        cost = None
        if size is not None:
            loaded, cost = _resized(loaded, size, method, env, episodes)
        elif env is not None:
            make_environment(loaded.policy, env, loaded.normalize).close()
        written = EXPORTERS[format](Export(loaded, target, algo, env, name))
    if cost is not None:
        note(errors, cost)
    typer.echo(f"{target}: {written}, {target.stat().st_size} bytes")


def rewards(
    actors: Annotated[
        list[Path], typer.Argument(help="ONNX files; the first is what the others are compared with.")
    ],
    env: Annotated[str, typer.Option(help="The environment to act in.")],
    episodes: Annotated[int, typer.Option(min=1, help="Episodes for each.")] = 20,
    seed: Annotated[int, typer.Option(help="Seeds the environment.")] = 0,
) -> None:
    """Measure what ONNX actors earn: the reward that int8, or a small size, costs.

    Example: [bold]sb3-integral rewards actor.onnx int8.onnx --env HalfCheetah-v5 --episodes 50[/]
    """
    with errors_as_messages(Console(stderr=True)):
        from stable_baselines3.common.env_util import make_vec_env

        from sb3_integral.deploy import OnnxPolicy, compare_rewards
        from sb3_integral.evaluation.environments import env_factory

        opened = {str(path): OnnxPolicy(path) for path in actors}
        earned = compare_rewards(opened, make_vec_env(env_factory(env)), episodes, seed)
    table = Table(box=SIMPLE)
    for heading in ("actor", "bytes", "mean return", "std", "change", "standard error"):
        table.add_column(heading, justify="left" if heading == "actor" else "right")
    for own in earned:
        std = (sum((value - own.mean) ** 2 for value in own.returns) / len(own.returns)) ** 0.5
        numbers = (own.mean, std, own.change, own.standard_error)
        size = str(Path(own.name).stat().st_size)
        table.add_row(escape(own.name), size, *(f"{value:.2f}" for value in numbers))
    Console().print(table)


def _status(console: Console, text: str) -> Any:
    return console.status(text) if console.is_terminal else nullcontext()


def _resized(
    loaded: Loaded, size: str, method: str | None, env: str | None, episodes: int
) -> tuple[Loaded, str | None]:
    """Return a policy at another size, and what that size costs where it is a smaller one."""
    from sb3_integral.cli.loading import LoadedPolicy
    from sb3_integral.nn.sizes import parse_size
    from sb3_integral.policies import as_resizable
    from sb3_integral.resize import DEFAULT_METHOD

    policy = as_resizable(loaded.source, method or DEFAULT_METHOD).resize(parse_size(size))
    resizable = LoadedPolicy(policy, env or loaded.env_id, loaded.normalize)
    cost = None
    if any(own < full for own, full in zip(policy.sizes, policy.max_sizes, strict=True)):
        cost = _cost(resizable, policy.sizes, episodes)
    return loaded.with_policy(policy), cost


def _cost(loaded: LoadedPolicy, sizes: tuple[int, ...], episodes: int) -> str:
    """Measure the mean return of a size and of full size, and say both."""
    from sb3_integral.evaluation import evaluate_resize_sweep
    from sb3_integral.nn.sizes import format_sizes

    policy = loaded.policy
    if loaded.env_id is None or not episodes:
        return (
            f"what {format_sizes(sizes)} of {format_sizes(policy.max_sizes)} costs was not measured: "
            f"--env measures it, and `sb3-integral smallest` finds a size that costs little"
        )
    venv = loaded.environment(1, seed=0)
    rows = evaluate_resize_sweep(policy, venv, [policy.max_sizes, sizes], episodes, seed=0, warn=False)
    venv.close()
    returns = [row.episode_return for row in rows]
    full, own = (sum(part) / episodes for part in (returns[:episodes], returns[episodes:]))
    return (
        f"mean return over {episodes} episodes of {loaded.env_id}: {own:.1f} at {format_sizes(sizes)}, "
        f"{full:.1f} at full size ({format_sizes(policy.max_sizes)})"
    )


def _write_sb3(job: Export) -> str:
    from stable_baselines3.common.base_class import BaseAlgorithm

    from sb3_integral.deploy import algorithms, export_sb3

    source, normalize = job.loaded.source, job.loaded.normalize
    kind = None
    if not isinstance(source, BaseAlgorithm):
        if job.algo not in algorithms():
            known = ", ".join(sorted(algorithms()))
            raise ValueError(
                f"a policy alone becomes a model of --algo, got {job.algo}, expected {known}"
            )
        kind = algorithms()[job.algo]
    model = export_sb3(source, job.target, normalize=normalize, algorithm=kind)
    clipped = "" if normalize is None else " on raw observations, not clipped as VecNormalize does"
    return f"a model of {type(model).__name__} for plain SB3{clipped}"


def _write_onnx(job: Export) -> str:
    from sb3_integral.deploy import export_onnx

    export_onnx(job.loaded.source, job.target, normalize=job.loaded.normalize)
    return "an ONNX actor, checked in onnxruntime"


def _write_int8(job: Export) -> str:
    import tempfile
    import warnings

    from sb3_integral import deploy
    from sb3_integral.deploy.environment import make_environment

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as drawbacks:
        warnings.simplefilter("always", UserWarning)
        exact = Path(folder) / "exact.onnx"
        deploy.export_onnx(job.loaded.source, exact, normalize=job.loaded.normalize)
        if job.env is None:
            deploy.quantize_onnx(exact, job.target)
            written = "an ONNX actor in int8 with dynamic ranges (--env calibrates static ones)"
        else:
            venv = make_environment(job.loaded.policy, job.env)
            seen = deploy.observations_of(deploy.OnnxPolicy(exact), venv, CALIBRATION_STEPS)
            deploy.quantize_onnx(exact, job.target, seen)
            written = f"an ONNX actor in int8, calibrated on {CALIBRATION_STEPS} observations"
    notes = [str(own.message) for own in drawbacks if issubclass(own.category, deploy.DrawbackWarning)]
    return "; ".join([written, *notes])


def _write_torch(job: Export) -> str:
    from sb3_integral.deploy import export_torch

    export_torch(job.loaded.source, job.target, normalize=job.loaded.normalize)
    return "a program for torch.export.load"


def _write_c(job: Export) -> str:
    from sb3_integral.deploy import export_c

    export_c(job.loaded.source, job.target, job.name, normalize=job.loaded.normalize)
    return f"a C99 header with {job.name}_act"


def _write_safe(job: Export) -> str:
    from sb3_integral.deploy import fold_normalization, save_policy

    policy = fold_normalization(job.loaded.policy, job.loaded.normalize)
    save_policy(policy, job.target)
    return f"a safe file of the policy {type(policy).__name__}"


EXPORTERS: dict[Format, Callable[[Export], str]] = {
    Format.sb3: _write_sb3,
    Format.onnx: _write_onnx,
    Format.onnx_int8: _write_int8,
    Format.torch: _write_torch,
    Format.c: _write_c,
    Format.safe: _write_safe,
}
"""What writes each format, and returns in words what it wrote."""
