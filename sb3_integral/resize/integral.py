"""A trained plain network read as an integral one, and sampled: no training, no permutation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from sb3_integral.nn import Axis, to_integral_layers
from sb3_integral.nn.kernels import CubicConvolution, Kernel
from sb3_integral.nn.quadratures import Quadrature, Trapezoidal
from sb3_integral.resize.dense import DenseLayer


@dataclass(frozen=True)
class IntegralSampling:
    """Take the weights as values on a λ grid and sample them at another size.

    Args:
        kernel: Kernel of every axis.
        quadrature: Quadrature of every axis.
    """

    kernel: Kernel = CubicConvolution()
    quadrature: Quadrature = Trapezoidal()

    @torch.no_grad()
    def __call__(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        """See :class:`~sb3_integral.resize.ResizeMethod`."""
        axes = [
            Axis(layer.weight.shape[0], kernel=self.kernel, quadrature=self.quadrature).resize(size)
            for layer, size in zip(layers[:-1], sizes, strict=True)
        ]
        resized = []
        for layer in to_integral_layers([_module(layer) for layer in layers], axes):
            weight, bias = layer.discrete_parameters()
            resized.append(DenseLayer(weight.clone(), None if bias is None else bias.clone()))
        return resized


def _module(layer: DenseLayer) -> nn.Linear:
    out_features, in_features = layer.weight.shape
    module = nn.Linear(in_features, out_features, bias=layer.bias is not None, device="meta")
    module.weight = nn.Parameter(layer.weight)
    if layer.bias is not None:
        module.bias = nn.Parameter(layer.bias)
    return module
