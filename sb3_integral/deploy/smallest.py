"""The smallest size that performs like the full one, found by sequential tests."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv

from sb3_integral.deploy.search import Sizes
from sb3_integral.deploy.sequential import FIRST_PAIRS, BettingTest, Block, Evidence
from sb3_integral.evaluation import EnvFactory
from sb3_integral.evaluation.episodes import MAX_EPISODE_STEPS, EpisodeRules
from sb3_integral.evaluation.sweep import SizePlayer
from sb3_integral.nn import Size, as_size, as_sizes
from sb3_integral.policies import Resizable

Verdict = Literal["within", "degraded", "probably within", "probably degraded"]
"""Whether a size is within the tolerance; "probably" if the test did not decide and the means did."""

BATCH = 8
"""Episodes between two tests, or as many as the environment has copies if it has more."""


@dataclass(frozen=True)
class SizeTrial:
    """The result of the episodes at one size.

    Attributes:
        sizes: One per layer.
        verdict: Whether the mean return is within the tolerance of the full size's, and how sure.
        episodes: Number of episodes.
        mean_return: Their mean return.
        loss: The mean return of the full size's episodes that were played against these, less theirs.
    """

    sizes: Sizes
    verdict: Verdict
    episodes: int
    mean_return: float
    loss: float


@dataclass(frozen=True)
class SmallestSize:
    """The smallest size within the tolerance, and how it was found.

    Attributes:
        sizes: One per layer; the full size if no smaller one is within.
        full: The episodes at full size.
        trials: The tried sizes, in the order in which they were decided.
        episodes: Number of all episodes.
        confidence: The confidence that was asked for.
        is_certain: Whether all other answers were rejected, so that this one has the confidence.
    """

    sizes: Sizes
    full: SizeTrial
    trials: tuple[SizeTrial, ...]
    episodes: int
    confidence: float
    is_certain: bool


def smallest_size(
    policy: Resizable | BaseAlgorithm,
    env: GymEnv | str | EnvFactory,
    tolerance: float,
    confidence: float = 0.95,
    *,
    return_range: tuple[float, float] | None = None,
    sizes: Sequence[Size] | None = None,
    max_episodes: int = 200,
    deterministic: bool = True,
    seed: int = 0,
    on_trial_end: Callable[[SizeTrial], None] | None = None,
    training_env: VecEnv | None = None,
    max_episode_steps: int = MAX_EPISODE_STEPS,
    use_masking: bool = True,
) -> SmallestSize:
    """Find the smallest size whose mean return is at most ``tolerance`` below the full size's.

    All sizes above some size are taken to be within the tolerance, and all below it not; see
    :class:`_Search` for how it is found. The policy keeps its own size.

    Args:
        policy: As for :func:`~sb3_integral.evaluate_resize_sweep`, like ``env``, ``deterministic``,
            ``training_env``, ``max_episode_steps`` and ``use_masking``.
        env: A vectorised one is stepped as one batch.
        tolerance: How much mean return may be lost.
        confidence: The probability that the answer is right, if it is certain.
        return_range: The smallest and the largest return that an episode can have, such as (-500, 0) for
            Acrobot. With it the confidence holds for all distributions; without it, unless rare failures
            are much worse than all episodes that were seen. A narrow range needs fewer episodes.
        sizes: The sizes to choose from besides the full size, each one integer for all layers or one
            per layer; by default all sizes in proportion to the full one.
        max_episodes: Most episodes at one size. What is undecided then is settled by the means.
        deterministic: Whether the most likely action is taken.
        seed: Seeds the episodes.
        on_trial_end: Called with each trial once its size is decided, or when nothing more is played.
        training_env: The training environment.
        max_episode_steps: Steps after which an episode counts as one that never ends.
        use_masking: Whether masks are used.

    Raises:
        ValueError: If a number is out of range, the policy cannot be resized, the environment is not for
            it, or an episode's return is outside ``return_range``.
        EndlessEpisodeError: If an episode has more than ``max_episode_steps`` steps; a ValueError.
    """
    rules = EpisodeRules(deterministic, max_episode_steps, use_masking, in_order_of_end=False)
    player = SizePlayer.from_env(policy, env, training_env, rules)
    return _Search(
        player,
        _candidates(player.policy.max_sizes, sizes),
        BettingTest(return_range),
        tolerance,
        confidence,
        as_size(max_episodes, "max_episodes"),
        np.random.default_rng(seed),
        on_trial_end,
    ).run()


@dataclass
class _Search:
    """A sequential test that bets against each possible answer.

    If an answer is right, all sizes below it are degraded, and it and those above are within. Its
    gambler bets against that wherever episodes are played; it is rejected once the capital has grown to
    1 / (1 - confidence). This happens to the right answer with a probability of at most 1 - confidence,
    however many sizes are tried and however often one looks.

    Sizes are bisected by their means to guess the answer. Then the guess is played, or the size below
    it, whichever's loss is nearer to the tolerance. All episodes are new ones.
    """

    player: SizePlayer
    candidates: list[Sizes]
    test: BettingTest
    tolerance: float
    confidence: float
    max_episodes: int
    seeds: np.random.Generator
    on_trial_end: Callable[[SizeTrial], None] | None
    blocks: dict[int, list[Block]] = field(default_factory=dict)
    evidence: dict[int, Evidence] = field(default_factory=dict)
    rejected: set[int] = field(default_factory=set)
    trials: dict[int, SizeTrial] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0.0 < self.tolerance < math.inf:
            raise ValueError(f"tolerance must be a positive number, got {self.tolerance}")
        if not 0.0 < self.confidence < 1.0:
            raise ValueError(f"confidence must be between 0 and 1, got {self.confidence}")

    def run(self) -> SmallestSize:
        """Play until one answer is left, or nothing that would decide may be played any more."""
        while True:
            answer = bisect_left(range(len(self.candidates)), True, key=self._is_within)
            undecided = [
                index
                for index in (answer, answer - 1)
                if index in self.blocks and self._verdict(index) is None and self._left(index)
            ]
            if not undecided:
                break
            self._play(min(undecided, key=lambda index: abs(self._loss(index) - self.tolerance)))
        for index in self.blocks:
            self._settle(index)
        full = [block.full for blocks in self.blocks.values() for block in blocks]
        mean = float(np.mean(full)) if full else math.nan
        return SmallestSize(
            sizes=[*self.candidates, self.player.policy.max_sizes][answer],
            full=SizeTrial(self.player.policy.max_sizes, "within", len(full), mean, 0.0),
            trials=tuple(self.trials.values()),
            episodes=len(full) + sum(trial.episodes for trial in self.trials.values()),
            confidence=self.confidence,
            is_certain={*range(len(self.candidates) + 1)} - self.rejected <= {answer},
        )

    def _is_within(self, index: int) -> bool:
        """Return whether a size is within the tolerance; where nothing is decided, by the means."""
        if index not in self.blocks:
            self._play(index)
        decided = self._verdict(index)
        return self._loss(index) <= self.tolerance if decided is None else decided

    def _play(self, index: int) -> None:
        """Play more episodes at a size, and bet on them."""
        blocks = self.blocks.setdefault(index, [])
        batch = max(BATCH, getattr(self.player.env, "num_envs", 1)) if blocks else FIRST_PAIRS
        count = min(batch, self._left(index))
        ratio = min(self.test.next_ratio(blocks, self.tolerance), self._left(index))
        n_blocks = max(count // ratio, 1) if ratio else count
        seed = self._seed()
        full = self._returns(self.player.policy.max_sizes, n_blocks, seed)
        smaller = self._returns(
            self.candidates[index], n_blocks * max(ratio, 1), self._seed() if ratio else seed
        )
        groups = np.reshape(smaller, (n_blocks, -1)).tolist()
        blocks += [Block(*pair, not ratio) for pair in zip(full, map(tuple, groups), strict=True)]
        self.evidence[index] = self.test.evidence(blocks, self.tolerance)
        for answer in range(len(self.candidates) + 1):
            capital = sum(
                evidence.within if tried < answer else evidence.degraded
                for tried, evidence in self.evidence.items()
            )
            if capital >= -math.log(1.0 - self.confidence):
                self.rejected.add(answer)
        for tried in self.blocks:
            if self._verdict(tried) is not None:
                self._settle(tried)

    def _returns(self, size: Sizes, count: int, seed: int) -> list[float]:
        (episodes,) = self.player.play([size], count, seed)
        return [episode.episode_return for episode in episodes]

    def _seed(self) -> int:
        return int(self.seeds.integers(2**31))

    def _left(self, index: int) -> int:
        """Return how many episodes may still be played at a size."""
        return self.max_episodes - sum(len(block.smaller) for block in self.blocks[index])

    def _loss(self, index: int) -> float:
        smaller = [one for block in self.blocks[index] for one in block.smaller]
        return float(np.mean([block.full for block in self.blocks[index]]) - np.mean(smaller))

    def _verdict(self, index: int) -> bool | None:
        """Return whether a size is within the tolerance; None while answers differ on that."""
        answers = range(len(self.candidates) + 1)
        if self.rejected.issuperset(answers[index + 1 :]):
            return True
        return False if self.rejected.issuperset(answers[: index + 1]) else None

    def _settle(self, index: int) -> None:
        """Make the trial of a size, unless there is one."""
        if index in self.trials:
            return
        verdict: Verdict = "within" if self._is_within(index) else "degraded"
        if self._verdict(index) is None:
            verdict = "probably within" if verdict == "within" else "probably degraded"
        smaller = [one for block in self.blocks[index] for one in block.smaller]
        trial = SizeTrial(
            self.candidates[index],
            verdict,
            len(smaller),
            float(np.mean(smaller)),
            self._loss(index),
        )
        self.trials[index] = trial
        if self.on_trial_end is not None:
            self.on_trial_end(trial)


def _candidates(full: Sizes, sizes: Sequence[Size] | None) -> list[Sizes]:
    """Return the sizes below the full one, ascending."""
    if sizes is None:
        steps = max(full, default=1)
        given = {tuple(max(1, round(one * step / steps)) for one in full) for step in range(1, steps)}
    else:
        given = {as_sizes(size, len(full), "sizes") for size in sizes}
    given.discard(full)
    for size in given:
        if any(one > whole for one, whole in zip(size, full, strict=True)):
            raise ValueError(f"sizes must not be above the full size {full}, got {size}")
    return sorted(given, key=lambda size: (sum(size), size))
