"""The smallest size that performs like the full one, found by sequential tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv

from sb3_integral.deploy.search import Sizes
from sb3_integral.deploy.sequential import BettingTest, PairedTTest, SequentialTest
from sb3_integral.evaluation import EnvFactory, evaluation_env
from sb3_integral.evaluation.episodes import MAX_EPISODE_STEPS, EpisodeRules, episode_seeds
from sb3_integral.evaluation.sweep import play_sizes
from sb3_integral.nn import Size, as_size, as_sizes
from sb3_integral.policies import Resizable, as_resizable

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
    """

    sizes: Sizes
    verdict: Verdict
    episodes: int
    mean_return: float


@dataclass(frozen=True)
class SmallestSize:
    """The smallest size within the tolerance, and how it was found.

    Attributes:
        sizes: One per layer; the full size if no smaller one is within.
        full: The episodes at full size.
        trials: The tried sizes, in order.
        episodes: Number of all episodes.
        confidence: The confidence that was asked for.
        is_certain: Whether the test decided at every size, so that the answer has the confidence.
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

    Sizes are bisected. At each size, episodes are added until a sequential test decides, up to
    ``max_episodes``. If the test is undecided then, the means decide as in a sweep, the trial says so,
    and the answer does not have the confidence. All sizes play the same episodes, and the test looks at
    the paired differences to the full size. The policy keeps its own size.

    **Confidence.** If all sizes above some size are within the tolerance and all below it are not, the
    right path of the bisection has at most ceil(log2(sizes + 1)) tests, each of which can err in one
    direction only. Each gets an equal share of 1 - confidence. So with the confidence asked for, no
    decision on that path is wrong, however often was tested. With ``return_range`` this holds for
    all distributions (:class:`~sb3_integral.deploy.BettingTest`); without it, for means that are about
    normal (:class:`~sb3_integral.deploy.PairedTTest`), which rare failures are not.

    Args:
        policy: An integral policy, a :class:`~sb3_integral.ResizablePolicy`, or a model with an integral
            policy.
        env: The environment, as for :func:`~sb3_integral.evaluate_resize_sweep`; a vectorised one is
            stepped as one batch.
        tolerance: How much mean return may be lost.
        confidence: The probability that all decisions are right.
        return_range: The smallest and the largest return that an episode can have, such as (-500, 0) for
            Acrobot. A narrow range needs fewer episodes.
        sizes: The sizes to choose from besides the full size, each one integer for all layers or one
            per layer; by default all sizes in proportion to the full one.
        max_episodes: Most episodes at one size.
        deterministic: Whether the most likely action is taken, or one is drawn.
        seed: Seeds the episodes.
        on_trial_end: Called with each trial.
        training_env: The training environment, whose wrappers ``env`` gets, as in a sweep.
        max_episode_steps: Steps after which an episode counts as one that never ends.
        use_masking: Whether MaskablePPO's policy is told which actions the environment allows.

    Raises:
        ValueError: If a number is out of range, the policy cannot be resized, the environment is not for
            it, or an episode's return is outside ``return_range``.
        EndlessEpisodeError: If an episode has more than ``max_episode_steps`` steps; a ValueError.
    """
    if training_env is None and isinstance(policy, BaseAlgorithm):
        training_env = policy.get_env()
    policy = as_resizable(policy)
    if not 0.0 < tolerance < math.inf:
        raise ValueError(f"tolerance must be a positive number, got {tolerance}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    max_episodes = as_size(max_episodes, "max_episodes")
    candidates = _candidates(policy, sizes)
    wrapped = evaluation_env(policy, env, training_env, use_masking)
    rules = EpisodeRules(deterministic, max_episode_steps, use_masking, in_order_of_end=False)
    batch = max(BATCH, wrapped.num_envs) if isinstance(wrapped, VecEnv) else BATCH
    seeds = episode_seeds(seed, math.ceil(max_episodes / batch))
    test: SequentialTest = PairedTTest(batch) if return_range is None else BettingTest(*return_range)
    alpha = (1.0 - confidence) / max(1, math.ceil(math.log2(len(candidates) + 1)))

    def add_episodes(returns: list[float], at: Sizes) -> None:
        # Each size meets the same episodes in the same order, so that two sizes' are pairs.
        (episodes,) = play_sizes(
            policy,
            wrapped,
            [at],
            min(batch, max_episodes - len(returns)),
            seeds[len(returns) // batch],
            rules,
        )
        returns += [episode.episode_return for episode in episodes]

    full: list[float] = []
    trials: list[SizeTrial] = []

    def try_at(at: Sizes) -> bool:
        returns: list[float] = []
        decided = None
        while decided is None and len(returns) < max_episodes:
            add_episodes(returns, at)
            if len(full) < len(returns):
                add_episodes(full, policy.max_sizes)
            decided = test.decide(full[: len(returns)], returns, tolerance, alpha)
        loss = np.mean(full[: len(returns)]) - np.mean(returns)
        is_within = bool(loss <= tolerance) if decided is None else decided
        verdict: Verdict = "within" if is_within else "degraded"
        if decided is None:
            verdict = "probably within" if is_within else "probably degraded"
        trials.append(SizeTrial(at, verdict, len(returns), float(np.mean(returns))))
        if on_trial_end is not None:
            on_trial_end(trials[-1])
        return is_within

    # The answer has an index above `below` and at most `accepted`; the last index is the full size.
    below, accepted = -1, len(candidates)
    while accepted - below > 1:
        middle = (below + accepted) // 2
        if try_at(candidates[middle]):
            accepted = middle
        else:
            below = middle
    return SmallestSize(
        sizes=policy.max_sizes if accepted == len(candidates) else candidates[accepted],
        full=SizeTrial(
            policy.max_sizes, "within", len(full), float(np.mean(full)) if full else math.nan
        ),
        trials=tuple(trials),
        episodes=len(full) + sum(trial.episodes for trial in trials),
        confidence=confidence,
        is_certain=not any(trial.verdict.startswith("probably") for trial in trials),
    )


def _candidates(policy: Resizable, sizes: Sequence[Size] | None) -> list[Sizes]:
    """Return the sizes below the full one, ascending."""
    full = policy.max_sizes
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
