"""Policies evaluated at many sizes, and the statistics of such evaluations."""

from sb3_integral.evaluation.callback import ResizeSweepCallback
from sb3_integral.evaluation.statistics import (
    Interval,
    Moments,
    interquartile_mean,
    normalized_score,
    welch_p,
    welch_p_from_moments,
)
from sb3_integral.evaluation.sweep import SweepEpisode, evaluate_resize_sweep

__all__ = [
    "Interval",
    "Moments",
    "ResizeSweepCallback",
    "SweepEpisode",
    "evaluate_resize_sweep",
    "interquartile_mean",
    "normalized_score",
    "welch_p",
    "welch_p_from_moments",
]
