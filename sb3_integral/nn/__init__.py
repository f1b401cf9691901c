"""Integral neural networks on torch: axes, kernels, quadratures and layers. Independent of RL."""

from sb3_integral.nn.axis import Axes, Axis
from sb3_integral.nn.conversion import Conversion, convert
from sb3_integral.nn.convolution import IntegralConv2d
from sb3_integral.nn.kernels import (
    KERNELS,
    CubicBSpline,
    CubicConvolution,
    Kernel,
    LinearInterpolation,
    LowPass,
)
from sb3_integral.nn.layer import IntegralLayer
from sb3_integral.nn.linear import IntegralLinear
from sb3_integral.nn.mlp import IntegralMLP, to_integral_layers
from sb3_integral.nn.network import IntegralNetwork
from sb3_integral.nn.partition import TrainablePartition
from sb3_integral.nn.permutation import permute_axis, shortest_path
from sb3_integral.nn.placement import AxisMatrices, Placement, axis_matrices, matrices_at, nested_order
from sb3_integral.nn.quadratures import (
    QUADRATURES,
    GaussLegendre,
    Midpoint,
    Quadrature,
    Simpson,
    Trapezoidal,
)
from sb3_integral.nn.running import run_at_sizes
from sb3_integral.nn.scale import ScaleCorrections
from sb3_integral.nn.sizes import Size, as_size, as_sizes
from sb3_integral.nn.smoothness import SmoothnessPenalty
from sb3_integral.nn.spectrum import (
    cut_high_frequencies,
    high_frequency_share,
    mean_spectrum,
    relative_variation,
    total_variation,
    truncate_spectrum,
)
from sb3_integral.nn.state import load_whole, unchanged_on_failure
from sb3_integral.nn.torchintegral import from_torch_integral, to_torch_integral
from sb3_integral.nn.tuning import tune_partitions

__all__ = [
    "KERNELS",
    "QUADRATURES",
    "Axes",
    "Axis",
    "AxisMatrices",
    "Conversion",
    "CubicBSpline",
    "CubicConvolution",
    "GaussLegendre",
    "IntegralConv2d",
    "IntegralLayer",
    "IntegralLinear",
    "IntegralMLP",
    "IntegralNetwork",
    "Kernel",
    "LinearInterpolation",
    "LowPass",
    "Midpoint",
    "Placement",
    "Quadrature",
    "ScaleCorrections",
    "Simpson",
    "Size",
    "SmoothnessPenalty",
    "TrainablePartition",
    "Trapezoidal",
    "as_size",
    "as_sizes",
    "axis_matrices",
    "convert",
    "cut_high_frequencies",
    "from_torch_integral",
    "high_frequency_share",
    "load_whole",
    "matrices_at",
    "mean_spectrum",
    "nested_order",
    "permute_axis",
    "relative_variation",
    "run_at_sizes",
    "shortest_path",
    "to_integral_layers",
    "to_torch_integral",
    "total_variation",
    "truncate_spectrum",
    "tune_partitions",
    "unchanged_on_failure",
]
