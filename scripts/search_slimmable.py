"""The best training of a slimmable network, looked for as the integral student's own was.

Every candidate clones the same demonstrations by the same loss, optimiser and steps. It is measured at
each size: by the squared error after clipping, on transitions that it did not see, and by its return.
All candidates have weights that nest and no weights of their own for a scale, which is what makes a
network slimmable. The integral student is measured with them.

    sb3-integral run zoo_configs/halfcheetah.yml --stages 'seed-0/demonstrations'
    python scripts/search_slimmable.py HalfCheetah-v4=runs/halfcheetah-standard/seed-0/demonstrations
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import gymnasium as gym
import pandas as pd
import torch
import typer
from rich.console import Console
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from sb3_integral import LogUniformSizes, PowerLawSizes, UniformSizes, evaluate_resize_sweep
from sb3_integral.experiments.files import EPISODES
from sb3_integral.imitation import (
    CloningConfig,
    Demonstrations,
    RandomSizes,
    Sandwich,
    StudentArchitecture,
    TrainingSizes,
    clone,
    load_demonstrations,
)
from sb3_integral.imitation.losses import actor_output
from sb3_integral.nn import IntegralLayer
from sb3_integral.policies import as_resizable

SIZES = (100, 50, 30, 20, 10, 5)
HELD_OUT = 0.1
BATCH = 256


class Candidate(NamedTuple):
    """A way to train.

    Attributes:
        sizes: At which sizes.
        learning_rate: In place of the default.
        scale_levels: Of the corrections; none makes the student slimmable.
        private_biases: Whether each scale has biases of its own and no weights of its own, as slimmable
            networks have normalisation layers of their own for each width.
    """

    sizes: TrainingSizes | None = None
    learning_rate: float | None = None
    scale_levels: int | tuple[int, ...] = 0
    private_biases: bool = False


UNIFORM, LOG_UNIFORM, POWER = UniformSizes(5, 100), LogUniformSizes(5, 100), PowerLawSizes(5, 100)

CANDIDATES = {
    "sandwich, uniform, distilled": Candidate(Sandwich(UNIFORM)),
    "sandwich, uniform": Candidate(Sandwich(UNIFORM, distill=False)),
    "sandwich, log-uniform, distilled": Candidate(Sandwich(LOG_UNIFORM)),
    "sandwich, log-uniform": Candidate(Sandwich(LOG_UNIFORM, distill=False)),
    "sandwich, four log-uniform": Candidate(Sandwich(LOG_UNIFORM, n_random=4, distill=False)),
    "one size, uniform": Candidate(RandomSizes(UNIFORM, small=0)),
    "one size, log-uniform": Candidate(RandomSizes(LOG_UNIFORM, small=0)),
    "the integral student's sizes": Candidate(RandomSizes(POWER)),
    "the same, three small": Candidate(RandomSizes(POWER, small=3)),
    "the same, log-uniform": Candidate(RandomSizes(LOG_UNIFORM)),
    "the same, half the rate": Candidate(RandomSizes(POWER), learning_rate=0.5),
    "the same, twice the rate": Candidate(RandomSizes(POWER), learning_rate=2.0),
    "the same, biases of each scale": Candidate(RandomSizes(POWER), scale_levels=9, private_biases=True),
}
"""Found by hand: which sizes are drawn, how many in a step, distillation, rate (as a factor), biases."""

REFERENCES = {
    "integral student (the default)": Candidate(RandomSizes(POWER), scale_levels=9),
    "integral student, sandwich, log-uniform": Candidate(
        Sandwich(LOG_UNIFORM, distill=False), scale_levels=9
    ),
    "integral student, sandwich, six log-uniform": Candidate(
        Sandwich(LOG_UNIFORM, n_random=6, distill=False), scale_levels=9
    ),
}
"""What is no candidate, and is measured with them."""


def main(
    demonstrations: Annotated[
        list[str], typer.Argument(help="ENVIRONMENT=FOLDER of a stage's demonstrations.")
    ],
    seeds: Annotated[list[int], typer.Option("--seed", help="Can be repeated.")] = [0, 1],  # noqa: B006
    steps: Annotated[int, typer.Option(help="Steps of each training.")] = 8000,
    only: Annotated[
        list[str] | None, typer.Option(help="A candidate's name; all by default. Can be repeated.")
    ] = None,
    episodes: Annotated[int, typer.Option(help="For the return at each size.")] = 20,
    out: Annotated[Path, typer.Option(help="CSV; what is there already is kept.")] = Path(
        "results/search/slimmable.csv"
    ),
) -> None:
    """Train every candidate, and print them from best to worst."""
    done = pd.read_csv(out) if out.exists() else pd.DataFrame(columns=["env", "candidate", "seed"])
    for given in demonstrations:
        env_id, _, folder = given.partition("=")
        taught, held_out = _split(load_demonstrations(Path(folder) / EPISODES))
        for name, candidate in (CANDIDATES | REFERENCES).items():
            if only and name not in only:
                continue
            for seed in seeds:
                if ((done[["env", "candidate", "seed"]] == [env_id, name, seed]).all(axis=1)).any():
                    continue
                student = _trained(env_id, candidate, taught, steps, seed)
                rows = pd.DataFrame({"env": env_id, "candidate": name, "seed": seed, "n_hidden": SIZES})
                rows["error"] = _errors(student, held_out)
                sweep = evaluate_resize_sweep(as_resizable(student), env_id, SIZES, episodes, seed=seed)
                returns = pd.DataFrame(sweep).groupby("size")["episode_return"].mean()
                rows["return_mean"] = rows["n_hidden"].map(returns)
                done = pd.concat([done, rows], ignore_index=True)
                out.parent.mkdir(parents=True, exist_ok=True)
                done.to_csv(out, index=False)
    for what in ("error", "return_mean"):
        Console().print(f"{what}, in units of the best candidate at full size", relative(done, what))


def relative(runs: pd.DataFrame, what: str) -> str:
    """Return a table of a measure at each size, in units of the best at full size, and of its mean."""
    means = runs.groupby(["candidate", "env", "n_hidden"])[what].mean().unstack("candidate")
    full = means.xs(SIZES[0], level="n_hidden")
    best = full.min(axis=1) if what == "error" else full.max(axis=1)
    by_size = means.div(best, axis=0, level="env").groupby("n_hidden").mean().T[list(SIZES)]
    by_size["all"] = by_size.mean(axis=1)
    ordered = by_size.sort_values("all", ascending=what == "error")
    return str(ordered.to_string(float_format="%.3f"))


def _split(demonstrations: Demonstrations) -> tuple[Demonstrations, Demonstrations]:
    """Return what is taught and what is held out: the last episodes, which no student sees."""
    cut = round(len(demonstrations) * (1.0 - HELD_OUT))
    observations, actions = demonstrations.observations, demonstrations.actions
    assert isinstance(observations, Tensor)
    return (
        dataclasses.replace(demonstrations, observations=observations[:cut], actions=actions[:cut]),
        dataclasses.replace(demonstrations, observations=observations[cut:], actions=actions[cut:]),
    )


def _trained(
    env_id: str, candidate: Candidate, taught: Demonstrations, steps: int, seed: int
) -> ActorCriticPolicy:
    """Train a candidate."""
    torch.set_num_threads(1)
    with gym.make(env_id) as env:
        observation_space, action_space = env.observation_space, env.action_space
    architecture = StudentArchitecture("integral", scale_levels=candidate.scale_levels)
    student = architecture.build(observation_space, action_space, seed)
    if candidate.private_biases:
        _share_weights(student)
    settings: dict[str, Any] = {"sizes": candidate.sizes, "seed": seed, "batch_size": BATCH}
    if candidate.learning_rate is not None:
        settings["learning_rate"] = candidate.learning_rate * CloningConfig().learning_rate
    n_epochs = max(1, round(steps * BATCH / len(taught)))
    return clone(student, taught, n_epochs=n_epochs, **settings)


def _errors(student: ActorCriticPolicy, held_out: Demonstrations) -> list[float]:
    """Return a student's squared error after clipping at each size."""
    space = student.action_space
    assert isinstance(space, gym.spaces.Box)
    low, high = torch.from_numpy(space.low), torch.from_numpy(space.high)
    errors = []
    for size in SIZES:
        with as_resizable(student).resized(size), torch.no_grad():
            acted = actor_output(student, held_out.observations).maximum(low).minimum(high)
            errors.append((acted - held_out.actions).square().mean().item())
    return errors


def _share_weights(student: ActorCriticPolicy) -> None:
    """Keep the corrections of all weights at zero, so that only biases depend on the scale."""
    for layer in student.modules():
        if isinstance(layer, IntegralLayer) and layer.has_corrections:
            for level, shape in zip(layer.corrections.levels, layer.corrections.shapes, strict=True):
                is_bias = torch.zeros_like(level)
                is_bias[shape.numel() :] = 1.0
                level.register_hook(is_bias.mul)


if __name__ == "__main__":
    typer.run(main)
