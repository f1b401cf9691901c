"""How much of earlier tasks is left after later ones: measures of learning one task after another.

From Lopez-Paz and Ranzato, "Gradient Episodic Memory for Continual Learning" (2017). With T tasks and
R[k][i] the score in task i after task k was learned, they are functions of a matrix whose row k has the
scores in the tasks 0 to k.
"""

from __future__ import annotations

from collections.abc import Sequence

Scores = Sequence[Sequence[float]]
"""A row per learned task, which has a score for each task that was learned until then."""


def average_accuracy(scores: Scores) -> float:
    """Return the mean score over all tasks after the last was learned: the mean of R[T-1][i] over i.

    Raises:
        ValueError: If there are fewer than two tasks, or a row has another length than expected.
    """
    last = _checked(scores)[-1]
    return sum(last) / len(last)


def backward_transfer(scores: Scores) -> float:
    """Return what later tasks did to earlier ones: the mean of R[T-1][i] - R[i][i] over i < T-1.

    It is negative where something was forgotten.

    Raises:
        ValueError: If there are fewer than two tasks, or a row has another length than expected.
    """
    *earlier, last = _checked(scores)
    return sum(last[task] - row[task] for task, row in enumerate(earlier)) / len(earlier)


def _checked(scores: Scores) -> Scores:
    lengths = [len(row) for row in scores]
    if len(lengths) < 2:
        raise ValueError(f"expected the scores after at least two tasks, got {len(lengths)}")
    if lengths != list(range(1, len(lengths) + 1)):
        raise ValueError(
            f"expected a score for each task learned so far, 1 to {len(lengths)} of them, got {lengths}"
        )
    return scores
