"""The smallest size that does what the full one does, spending episodes where that is undecided."""

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
from sb3_integral.deploy.sequential import BettingTest, SequentialTest, WelchTest
from sb3_integral.evaluation import EnvFactory, evaluate_resize_sweep
from sb3_integral.evaluation.episodes import MAX_EPISODE_STEPS
from sb3_integral.nn import Size, as_size, as_sizes
from sb3_integral.policies import Resizable, as_resizable

Verdict = Literal["within", "degraded", "probably within", "probably degraded"]
"""Whether a size is within the tolerance; probably where only the means say so, not the test."""

BATCH = 8
"""Episodes between two looks, where the environment is not vectorised wider."""


@dataclass(frozen=True)
class SizeTrial:
    """What was found at one size.

    Attributes:
        sizes: One per layer.
        verdict: Whether its mean return is within the tolerance of the full size's, and how sure.
        episodes: Episodes spent at it.
        mean_return: Their mean return.
    """

    sizes: Sizes
    verdict: Verdict
    episodes: int
    mean_return: float


@dataclass(frozen=True)
class SmallestSize:
    """The smallest size that is within the tolerance, and how that was found.

    Attributes:
        sizes: One per layer; the full size if no smaller one is within.
        full: The episodes at full size.
        trials: The sizes tried, in order.
        episodes: Episodes spent altogether.
        confidence: How often at least the decisions of the test are right.
        is_certain: Whether it decided at every size, so that the answer has the confidence.
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

    Sizes are bisected. At each, episodes are added until a sequential test has decided, or up to
    ``max_episodes``. What is still undecided then is settled by the means, as in a sweep with so many
    episodes, and the trial says so; the answer has not the confidence then. The episodes at full size
    are shared by all tests. The policy keeps its own size.

    **Confidence.** If sizes from some point on are within the tolerance and those below it are not, the
    right path through them is one of ceil(log2(sizes + 1)) tests at most, each of which can err in one
    direction only. Each gets an equal share of 1 - confidence, so with the confidence asked for no
    decision on that path is wrong, however many looks were taken. With ``return_range`` this holds for
    all distributions (:class:`~sb3_integral.deploy.BettingTest`); without it, for means that are about
    normal (:class:`~sb3_integral.deploy.WelchTest`), which rare failures are not.

    Args:
        policy: An integral policy, a :class:`~sb3_integral.ResizablePolicy`, or a model with an integral
            policy.
        env: The environment, as for :func:`~sb3_integral.evaluate_resize_sweep`; a vectorised one is
            stepped as one batch.
        tolerance: How much mean return may be lost.
        confidence: How often the decisions have to be right.
        return_range: The smallest and the largest return that an episode can have, such as (-500, 0) for
            Acrobot. The narrower, the fewer episodes.
        sizes: What to choose from, beside the full size, each one integer for all layers or one per
            layer; by default every size in proportion to the full one.
        max_episodes: Most episodes at one size.
        deterministic: Whether the most likely action is taken, or one drawn.
        seed: Of the episodes.
        on_trial_end: Called with each trial.
        training_env: As for the sweep: the environment whose wrappers ``env`` gets too.
        max_episode_steps: Steps after which an episode is taken for one that never ends.
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
    batch = max(BATCH, env.num_envs) if isinstance(env, VecEnv) else BATCH
    test: SequentialTest = WelchTest(batch) if return_range is None else BettingTest(*return_range)
    alpha = (1.0 - confidence) / max(1, math.ceil(math.log2(len(candidates) + 1)))
    rng = np.random.default_rng(seed)

    def add_episodes(returns: list[float], at: Sizes) -> None:
        number = min(batch, max_episodes - len(returns))
        drawn = int(rng.integers(2**31 - 1))
        rows = evaluate_resize_sweep(
            policy,
            env,
            [at],
            number,
            deterministic,
            drawn,
            warn=False,
            training_env=training_env,
            max_episode_steps=max_episode_steps,
            use_masking=use_masking,
        )
        # They come in the order in which they ended, short ones first; a test needs a fair order.
        returns += rng.permutation([row.episode_return for row in rows]).tolist()

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

    # The smallest that is within lies after `below` and not after `accepted`, where full size is last.
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
    """Return the sizes below the full one, ascending by what is left of the parameters."""
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
