"""Integral neural networks on torch: axes, kernels, quadratures and layers. No word of RL here."""

from sb3_integral.nn.axis import Axes, Axis, AxisMatrices, axis_matrices
from sb3_integral.nn.kernels import KERNELS, CubicConvolution, Kernel
from sb3_integral.nn.linear import IntegralLinear
from sb3_integral.nn.mlp import IntegralMLP, string_on_axes
from sb3_integral.nn.quadratures import QUADRATURES, Quadrature, Trapezoidal
from sb3_integral.nn.sizes import Size, as_size, as_sizes

__all__ = [
    "KERNELS",
    "QUADRATURES",
    "Axes",
    "Axis",
    "AxisMatrices",
    "CubicConvolution",
    "IntegralLinear",
    "IntegralMLP",
    "Kernel",
    "Quadrature",
    "Size",
    "Trapezoidal",
    "as_size",
    "as_sizes",
    "axis_matrices",
    "string_on_axes",
]
