"""The choice of the next size, from the latencies of the last steps."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass
class SizeController:
    """Keeps latencies below a target by choosing from several sizes, with hysteresis.

    It goes **down** when more steps miss the target than allowed: to the largest size that is expected
    to meet the target with headroom, at least one size down. It goes **up** by one size when hardly any
    of ``patience`` steps missed the target and the next size is expected to meet it with headroom. If it
    has to leave that size within its patience, the patience for the next try doubles. A size is expected
    to take its idle latency times the median of recent latencies' ratios to idle ones.

    Args:
        idle_us: The latency of each size while nothing else runs, in microseconds, smallest size first.
        target_us: The latency to stay below, in microseconds.
        max_miss_share: The share of the last ``window`` steps that may take longer than the target.
        window: The number of these steps.
        headroom: The largest share of the target that a chosen size is expected to take.
        patience: Steps without too many misses before a larger size is tried.
        max_patience: The largest patience after doubling.

    Attributes:
        place: The index of the size to use; 0 is the smallest.

    Raises:
        ValueError: If a number is out of range.
    """

    idle_us: Sequence[float]
    target_us: float
    max_miss_share: float = 0.05
    window: int = 20
    headroom: float = 0.8
    patience: int = 50
    max_patience: int = 1600
    place: int = field(init=False)

    def __post_init__(self) -> None:
        """Check the numbers and start with the largest size that meets the target when idle."""
        if not self.idle_us or not all(0.0 < idle < math.inf for idle in self.idle_us):
            raise ValueError(f"idle latencies must be positive numbers, got {list(self.idle_us)}")
        if not 0.0 < self.target_us < math.inf:
            raise ValueError(f"target_us must be a positive number, got {self.target_us}")
        if not 0.0 <= self.max_miss_share < 1.0:
            raise ValueError(f"max_miss_share must be from 0 to 1, got {self.max_miss_share}")
        if not 0.0 < self.headroom <= 1.0:
            raise ValueError(f"headroom must be above 0 and at most 1, got {self.headroom}")
        if not self.window >= 1 or not 1 <= self.patience <= self.max_patience:
            raise ValueError(
                f"window and patience must be at least 1, and max_patience no less than patience, "
                f"got {self.window}, {self.patience} and {self.max_patience}"
            )
        self._missed: deque[bool] = deque(maxlen=self.window)
        self._slowdowns: deque[float] = deque(maxlen=self.window)
        self._allowed = self.max_miss_share * self.window
        self._steps = 0  # since the last change
        self._patience = self.patience
        self._went_up = False
        self.place = self._largest_below(len(self.idle_us), 1.0)

    def record(self, latency_us: float) -> int:
        """Record the latency of a step in microseconds and return the index of the next size."""
        self._missed.append(latency_us > self.target_us)
        self._slowdowns.append(latency_us / self.idle_us[self.place])
        self._steps += 1
        misses = sum(self._missed)
        if misses > self._allowed:
            if self.place > 0:
                self._go_down()
        elif self._went_up and self._steps > self._patience:
            self._went_up = False
            self._patience = self.patience
        elif self._steps >= self._patience and self.place + 1 < len(self.idle_us):
            expected = self.idle_us[self.place + 1] * median(self._slowdowns)
            if expected <= self.headroom * self.target_us:
                self._change(self.place + 1)
                self._went_up = True
        return self.place

    def _go_down(self) -> None:
        if self._went_up:
            self._patience = min(2 * self._patience, self.max_patience)
        self._went_up = False
        self._change(self._largest_below(self.place, median(self._slowdowns)))

    def _largest_below(self, place: int, slowdown: float) -> int:
        """Return the largest index below ``place`` whose size would meet the target; 0 if none would."""
        room = self.headroom * self.target_us / slowdown
        return max((lower for lower in range(place) if self.idle_us[lower] <= room), default=0)

    def _change(self, place: int) -> None:
        self.place = place
        self._steps = 0
        self._missed.clear()
        self._slowdowns.clear()
