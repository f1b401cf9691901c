"""Ready tensors as batches: what ``bc.BC`` takes in place of its own, slower, data loader."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from imitation.data.types import DictObs, map_maybe_dict
from torch import Tensor

from sb3_integral.imitation.demonstrations import Demonstrations
from sb3_integral.imitation.observations import Observations


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
        observations: Observations = map_maybe_dict(
            lambda part: part.float() if part.is_floating_point() else part,
            self.demonstrations.observations,
        )
        return observations

    def __iter__(self) -> Iterator[dict[str, Tensor | DictObs]]:
        """Yield batches as imitation names them: ``obs`` (fractions as float32) and ``acts``."""
        actions = self.demonstrations.actions
        order = torch.randperm(len(actions), generator=self.generator)
        for chosen in order[: len(self) * self.batch_size].view(len(self), self.batch_size):
            obs: Any = map_maybe_dict(lambda part: part.index_select(0, chosen), self._observations)  # noqa: B023
            # imitation knows how many steps there are in a DictObs, not in a dictionary of tensors.
            batch = DictObs(map_maybe_dict(Tensor.numpy, obs)) if isinstance(obs, dict) else obs
            yield {"obs": batch, "acts": actions.index_select(0, chosen)}
