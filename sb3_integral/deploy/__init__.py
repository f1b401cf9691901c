"""Leaving the library: the size that fits, and what runs it."""

from sb3_integral.deploy.budget import BudgetError, FittedSize, fit_to_budget
from sb3_integral.deploy.controller import SizeController
from sb3_integral.deploy.driving import DrivingPredictor, DrivingStep
from sb3_integral.deploy.latency import MeasuredLatency
from sb3_integral.deploy.numpy_actor import Actor, NumpyActor, quickest_actor
from sb3_integral.deploy.sequential import BettingTest, SequentialTest, WelchTest
from sb3_integral.deploy.smallest import SizeTrial, SmallestSize, smallest_size

__all__ = [
    "Actor",
    "BettingTest",
    "BudgetError",
    "DrivingPredictor",
    "DrivingStep",
    "FittedSize",
    "MeasuredLatency",
    "NumpyActor",
    "SequentialTest",
    "SizeController",
    "SizeTrial",
    "SmallestSize",
    "WelchTest",
    "fit_to_budget",
    "quickest_actor",
    "smallest_size",
]
