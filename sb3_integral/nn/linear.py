"""The integral linear layer (Eq. 1-3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sb3_integral.nn.axis import Axis
from sb3_integral.nn.layer import IntegralLayer, Placements, check_grid, grid_or_features


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
        super().__init__(
            grid_or_features(in_features) * in_repeat,
            grid_or_features(out_features),
            bias=bias,
            device=device,
            dtype=dtype,
        )
        self.in_repeat = in_repeat
        self._put_between(in_features, out_features)

    @classmethod
    def from_linear(
        cls,
        linear: nn.Linear,
        in_axis: Axis | None = None,
        out_axis: Axis | None = None,
        in_repeat: int = 1,
    ) -> IntegralLinear:
        """Make a discrete layer integral; it shares its parameters with the result.

        Args:
            linear: The layer whose parameters become nodal values.
            in_axis: Axis of its input, if that is to be continuous.
            out_axis: Axis of its output, if that is to be continuous.
            in_repeat: Features per sample of the input axis.

        Returns:
            A layer with the same parameter objects; at equal grid and size it computes the same.

        Raises:
            ValueError: If an axis' grid does not have as many nodes as the layer has features.
        """
        if linear.in_features % in_repeat:
            raise ValueError(
                f"in_repeat must divide the layer's {linear.in_features} inputs, got {in_repeat}"
            )
        check_grid(in_axis, linear.in_features // in_repeat, "input")
        check_grid(out_axis, linear.out_features, "output")
        layer = cls(
            linear.in_features // in_repeat if in_axis is None else in_axis,
            linear.out_features if out_axis is None else out_axis,
            bias=linear.bias is not None,
            device="meta",
            in_repeat=in_repeat,
        )
        layer.weight = linear.weight
        layer.bias = linear.bias
        return layer

    def on_axes(self, in_axis: Axis | None, out_axis: Axis | None) -> IntegralLinear:
        """See :meth:`IntegralLayer.on_axes`."""
        return IntegralLinear(
            self.in_features // self.in_repeat if in_axis is None else in_axis,
            self.out_features if out_axis is None else out_axis,
            bias=self.bias is not None,
            device=self.weight.device,
            dtype=self.weight.dtype,
            in_repeat=self.in_repeat,
        )

    def operator_shape(self, shape: torch.Size) -> torch.Size:
        """See :meth:`IntegralLayer.operator_shape`: (out, in) or (out, in, in_repeat)."""
        if self.in_repeat == 1:
            return shape
        return torch.Size((shape[0], shape[1] // self.in_repeat, self.in_repeat))

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer at the current size."""
        weight, bias = self._current_parameters()
        return F.linear(input, weight, bias)

    @torch.no_grad()
    def discretize(self, at: Placements | None = None) -> nn.Linear:
        """See :meth:`IntegralLayer.discretize`."""
        weight, bias = self.discrete_parameters(at)
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
        layer.weight = nn.Parameter(weight.clone())
        if bias is not None:
            layer.bias = nn.Parameter(bias.clone())
        return layer

    def extra_repr(self) -> str:
        """See :meth:`torch.nn.Module.extra_repr`."""
        ends = [
            str(features) if axis is None else repr(axis)
            for features, axis in zip((self.in_features, self.out_features), self._axes, strict=True)
        ]
        return f"in={ends[0]}, out={ends[1]}, bias={self.bias is not None}"
