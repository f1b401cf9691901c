"""Students compared with the agent in the same episodes, as many as a decision takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats
from stable_baselines3.common.policies import BasePolicy

from sb3_integral.deploy.compress.checkpoints import Checkpoints
from sb3_integral.deploy.compress.teacher import Teacher
from sb3_integral.deploy.sequential import PairedTTest
from sb3_integral.evaluation.actors import Actor
from sb3_integral.evaluation.episodes import MAX_EPISODE_STEPS, episode_seeds

BATCH = 16
"""Episodes between two looks of the test."""

LEAST = 2 * BATCH
"""Episodes before a decision: an agent that falls now and then may not do so in fewer."""

AGENT_EPISODES = 64
"""Episodes from which the agent's mean return is taken."""

AGENT = "agent"
RANDOM = "random"

Verdict = Literal["as good", "worse", "undecided"]


@dataclass(frozen=True)
class Comparison:
    """A student's episodes beside those of the agent from the same seeds.

    Attributes:
        verdict: What the test decided.
        returns: The student's.
        agent_returns: The agent's in the same episodes.
        confidence: Of the interval.
    """

    verdict: Verdict
    returns: tuple[float, ...]
    agent_returns: tuple[float, ...]
    confidence: float

    @property
    def mean(self) -> float:
        """The student's mean return."""
        return float(np.mean(self.returns))

    @property
    def difference(self) -> float:
        """The mean return of the student less that of the agent."""
        return float(np.mean(self.returns) - np.mean(self.agent_returns))

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of the difference, by Student's t over pairs."""
        pairs = np.subtract(self.returns, self.agent_returns)
        error = float(pairs.std(ddof=1)) / math.sqrt(len(pairs))
        half = float(stats.t.ppf(0.5 + self.confidence / 2.0, len(pairs) - 1)) * error
        return self.difference - half, self.difference + half


class Comparer:
    """Plays paired episodes, and remembers all of them.

    Args:
        teacher: The agent and its environments.
        checkpoints: Where returns are kept.
        confidence: Of intervals.
        max_episodes: At most so many for one student, but :data:`LEAST` at least.
        seed: Seeds the episodes.
        max_episode_steps: Steps after which an episode counts as one that never ends.
    """

    def __init__(
        self,
        teacher: Teacher,
        checkpoints: Checkpoints,
        confidence: float,
        max_episodes: int,
        seed: int,
        max_episode_steps: int = MAX_EPISODE_STEPS,
    ) -> None:
        self._teacher = teacher
        self._checkpoints = checkpoints
        self._confidence = confidence
        self._max_episodes = max(LEAST, math.ceil(max_episodes / BATCH) * BATCH)
        self._seeds = episode_seeds(seed, max(self._max_episodes, AGENT_EPISODES))
        self._max_episode_steps = max_episode_steps

    @property
    def episodes(self) -> int:
        """How many episodes were played by anybody."""
        return sum(map(len, self._checkpoints.played.values()))

    def agent(self, count: int) -> list[float]:
        """Return the agent's returns."""
        return self._returns(AGENT, count, self._teacher.agent_returns)

    def random(self, count: int) -> list[float]:
        """Return the returns of random actions."""
        return self._returns(RANDOM, count, self._teacher.random_returns)

    def compare(
        self, name: str, student: BasePolicy | Actor, allowed_loss: float, alpha: float
    ) -> Comparison:
        """Play episodes until it is decided whether a student is as good, or there are no more.

        Args:
            name: Of the student.
            student: An ordinary policy for original observations, or what acts as one.
            allowed_loss: How much lower its mean return may be.
            alpha: How often a decision may be wrong.
        """
        test = PairedTTest(BATCH, first=LEAST)

        def play(seeds: Sequence[int], max_episode_steps: int) -> list[float]:
            return self._teacher.student_returns(student, seeds, max_episode_steps)

        count, decided = 0, None
        while count < self._max_episodes and decided is None:
            count = max(LEAST, count + BATCH)
            returns, reference = self._returns(name, count, play), self.agent(count)
            decided = test.decide(reference, returns, allowed_loss, alpha)
        verdict: Verdict = "undecided" if decided is None else "as good" if decided else "worse"
        return Comparison(verdict, tuple(returns), tuple(reference), self._confidence)

    def _returns(
        self, name: str, count: int, play: Callable[[Sequence[int], int], list[float]]
    ) -> list[float]:
        def between(begin: int, end: int) -> list[float]:
            return play(self._seeds[begin:end], self._max_episode_steps)

        return self._checkpoints.returns(name, count, between, BATCH)
