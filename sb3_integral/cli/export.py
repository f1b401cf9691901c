"""The verbs that take a policy out of the library, and say what that costs."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sb3_integral.cli.console import fail

if TYPE_CHECKING:
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


def export(
    source: Annotated[
        Path, typer.Argument(help="A zip of SB3, a run's folder of rl-zoo3, or a safe file.")
    ],
    target: Annotated[Path, typer.Argument(help="The file to write.")],
    format: Annotated[Format, typer.Option(help="What to write; see above.")],
    size: Annotated[
        str | None,
        typer.Option(help="Hidden size, such as 30, or one per layer: 30,20.", show_default="in force"),
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
        typer.Option(help="An environment: calibrates onnx-int8; gives the spaces of a student's file."),
    ] = None,
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

    SB3's zips are pickles: open none of a stranger's, and no folder of theirs.
    Only folders, and what ends in .zip, are read as such. A safe file cannot
    run anything.

    Example: [bold]sb3-integral export logs/ppo/Acrobot-v1_1 actor.h --format c --size 30[/]
    """
    errors = Console(stderr=True)
    if not source.is_dir() and target.exists() and target.samefile(source):
        fail(errors, f"{target} is the source itself, expected another file to write")
    with errors.status("reading and writing") if errors.is_terminal else Console(quiet=True).status(""):
        try:
            loaded = _read(source, algo, vecnormalize, env)
            written = _write(loaded, target, format, size, method, algo, env, name)
        except (ValueError, ImportError) as error:
            fail(errors, str(error))
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
    errors = Console(stderr=True)
    table = Table(box=SIMPLE)
    for heading in ("actor", "bytes", "mean return", "std", "change", "standard error"):
        table.add_column(heading, justify="left" if heading == "actor" else "right")
    try:
        from sb3_integral.deploy import OnnxPolicy, compare_rewards

        opened = {str(path): OnnxPolicy(path) for path in actors}
        earned = compare_rewards(opened, _environment(env), episodes, seed)
    except (ValueError, ImportError) as error:
        fail(errors, str(error))
    for own in earned:
        std = (sum((value - own.mean) ** 2 for value in own.returns) / len(own.returns)) ** 0.5
        numbers = (own.mean, std, own.change, own.standard_error)
        size = str(Path(own.name).stat().st_size)
        table.add_row(escape(own.name), size, *(f"{value:.2f}" for value in numbers))
    Console().print(table)


def _read(source: Path, algo: str | None, vecnormalize: Path | None, env: str | None) -> Loaded:
    from sb3_integral.deploy.sources import read_source

    if env is None:
        return read_source(source, algo, vecnormalize)
    venv = _environment(env)
    is_safe = not source.is_dir() and source.suffix != ".zip"
    given = (venv.observation_space, venv.action_space) if is_safe else ()
    return read_source(source, algo, vecnormalize, *given)


def _write(
    loaded: Loaded,
    target: Path,
    format: Format,
    size: str | None,
    method: str | None,
    algo: str | None,
    env: str | None,
    name: str,
) -> str:
    """Write the file, and return in words what it is."""
    from stable_baselines3.common.base_class import BaseAlgorithm

    from sb3_integral import ResizablePolicy, deploy
    from sb3_integral.deploy.sources import algorithms
    from sb3_integral.policies import IntegralPolicy
    from sb3_integral.resize import DEFAULT_METHOD

    source, normalize, method = loaded.source, loaded.normalize, method or DEFAULT_METHOD
    sizes = None if size is None else _sizes(size)
    policy: Any = source.policy if isinstance(source, BaseAlgorithm) else source
    is_integral = isinstance(policy, IntegralPolicy)
    if format is Format.safe:
        if is_integral and sizes is not None:
            policy.resize(sizes)
        elif sizes is not None:
            policy = ResizablePolicy(policy, method).discretize(sizes)
        deploy.save_policy(deploy.fold_normalization(policy, normalize), target)
        return f"a safe file of the policy {type(policy).__name__}"
    if is_integral:
        policy.resize(policy.sizes if sizes is None else sizes)
    elif sizes is not None:
        if isinstance(source, BaseAlgorithm):
            source.policy = ResizablePolicy(policy, method).discretize(sizes)
            policy = source.policy
        else:
            source = policy = ResizablePolicy(policy, method).discretize(sizes)
    if format is Format.sb3:
        kind = None
        if not isinstance(source, BaseAlgorithm):
            if algo not in algorithms():
                known = ", ".join(sorted(algorithms()))
                raise ValueError(
                    f"a policy alone becomes a model of --algo, got {algo}, expected {known}"
                )
            kind = algorithms()[algo]
        model = deploy.export_sb3(source, target, normalize=normalize, algorithm=kind)
        clipped = "" if normalize is None else " on raw observations, not clipped as VecNormalize does"
        return f"a model of {type(model).__name__} for plain SB3{clipped}"
    if format is Format.torch:
        deploy.export_torch(source, target, normalize=normalize)
        return "a program for torch.export.load"
    if format is Format.c:
        deploy.export_c(source, target, name, normalize=normalize)
        return f"a C99 header with {name}_act"
    if format is Format.onnx:
        deploy.export_onnx(source, target, normalize=normalize)
        return "an ONNX actor, checked in onnxruntime"
    return _write_int8(loaded, target, env)


def _write_int8(loaded: Loaded, target: Path, env: str | None) -> str:
    import tempfile
    import warnings

    from sb3_integral import deploy

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as drawbacks:
        warnings.simplefilter("always", UserWarning)
        exact = deploy.export_onnx(
            loaded.source, Path(folder) / "exact.onnx", normalize=loaded.normalize
        )
        if env is None:
            deploy.quantize_onnx(exact, target)
            written = "an ONNX actor in int8 with dynamic ranges (--env calibrates static ones)"
        else:
            venv = _environment(env)
            seen = deploy.observations_of(deploy.OnnxPolicy(exact), venv, CALIBRATION_STEPS)
            deploy.quantize_onnx(exact, target, seen)
            written = f"an ONNX actor in int8, calibrated on {CALIBRATION_STEPS} observations"
    notes = [str(own.message) for own in drawbacks if issubclass(own.category, deploy.DrawbackWarning)]
    return "; ".join([written, *notes])


def _sizes(text: str) -> int | tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"expected a size such as 30, or one per layer such as 30,20, got {text}"
        ) from None
    return sizes[0] if len(sizes) == 1 else sizes


def _environment(env: str) -> Any:
    import gymnasium as gym
    from stable_baselines3.common.env_util import make_vec_env

    try:
        return make_vec_env(env)
    except gym.error.Error as error:
        raise ValueError(f"the environment {env!r} cannot be made: {error}") from error
