"""Ways to give a dense network other hidden sizes with no retraining, behind one protocol."""

from sb3_integral.resize.bicubic import Bicubic
from sb3_integral.resize.dense import UNSIZED_PARAMETERS, DenseLayer, compression_rate, parameter_count
from sb3_integral.resize.integral import IntegralSampling
from sb3_integral.resize.method import RESIZE_METHODS, ResizeMethod, resize_method

__all__ = [
    "RESIZE_METHODS",
    "UNSIZED_PARAMETERS",
    "Bicubic",
    "DenseLayer",
    "IntegralSampling",
    "ResizeMethod",
    "compression_rate",
    "parameter_count",
    "resize_method",
]
