"""The verbs that take a policy out of the library, and say what that costs."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sb3_integral.cli.console import errors_as_messages, note
from sb3_integral.cli.options import Method, PolicyPath, Seed, argument, option

if TYPE_CHECKING:
    from sb3_integral.cli.loading import LoadedPolicy
    from sb3_integral.deploy.sources import Loaded

CALIBRATION_STEPS = 1000  # observations from which the ranges of an int8 form are taken


Format = Annotated[
    Literal["sb3", "onnx", "onnx-int8", "torch", "c", "safe"], option("What to write; see above.")
]
Size = Annotated[
    str | None,
    option("Hidden size, such as 30, or one per layer: 30x20.", show_default="the current size"),
]
Algorithm = Annotated[
    str | None,
    option(
        "The source's algorithm; for --format sb3 of a policy alone, whose model it becomes.",
        show_default="found out",
    ),
]
Statistics = Annotated[
    Path | None,
    option("Statistics of a zip's observations.", show_default="vecnormalize.pkl in rl-zoo3's places"),
]
EnvId = Annotated[
    str | None,
    option(
        "An environment, which calibrates onnx-int8 and measures what a smaller size costs.",
        show_default="a run's folder knows its own",
    ),
]
Episodes = Annotated[
    int, option("Episodes that measure what a smaller size costs; 0 measures nothing.", min=0)
]


class Export(NamedTuple):
    """A policy at its size, and the settings of the file that it becomes."""

    loaded: Loaded
    target: Path
    algo: str | None
    env: str | None
    name: str


def export(
    source: PolicyPath,
    target: Annotated[Path, argument("The file to write.")],
    format: Format,
    size: Size = None,
    method: Method = None,
    algo: Algorithm = None,
    vecnormalize: Statistics = None,
    env: EnvId = None,
    episodes: Episodes = 10,
    name: Annotated[str, option("How names in the C header begin.")] = "policy",
) -> None:
    """Write a policy as a file: for plain SB3, ONNX, torch or C, or a safe file of this library.

    - **sb3**: a zip that plain Stable-Baselines3 loads
    - **onnx**: the deterministic actor: raw observations in, actions out
    - **onnx-int8**: the same with whole numbers for weights, calibrated in --env
    - **torch**: the same for torch.export.load; ends in .pt2
    - **c**: the same as one C99 header that allocates nothing
    - **safe**: the whole policy, still resizable, in a file without pickles

    The normalisation of observations is part of the file.

    SB3's zip files are pickles, which can run code: open only files and folders that you trust.
    Only files that end in .zip are read so. A safe file cannot run code.

    Example: `sb3-integral export logs/ppo/Acrobot-v1_1 actor.h --format c --size 30`
    """
    errors = Console(stderr=True)
    status = errors.status("reading and writing") if errors.is_terminal else nullcontext()
    with errors_as_messages(errors), status:
        from sb3_integral.actor import DrawbackWarning
        from sb3_integral.atomic import check_file_target
        from sb3_integral.deploy.environment import make_environment
        from sb3_integral.deploy.sources import read_source

        check_file_target(target)
        loaded = read_source(source, algo, vecnormalize)
        check_file_target(target, loaded.files)
        cost = None
        if size is not None:
            loaded, cost = _resized(loaded, size, method, env, episodes)
        elif env is not None:
            make_environment(loaded.policy, env, loaded.normalize).close()
        with warnings.catch_warnings(record=True) as raised:
            warnings.simplefilter("always", DrawbackWarning)
            written = EXPORTERS[format](Export(loaded, target, algo, env, name))
    if cost is not None:
        note(errors, cost)
    for each in raised:
        if issubclass(each.category, DrawbackWarning):
            note(errors, str(each.message))
        else:
            warnings.showwarning(each.message, each.category, each.filename, each.lineno)
    typer.echo(f"{target}: {written}, {target.stat().st_size} bytes")


def rewards(
    actors: Annotated[
        list[Path], argument("ONNX files; the first is what the others are compared with.")
    ],
    env: Annotated[str, option("The environment to act in.")],
    episodes: Annotated[int, option("Episodes for each.", min=1)] = 20,
    seed: Seed = 0,
) -> None:
    """Measure the return of ONNX actors: what int8, or a small size, costs.

    Example: `sb3-integral rewards actor.onnx int8.onnx --env HalfCheetah-v5 --episodes 50`
    """
    with errors_as_messages(Console(stderr=True)):
        import numpy as np
        from stable_baselines3.common.env_util import make_vec_env

        from sb3_integral.deploy import OnnxPolicy, compare_rewards
        from sb3_integral.evaluation.environments import env_factory

        opened = {str(path): OnnxPolicy(path) for path in actors}
        earned = compare_rewards(opened, make_vec_env(env_factory(env)), episodes, seed)
    table = Table("actor", box=SIMPLE)
    for heading in ("bytes", "mean return", "std", "change", "standard error"):
        table.add_column(heading, justify="right")
    for own in earned:
        numbers = (own.mean, float(np.std(own.returns)), own.change, own.standard_error)
        size = str(Path(own.name).stat().st_size)
        table.add_row(escape(own.name), size, *(f"{value:.2f}" for value in numbers))
    Console().print(table)


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
        kind = algorithms().get(job.algo or "")
        if kind is None:
            known = ", ".join(sorted(algorithms()))
            raise ValueError(
                f"a policy alone becomes a model of --algo, got {job.algo}, expected {known}"
            )
    model = export_sb3(source, job.target, normalize=normalize, algorithm=kind)
    clipped = "" if normalize is None else " on raw observations, not clipped as VecNormalize does"
    return f"a model of {type(model).__name__} for plain SB3{clipped}"


def _write_onnx(job: Export) -> str:
    from sb3_integral.deploy import export_onnx

    export_onnx(job.loaded.source, job.target, normalize=job.loaded.normalize)
    return "an ONNX actor, checked in onnxruntime"


def _write_int8(job: Export) -> str:
    from sb3_integral import deploy
    from sb3_integral.deploy.environment import make_environment

    with tempfile.TemporaryDirectory() as folder:
        exact = Path(folder) / "exact.onnx"
        deploy.export_onnx(job.loaded.source, exact, normalize=job.loaded.normalize)
        seen: Any = None
        written = "an ONNX actor in int8 with dynamic ranges (--env calibrates static ones)"
        if job.env is not None:
            venv = make_environment(job.loaded.policy, job.env)
            seen = deploy.observations_of(deploy.OnnxPolicy(exact), venv, CALIBRATION_STEPS)
            written = f"an ONNX actor in int8, calibrated on {CALIBRATION_STEPS} observations"
        deploy.quantize_onnx(exact, job.target, seen)
    return written


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


EXPORTERS: dict[str, Callable[[Export], str]] = {
    "sb3": _write_sb3,
    "onnx": _write_onnx,
    "onnx-int8": _write_int8,
    "torch": _write_torch,
    "c": _write_c,
    "safe": _write_safe,
}
"""The function that writes each format, and returns in words what it wrote."""
