"""Sizes worth a test: those with the least imitation loss for their number of parameters."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from imitation.data.types import map_maybe_dict
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_integral.deploy.compress.goal import Goal
from sb3_integral.deploy.costs import CostModel, Costs
from sb3_integral.deploy.search import Sizes
from sb3_integral.imitation import LOSSES, Demonstrations
from sb3_integral.imitation.losses import OutputLoss, actor_output
from sb3_integral.policies import as_resizable

PER_LAYER = 18
"""Sizes of each layer that are combined with those of the others."""

MOST_FREE_LAYERS = 3
"""With more layers than these, all have the same share of their full size."""

SMALLEST = 2
"""The smallest size of a layer that is considered."""

SAMPLES = 2_000
"""Observations on which sizes are compared."""


class Candidate(NamedTuple):
    """A size.

    Attributes:
        sizes: One for each layer.
        costs: What it costs.
        loss: Its imitation loss.
    """

    sizes: Sizes
    costs: Costs
    loss: float


def candidates(
    student: ActorCriticPolicy, demonstrations: Demonstrations, goal: Goal
) -> list[Candidate]:
    """Return sizes of which none is both larger and worse than another, the smallest first.

    The full size is among them if it is within the goal's limits.

    Args:
        student: The student, at its full size.
        demonstrations: What it was trained on; some of it is looked at.
        goal: Its limits are kept.

    Raises:
        ValueError: If no size is within the limits.
    """
    resizable = as_resizable(student)
    full = resizable.max_sizes
    costs = CostModel(resizable)
    grid = _grid(full)
    fitting = [(sizes, costs(sizes)) for sizes in grid if goal.fits(costs(sizes))]
    if not fitting:
        smallest = costs(grid[0])
        raise ValueError(
            f"the smallest size has {smallest.parameters} parameters, {smallest.bytes} bytes and "
            f"{smallest.macs} multiply-accumulates, which is above a limit"
        )
    losses = _losses(student, demonstrations, [sizes for sizes, _ in fitting])
    ordered = sorted(
        (Candidate(*pair, loss) for pair, loss in zip(fitting, losses, strict=True)),
        key=lambda one: (one.costs.parameters, one.loss),
    )
    best: list[Candidate] = []
    for candidate in ordered:
        if not best or candidate.loss < best[-1].loss or candidate.sizes == full:
            best.append(candidate)
    return best


def _grid(full: Sizes) -> list[Sizes]:
    """Return the sizes that are considered, the smallest of all layers first."""
    if len(full) > MOST_FREE_LAYERS:
        shares = np.geomspace(min(1.0, SMALLEST / min(full)), 1.0, PER_LAYER)
        return sorted({tuple(round(float(share) * top) for top in full) for share in shares})
    levels = [
        sorted({round(float(size)) for size in np.geomspace(min(SMALLEST, top), top, PER_LAYER)})
        for top in full
    ]
    return list(product(*levels))


@torch.no_grad()
def _losses(
    student: ActorCriticPolicy, demonstrations: Demonstrations, all_sizes: list[Sizes]
) -> list[float]:
    """Return the loss at each size on the same randomly chosen observations."""
    chosen = torch.from_numpy(np.random.default_rng(0).permutation(len(demonstrations))[:SAMPLES])
    observations = map_maybe_dict(lambda part: part[chosen], demonstrations.observations)
    targets = demonstrations.actions[chosen]
    loss = LOSSES["clipped"](student.action_space)
    assert isinstance(loss, OutputLoss)
    if isinstance(student.action_space, spaces.Box):
        std = targets.reshape(len(targets), -1).double().std(dim=0)
        loss = loss.in_units(torch.where(std > 0, std, 1.0))
    error = loss.against(targets)
    resizable = as_resizable(student)
    found = []
    for sizes in all_sizes:
        with resizable.resized(sizes):
            found.append(float(error(actor_output(student, observations))))
    return found
