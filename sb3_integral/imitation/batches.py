"""Ready tensors as batches: what ``bc.BC`` takes in place of its own, slower, data loader."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from imitation.data.types import DictObs
from torch import Tensor

from sb3_integral.imitation.demonstrations import Demonstrations
from sb3_integral.imitation.observations import Observations, map_observations


@dataclass(frozen=True)
class TensorBatches:
    """All transitions in a new random order at each pass; the incomplete last batch is left out.

    Args:
        demonstrations: Where the transitions come from.
        batch_size: Transitions in a batch.
        generator: Draws the order.

    Raises:
        ValueError: If there are fewer transitions than a batch holds.
    """

    demonstrations: Demonstrations
    batch_size: int
    generator: torch.Generator

    def __post_init__(self) -> None:
        """Check the batch size."""
        available = len(self.demonstrations)
        if not 1 <= self.batch_size <= available:
            raise ValueError(
                f"batch_size must be from 1 to {available}, the number of transitions, "
                f"got {self.batch_size}"
            )

    def __len__(self) -> int:
        """Number of batches in a pass."""
        return len(self.demonstrations) // self.batch_size

    @cached_property
    def _observations(self) -> Observations:
        # SB3's policies convert every batch to this; once is enough.
        return map_observations(
            self.demonstrations.observations,
            lambda part: part.float() if part.is_floating_point() else part,
        )

    def __iter__(self) -> Iterator[dict[str, Tensor | DictObs]]:
        """Yield batches as imitation names them: ``obs`` (fractions as float32) and ``acts``."""
        actions = self.demonstrations.actions
        order = torch.randperm(len(actions), generator=self.generator)
        for chosen in order[: len(self) * self.batch_size].view(len(self), self.batch_size):
            take = partial(Tensor.index_select, dim=0, index=chosen)
            obs = map_observations(self._observations, take)
            # imitation knows how many steps there are in a DictObs, not in a dictionary of tensors.
            batch = (
                DictObs({name: part.numpy() for name, part in obs.items()})
                if isinstance(obs, dict)
                else obs
            )
            yield {"obs": batch, "acts": take(actions)}
