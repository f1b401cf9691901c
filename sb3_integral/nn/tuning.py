"""Grid tuning: learning where a smaller network is sampled.

The only step of resizing that looks at data. Everything but the points is frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from sb3_integral.nn.axis import Axis

Batch = TypeVar("Batch")


def tune_partitions(
    network: nn.Module,
    axes: Iterable[Axis],
    batches: Iterable[Batch],
    loss: Callable[[nn.Module, Batch], Tensor],
    learning_rate: float = 0.01,
) -> list[float]:
    """Learn where axes are sampled at their current sizes, and keep the points.

    Args:
        network: The network to evaluate; its parameters are not changed.
        axes: The axes to tune; those of fewer than three samples have nothing to learn.
        batches: Data, such as a few hundred batches of demonstrations; each is used once.
        loss: Takes the network and a batch to a scalar.
        learning_rate: Learning rate of Adam.

    Returns:
        The loss of each batch.

    Raises:
        ValueError: If no axis has three samples, or if a quadrature has points of its own.
    """
    tuned = [axis for axis in axes if axis.size >= 3]
    if not tuned:
        raise ValueError("expected an axis of at least 3 samples: the two ends stay where they are")
    for axis in tuned:
        axis.quadrature.weights(axis.points * (1 - 1e-3))
    frozen = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    losses = []
    try:
        points = [p for axis in tuned for p in axis.start_tuning().parameters()]
        optimizer = torch.optim.Adam(points, lr=learning_rate)
        for batch in batches:
            value = loss(network, batch)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            losses.append(float(value.detach()))
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
        for axis in tuned:
            axis.stop_tuning()
    return losses
