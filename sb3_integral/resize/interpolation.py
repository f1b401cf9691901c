"""Ways to resize that only look at the sizes: the weights are interpolated along the hidden layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from sb3_integral.nn import Axis
from sb3_integral.nn.kernels import CubicConvolution, Kernel
from sb3_integral.nn.quadratures import Quadrature, Trapezoidal
from sb3_integral.resize.dense import DenseLayer, NeuronMap, combine_neurons


class Interpolation(ABC):
    """A way to resize by one map for each pair of an old and a new size."""

    def __call__(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        """See :class:`~sb3_integral.resize.ResizeMethod`."""
        hidden = zip(layers[:-1], sizes, strict=True)
        return combine_neurons(layers, [self.map(len(layer.weight), size) for layer, size in hidden])

    @abstractmethod
    def map(self, old: int, new: int) -> NeuronMap:
        """Return how a layer of another size is made."""


@dataclass(frozen=True)
class Bicubic(Interpolation):
    """The paper's baseline: weights and biases are resized as if they were images, antialiased.

    It is what ``torchvision.transforms.functional.resize`` does to a tensor, the paper's tool.

    Args:
        rescale: Multiply a layer's weight by (old inputs) / (new inputs), so that a sum over fewer
            neurons keeps its magnitude. The paper does not.
    """

    rescale: bool = False

    def map(self, old: int, new: int) -> NeuronMap:
        """Interpolate the rows of the identity: bicubic interpolation is linear, and separable."""
        outgoing = F.interpolate(torch.eye(old)[None, None], (old, new), mode="bicubic", antialias=True)
        return NeuronMap(outgoing[0, 0].T, outgoing[0, 0] * (old / new if self.rescale else 1.0))


@dataclass(frozen=True)
class Nearest(Interpolation):
    """Each neuron of the result is the one at its place in the full layer; some twice if it grows.

    Args:
        rescale: As for :class:`Bicubic`.
    """

    rescale: bool = False

    def map(self, old: int, new: int) -> NeuronMap:
        """Take neurons at even distances."""
        kept = ((torch.arange(new) + 0.5) * (old / new)).long()
        return NeuronMap.of_neurons(kept, old, old / new if self.rescale else 1.0)


@dataclass(frozen=True)
class IntegralSampling(Interpolation):
    """Take a trained plain network's weights as values on a λ grid and sample them at another size."""

    kernel: Kernel = CubicConvolution()
    quadrature: Quadrature = Trapezoidal()

    def map(self, old: int, new: int) -> NeuronMap:
        """Sample an axis: the integral's weights go to the next layer."""
        axis = Axis(old, kernel=self.kernel, quadrature=self.quadrature).resize(new)
        identity = torch.eye(old)
        return NeuronMap(*(identity if one is None else one for one in axis.matrices(identity)))
