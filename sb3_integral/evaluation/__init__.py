"""Policies evaluated at many sizes, and the statistics of such evaluations."""

from sb3_integral.evaluation.callback import ResizeSweepCallback
from sb3_integral.evaluation.environments import EnvFactory, evaluation_env
from sb3_integral.evaluation.episodes import EndlessEpisodeError
from sb3_integral.evaluation.statistics import (
    Interval,
    Moments,
    difference_of_means,
    holm,
    interquartile_mean,
    normalized_score,
    welch_p,
    welch_p_from_moments,
)
from sb3_integral.evaluation.sweep import SweepEpisode, evaluate_resize_sweep

__all__ = [
    "EndlessEpisodeError",
    "EnvFactory",
    "Interval",
    "Moments",
    "ResizeSweepCallback",
    "SweepEpisode",
    "difference_of_means",
    "evaluate_resize_sweep",
    "evaluation_env",
    "holm",
    "interquartile_mean",
    "normalized_score",
    "welch_p",
    "welch_p_from_moments",
]
