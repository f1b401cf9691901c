"""The deterministic actor as a program of torch.export."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecNormalize
from torch.export import Dim, ExportedProgram

from sb3_integral.atomic import atomic_file, check_file_target
from sb3_integral.deploy.actor import DeterministicActor, deterministic_actor, example
from sb3_integral.deploy.plain_sb3 import Source
from sb3_integral.nn import Size


def exported_program(actor: DeterministicActor) -> ExportedProgram:
    """Export an actor for batches of every size."""
    space = actor.observation_space
    batch = {0: Dim("batch", min=1)}
    shapes: Any = dict.fromkeys(space, batch) if isinstance(space, spaces.Dict) else batch
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`isinstance\\(treespec", FutureWarning)  # torch's own
        return torch.export.export(actor, (example(space),), dynamic_shapes=(shapes,))


def export_torch(
    source: Source, path: Path | str, size: Size | None = None, normalize: VecNormalize | None = None
) -> ExportedProgram:
    """Write the deterministic actor as a ``.pt2`` file, atomically.

    ``torch.export.load(path).module()`` then takes observations and gives actions.

    Args:
        source: A model, a policy, or a ResizablePolicy.
        path: The file; torch wants it to end in ``.pt2``.
        size: One integer for all hidden layers, or one for each; that in force by default.
        normalize: Statistics that the policy was trained with; the result acts on raw observations.

    Raises:
        ValueError: As for :func:`~sb3_integral.deploy.actor.deterministic_actor`, or if the file has
            another ending.
    """
    path = Path(path)
    if path.suffix != ".pt2":
        raise ValueError(f"torch reads programs from files that end in .pt2, got {path}")
    check_file_target(path)
    program = exported_program(deterministic_actor(source, size, normalize))
    with atomic_file(path) as partial:
        torch.export.save(program, partial)
    return program
