"""The paper's baseline: weight matrices resized as if they were images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from sb3_integral.resize.dense import DenseLayer


@dataclass(frozen=True)
class Bicubic:
    """Bicubic interpolation of weights and biases, antialiased.

    It is what ``torchvision.transforms.functional.resize`` does to a tensor, the paper's tool.

    Args:
        rescale: Multiply a layer's weight by (old inputs) / (new inputs), so that a sum over fewer
            neurons keeps its magnitude. The paper does not.
    """

    rescale: bool = False

    def __call__(self, layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        """See :class:`~sb3_integral.resize.ResizeMethod`."""
        features = (layers[0].weight.shape[1], *sizes, layers[-1].weight.shape[0])
        resized = []
        for i, (weight, bias) in enumerate(layers):
            new_weight = _interpolate(weight, features[i + 1], features[i])
            if self.rescale:
                new_weight = new_weight * (weight.shape[1] / features[i])
            new_bias = None if bias is None else _interpolate(bias[None], 1, features[i + 1])[0]
            resized.append(DenseLayer(new_weight, new_bias))
        return resized


def _interpolate(matrix: Tensor, rows: int, columns: int) -> Tensor:
    if matrix.shape == (rows, columns):
        return matrix.clone()
    if columns == 1 < rows:
        # torch mistakes a single column for another memory layout, and leaves its rows alone.
        return _interpolate(matrix.T, 1, rows).T
    return F.interpolate(matrix[None, None], (rows, columns), mode="bicubic", antialias=True)[0, 0]
