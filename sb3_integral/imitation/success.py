"""Which episodes of an expert count as successful, and so as demonstrations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from imitation.data.types import TrajectoryWithRew

SuccessCriterion = Callable[[TrajectoryWithRew], bool]
"""Says of a finished episode, with its infos, whether it was a success."""


def any_episode(episode: TrajectoryWithRew) -> bool:
    """Accept every episode."""
    return True


def truncated(episode: TrajectoryWithRew) -> bool:
    """Accept an episode that lasted until its time limit: for tasks that end by falling."""
    assert episode.infos is not None
    return bool(episode.infos[-1].get("TimeLimit.truncated", False))


def terminated(episode: TrajectoryWithRew) -> bool:
    """Accept an episode that ended before its time limit: for tasks that end at the goal."""
    return not truncated(episode)


@dataclass(frozen=True)
class MinReturn:
    """Accept an episode that returned at least a threshold."""

    threshold: float

    def __call__(self, episode: TrajectoryWithRew) -> bool:
        """Compare the sum of rewards."""
        return float(episode.rews.sum()) >= self.threshold


SUCCESS_CRITERIA: dict[str, SuccessCriterion] = {
    "any": any_episode,
    "terminated": terminated,
    "truncated": truncated,
}
"""Criteria that can be named in a configuration."""
