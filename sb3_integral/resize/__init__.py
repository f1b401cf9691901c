"""Ways to give a dense network other hidden sizes with no retraining, behind one protocol."""

from sb3_integral.resize.dense import (
    UNSIZED_PARAMETERS,
    CountsParameters,
    DataResizeMethod,
    DenseLayer,
    ResizeMethod,
)
from sb3_integral.resize.interpolation import Bicubic, IntegralSampling, Nearest
from sb3_integral.resize.merging import KMeansMerging
from sb3_integral.resize.method import DEFAULT_METHOD, RESIZE_METHODS, resize_method
from sb3_integral.resize.permuted import Permuted
from sb3_integral.resize.pruning import (
    Pruning,
    RandomScore,
    activation_influence,
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
    "activation_influence",
    "l1_norm",
    "l2_norm",
    "resize_method",
    "spectral_norm",
]
