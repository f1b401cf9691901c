"""The integral linear layer (Eq. 1-3)."""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sb3_integral.nn.axis import Axis
from sb3_integral.nn.layer import IntegralLayer, Placements, grid_or_features
from sb3_integral.nn.mixed import MixedSizes
from sb3_integral.nn.scale import ScaleCorrections


class IntegralLinear(nn.Linear, IntegralLayer):  # type: ignore[misc]
    """A linear layer between two dimensions, each of them discrete or an axis.

    See :class:`~sb3_integral.nn.layer.IntegralLayer` for what its parameters hold.

    Args:
        in_features: A number of features, or the axis that is integrated over (Eq. 1).
        out_features: A number of features, or the axis along which the output is sampled.
        bias: Whether to add a bias.
        device: Where the parameters are made.
        dtype: Type of the parameters.
        in_repeat: Features per sample of the input axis: height times width where channels of an
            image were flattened.

    Shape:
        Input (..., in · in_repeat), output (..., out), with an axis' current size for either.
    """

    def __init__(
        self,
        in_features: int | Axis,
        out_features: int | Axis,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        in_repeat: int = 1,
    ) -> None:
        n_inputs = grid_or_features(in_features) * in_repeat
        super().__init__(n_inputs, grid_or_features(out_features), bias, device, dtype)
        self.in_repeat = in_repeat
        self._set_axes(in_features, out_features)

    @classmethod
    def from_linear(
        cls,
        linear: nn.Linear,
        in_axis: Axis | None = None,
        out_axis: Axis | None = None,
        in_repeat: int = 1,
    ) -> IntegralLinear:
        """Make a discrete layer integral; it shares its parameter objects with the result.

        Args:
            linear: The layer whose parameters become nodal values.
            in_axis: Axis of its input, if that is to be continuous.
            out_axis: Axis of its output, if that is to be continuous.
            in_repeat: Features per sample of the input axis.

        Returns:
            A layer that computes the same at equal grid and size.

        Raises:
            ValueError: If an axis' grid does not have as many nodes as the layer has features.
        """
        if linear.in_features % in_repeat:
            raise ValueError(
                f"in_repeat must divide the layer's {linear.in_features} inputs, got {in_repeat}"
            )
        n_inputs = linear.in_features // in_repeat
        layer: IntegralLinear = cls._from_plain(linear, n_inputs, in_axis, out_axis, in_repeat=in_repeat)
        return layer

    def _options(self) -> dict[str, Any]:
        return {"in_repeat": self.in_repeat}

    def operator_shape(self, shape: torch.Size) -> torch.Size:
        """See :meth:`IntegralLayer.operator_shape`: (out, in) or (out, in, in_repeat)."""
        if self.in_repeat == 1:
            return shape
        return torch.Size((shape[0], shape[1] // self.in_repeat, self.in_repeat))

    def forward(self, input: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """Apply the layer at the current size."""
        mixed = self.mixed
        if mixed is not None:
            return self._run_mixed(input, mixed)
        weight, bias = self._current_parameters()
        return F.linear(input, weight, bias)

    def _run_mixed(self, input: Tensor, mixed: MixedSizes) -> Tensor:
        """Apply the layer to samples of different sizes."""
        in_axis = self.in_axis
        if in_axis is not None:
            input = mixed.masked(input, in_axis, self.in_repeat)
        output = F.linear(input, self.weight, self.bias)
        corrections = self._modules.get("corrections")
        if corrections is None:
            return output
        axes = [axis for axis in self._axes if axis is not None]
        return mixed.corrected(output, input, cast(ScaleCorrections, corrections), axes)

    def discretize(self, at: Placements | None = None) -> nn.Linear:
        """See :meth:`IntegralLayer.discretize`."""
        return self._discretized(nn.Linear, at)

    def extra_repr(self) -> str:
        """See :meth:`torch.nn.Module.extra_repr`."""
        ends = [
            str(features) if axis is None else repr(axis)
            for features, axis in zip((self.in_features, self.out_features), self._axes, strict=True)
        ]
        return f"in={ends[0]}, out={ends[1]}, bias={self.bias is not None}"
