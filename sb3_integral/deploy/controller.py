"""Which of several sizes to use next, from what the last steps took."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass
class SizeController:
    """Keeps latencies below a target by stepping down and up a ladder of sizes, with hysteresis.

    **Down** when more steps miss the target than may: to the largest size that would meet it with room
    to spare at the slowdown of late, but at least one down. **Up** by one when for ``patience`` steps
    hardly any missed it and the next size would meet it with room to spare. If a size that was gone up
    to has to be left again within its patience, the patience for the next try is doubled; where it
    stayed, the patience is what it was at first.

    The slowdown is the median of latency to idle latency over the last steps: the median, for a pause
    in which the operating system runs somebody else says nothing of the size.

    Args:
        idle_us: Latency of each size while nothing else runs, from the smallest size to the largest.
        target_us: The latency to stay below.
        max_miss_share: Which part of the steps may take longer than the target.
        window: Over how many of the last steps that is watched.
        headroom: Which part of the target a size may be expected to take for it to be chosen.
        patience: Steps without trouble before a larger size is tried.
        max_patience: What patience is doubled up to.

    Attributes:
        place: The place on the ladder of the size to use, from 0, the smallest.

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
        """Check the numbers, and start with the largest size that meets the target when idle."""
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
        """Take in what a step took, and return the place of the size to use for the next."""
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
        """Return the largest place below one whose size would meet the target; 0 if none would."""
        room = self.headroom * self.target_us / slowdown
        return max((lower for lower in range(place) if self.idle_us[lower] <= room), default=0)

    def _change(self, place: int) -> None:
        self.place = place
        self._steps = 0
        self._missed.clear()
        self._slowdowns.clear()
