"""Ways to give a dense network other hidden sizes with no retraining, behind one protocol."""

from sb3_integral.resize.bicubic import Bicubic
from sb3_integral.resize.dense import UNSIZED_PARAMETERS, DenseLayer, compression_rate, parameter_count
from sb3_integral.resize.integral import IntegralSampling
from sb3_integral.resize.merging import KMeansMerging
from sb3_integral.resize.method import DEFAULT_METHOD, RESIZE_METHODS, resize_method
from sb3_integral.resize.nearest import Nearest
from sb3_integral.resize.permuted import Permuted
from sb3_integral.resize.protocol import CountsParameters, DataResizeMethod, ResizeMethod
from sb3_integral.resize.pruning import (
    ActivationPruning,
    Pruning,
    RandomScore,
    l1_norm,
    l2_norm,
    spectral_norm,
)
from sb3_integral.resize.svd import TruncatedSVD
from sb3_integral.resize.torch_pruning import GroupMagnitudePruning

__all__ = [
    "DEFAULT_METHOD",
    "RESIZE_METHODS",
    "UNSIZED_PARAMETERS",
    "ActivationPruning",
    "Bicubic",
    "CountsParameters",
    "DataResizeMethod",
    "DenseLayer",
    "GroupMagnitudePruning",
    "IntegralSampling",
    "KMeansMerging",
    "Nearest",
    "Permuted",
    "Pruning",
    "RandomScore",
    "ResizeMethod",
    "TruncatedSVD",
    "compression_rate",
    "l1_norm",
    "l2_norm",
    "parameter_count",
    "resize_method",
    "spectral_norm",
]
