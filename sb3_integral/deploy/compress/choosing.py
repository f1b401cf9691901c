"""The smallest size of a student that is as good as the agent."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from stable_baselines3.common.policies import BasePolicy

from sb3_integral.deploy.compress.candidates import Candidate
from sb3_integral.deploy.compress.comparison import Comparer, Comparison
from sb3_integral.deploy.compress.goal import Goal
from sb3_integral.deploy.compress.result import NotAsGoodError, Trial
from sb3_integral.deploy.latency import MeasuredLatency
from sb3_integral.deploy.search import Sizes
from sb3_integral.nn.sizes import format_sizes


class AnySize(Protocol):
    """What gives an ordinary policy of each size."""

    @property
    def max_sizes(self) -> Sizes:
        """The full size."""
        ...

    def discretize(self, size: Sizes) -> BasePolicy:
        """Return the policy of a size."""
        ...


def choose(
    student: AnySize,
    name: str,
    candidates: Sequence[Candidate],
    comparer: Comparer,
    allowed_loss: float,
    goal: Goal,
    on_progress: Callable[[str], None],
) -> tuple[Sizes, tuple[Trial, ...]]:
    """Return the smallest candidate that is as good, found by bisection, and all that were tested.

    Args:
        student: The student.
        name: Its name among what was played.
        candidates: The smallest first; they get better with their size.
        comparer: Compares with the agent.
        allowed_loss: How much mean return may be lost.
        goal: Its confidence is that of the choice.
        on_progress: Told what was found.

    Raises:
        NotAsGoodError: If the largest candidate is not as good, and the goal requires it.
    """
    latency = MeasuredLatency()
    most_tests = math.ceil(math.log2(len(candidates) + 1))
    alpha = (1.0 - goal.confidence) / max(1, most_tests)
    trials: dict[Sizes, Trial] = {}
    began = time.monotonic()

    def is_good(candidate: Candidate) -> bool:
        sizes = candidate.sizes
        ordinary = student.discretize(sizes)
        shown = name if sizes == student.max_sizes else f"{name} at {format_sizes(sizes)}"
        comparison = comparer.compare(shown, ordinary, allowed_loss, alpha)
        trials[sizes] = Trial(sizes, candidate.costs, latency(ordinary), comparison)
        left = max(0, most_tests - len(trials))
        seconds = (time.monotonic() - began) / len(trials) * left
        on_progress(
            f"{format_sizes(sizes)}: {candidate.costs.parameters:,} parameters, mean return "
            f"{comparison.mean:.1f} over {len(comparison.returns)} episodes, {comparison.verdict}; "
            f"at most {left} more sizes, about {math.ceil(seconds)} s"
        )
        return comparison.verdict == "as good"

    below, accepted = -1, len(candidates) - 1
    if not is_good(candidates[-1]):
        if goal.is_required:
            raise _not_as_good(trials[candidates[-1].sizes], allowed_loss)
        below = accepted  # the best size within the limit, whatever it loses
    while accepted - below > 1:
        middle = (below + accepted) // 2
        if is_good(candidates[middle]):
            accepted = middle
        else:
            below = middle
    ordered = sorted(trials.values(), key=lambda trial: trial.costs.parameters)
    return candidates[accepted].sizes, tuple(ordered)


def _not_as_good(trial: Trial, allowed_loss: float) -> NotAsGoodError:
    best: Comparison = trial.comparison
    low, high = best.interval
    return NotAsGoodError(
        f"the largest size that may be chosen, {format_sizes(trial.sizes)}, is not "
        f"{'shown to be ' if best.verdict == 'undecided' else ''}as good: its mean return is "
        f"{best.difference:+.1f} from the agent's (between {low:+.1f} and {high:+.1f}), allowed is "
        f"{-allowed_loss:.1f}; more rounds or episodes, a lower keep or higher limits may help",
        best,
    )
