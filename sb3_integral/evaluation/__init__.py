"""Policies evaluated at many sizes, and the statistics of such evaluations."""

from sb3_integral.evaluation.callback import ResizeSweepCallback
from sb3_integral.evaluation.statistics import normalized_score, welch_p
from sb3_integral.evaluation.sweep import SweepEpisode, evaluate_resize_sweep

__all__ = ["ResizeSweepCallback", "SweepEpisode", "evaluate_resize_sweep", "normalized_score", "welch_p"]
