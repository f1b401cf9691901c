"""The commands that take a policy out of the library, and say what that costs."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sb3_integral.cli.console import errors_as_messages, note
from sb3_integral.cli.notes import ActionNames, Meta, ObservationNames
from sb3_integral.cli.options import (
    Method,
    Name,
    PolicyPath,
    Seed,
    WeightsOf,
    argument,
    option,
)

if TYPE_CHECKING:
    from sb3_integral.actor import Notes
    from sb3_integral.actor.quantized import Weights
    from sb3_integral.cli.loading import LoadedPolicy
    from sb3_integral.deploy import OnnxPolicy
    from sb3_integral.deploy.formats import FileOptions
    from sb3_integral.deploy.sources import Loaded

CALIBRATION_STEPS = 1000  # observations from which the ranges of an int8 form are taken


Format = Annotated[Literal["sb3", "onnx", "torch", "c", "safe"], option("What to write; see above.")]
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
        "An environment, which calibrates int8 ONNX and measures what a smaller size costs.",
        show_default="a run's folder knows its own",
    ),
]
Episodes = Annotated[
    int, option("Episodes that measure what a smaller size costs; 0 measures nothing.", min=0)
]


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
    name: Name = "policy",
    weights: WeightsOf = "float32",
    observation_names: ObservationNames = None,
    action_names: ActionNames = None,
    meta: Meta = None,
) -> None:
    """Write a policy as a file: for plain SB3, ONNX, torch or C, or a safe file of this library.

    - **sb3**: a zip that plain Stable-Baselines3 loads
    - **onnx**: the deterministic actor: raw observations in, actions out
    - **torch**: the same for torch.export.load; ends in .pt2
    - **c**: the same as one C99 header that allocates nothing
    - **safe**: the whole policy, still resizable, in a file without pickles

    The normalisation of observations is written too. Files of ONNX, torch and C describe
    themselves; --meta adds to that.

    SB3's zip files are pickles, which can run code: open only files and folders that you trust.
    Nothing but a .zip is read as one.

    Example: `sb3-integral export logs/ppo/Acrobot-v1_1 actor.h --format c --size 30`
    """
    errors = Console(stderr=True)
    status = errors.status("reading and writing") if errors.is_terminal else nullcontext()
    with errors_as_messages(errors), status:
        from sb3_integral.actor import DrawbackWarning
        from sb3_integral.atomic import check_file_target
        from sb3_integral.cli.notes import notes_of
        from sb3_integral.deploy.environment import make_environment
        from sb3_integral.deploy.formats import check_format, write_file
        from sb3_integral.deploy.sources import read_source

        check_file_target(target)
        check_format(target, format, weights)
        loaded = read_source(source, algo, vecnormalize)
        notes = notes_of(env or loaded.env_id, observation_names, action_names, meta)
        check_file_target(target, loaded.files)
        cost = None
        if size is not None:
            loaded, cost = _resized(loaded, size, method, env, episodes)
        elif env is not None:
            make_environment(loaded.policy, env, loaded.normalize).close()
        with warnings.catch_warnings(record=True) as raised:
            warnings.simplefilter("always", DrawbackWarning)
            file_options = _options(loaded, format, weights, algo, env, name, notes)
            written = write_file(format, loaded.source, target, file_options)
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
    for result in earned:
        numbers = (result.mean, float(np.std(result.returns)), result.change, result.standard_error)
        size = str(Path(result.name).stat().st_size)
        table.add_row(escape(result.name), size, *(f"{value:.2f}" for value in numbers))
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
    if any(current < full for current, full in zip(policy.sizes, policy.max_sizes, strict=True)):
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
    full, smaller = (sum(part) / episodes for part in (returns[:episodes], returns[episodes:]))
    return (
        f"mean return over {episodes} episodes of {loaded.env_id}: {smaller:.1f} at "
        f"{format_sizes(sizes)}, {full:.1f} at full size ({format_sizes(policy.max_sizes)})"
    )


def _options(
    loaded: Loaded,
    format: str,
    weights: Weights,
    algo: str | None,
    env: str | None,
    name: str,
    notes: Notes,
) -> FileOptions:
    """Return what a file is besides its policy."""
    from stable_baselines3.common.base_class import BaseAlgorithm

    from sb3_integral.deploy import algorithms, observations_of
    from sb3_integral.deploy.environment import make_environment
    from sb3_integral.deploy.formats import FileOptions

    algorithm = None
    if format == "sb3" and not isinstance(loaded.source, BaseAlgorithm):
        algorithm = algorithms().get(algo or "")
        if algorithm is None:
            known = ", ".join(sorted(algorithms()))
            raise ValueError(f"a policy alone becomes a model of --algo, got {algo}, expected {known}")

    def observe(actor: OnnxPolicy) -> Any:
        return observations_of(actor, make_environment(loaded.policy, env), CALIBRATION_STEPS)

    return FileOptions(
        name, weights, notes, loaded.normalize, algorithm, None if env is None else observe
    )
