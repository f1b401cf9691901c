"""The integral 2-D convolution: continuous channels, ordinary height and width."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.common_types import _size_2_t

from sb3_integral.nn.axis import Axis
from sb3_integral.nn.layer import IntegralLayer, Placements, grid_or_features


class IntegralConv2d(nn.Conv2d, IntegralLayer):
    """A 2-D convolution whose channels are discrete or an axis.

    Eq. 1-3 with a kernel's height and width carried along. See
    :class:`~sb3_integral.nn.layer.IntegralLayer` for what its parameters hold.

    Args:
        in_channels: A number of channels, or the axis that is integrated over.
        out_channels: A number of channels, or the axis along which the output is sampled.
        kernel_size: As in ``nn.Conv2d``, like what follows; there are no groups.
        stride: Stride of the kernel.
        padding: Padding on all sides, or its name.
        dilation: Gap between the kernel's elements.
        bias: Whether to add a bias.
        padding_mode: What to pad with.
        device: Where the parameters are made.
        dtype: Type of the parameters.

    Shape:
        Input (batch, in, height, width), output (batch, out, new height, new width).
    """

    def __init__(
        self,
        in_channels: int | Axis,
        out_channels: int | Axis,
        kernel_size: _size_2_t,
        stride: _size_2_t = 1,
        padding: str | _size_2_t = 0,
        dilation: _size_2_t = 1,
        *,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            grid_or_features(in_channels),
            grid_or_features(out_channels),
            kernel_size,
            stride,
            padding,
            dilation,
            bias=bias,
            padding_mode=padding_mode,  # type: ignore[arg-type]
            device=device,
            dtype=dtype,
        )
        self._set_axes(in_channels, out_channels)

    @classmethod
    def from_conv(
        cls, convolution: nn.Conv2d, in_axis: Axis | None = None, out_axis: Axis | None = None
    ) -> IntegralConv2d:
        """Make a discrete convolution integral; it shares its parameters with the result.

        Args:
            convolution: The layer whose parameters become nodal values.
            in_axis: Axis of its input channels, if they are to be continuous.
            out_axis: Axis of its output channels, if they are to be continuous.

        Raises:
            ValueError: If it has groups, or if an axis' grid does not have as many nodes as the
                layer has channels.
        """
        if convolution.groups != 1:
            raise ValueError(
                f"a convolution with groups cannot be integral, got groups={convolution.groups}"
            )
        options = convolution_geometry(convolution)
        layer: IntegralConv2d = cls._from_plain(
            convolution, convolution.in_channels, in_axis, out_axis, **options
        )
        return layer

    def _options(self) -> dict[str, Any]:
        return convolution_geometry(self)

    def forward(
        self, input: Float[Tensor, "*batch in height width"]
    ) -> Float[Tensor, "*batch out new_height new_width"]:
        """Apply the layer at the current size."""
        mixed = self.mixed
        if mixed is not None:
            if self.has_corrections:
                raise ValueError("convolutions with corrections do not take batches of mixed sizes")
            if self.in_axis is not None:
                input = mixed.masked(input, self.in_axis)
        weight, bias = self._current_parameters()
        output: Tensor = self._conv_forward(input, weight, bias)
        return output

    def discretize(self, at: Placements | None = None) -> nn.Conv2d:
        """See :meth:`IntegralLayer.discretize`."""
        return self._discretized(nn.Conv2d, at, **convolution_geometry(self))


def convolution_geometry(convolution: nn.Conv2d) -> dict[str, Any]:
    """Return what a convolution without groups is made with, besides its channels and bias."""
    names = ("kernel_size", "stride", "padding", "dilation", "padding_mode")
    return {name: getattr(convolution, name) for name in names}
