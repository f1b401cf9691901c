"""Batch renormalisation along an axis, as CrossQ's actor needs it."""

from __future__ import annotations

from sb3_contrib.common.torch_layers import BatchRenorm1d
from torch import Tensor

from sb3_integral.nn import Axis

FUNCTIONS = ("scale", "bias", "ra_mean", "ra_var")


class IntegralBatchRenorm1d(BatchRenorm1d):
    """sb3-contrib's layer with scale, bias and statistics as functions on an axis.

    At full size it is that layer. At any other size it normalises by the sampled running
    statistics, in training too, and does not update them.
    """

    _axes: tuple[Axis]  # a tuple, so that the axis is not registered here

    @classmethod
    def from_plain(cls, plain: BatchRenorm1d, axis: Axis) -> IntegralBatchRenorm1d:
        """Return a layer on an axis that shares another one's parameters and statistics."""
        layer = cls.__new__(cls)
        layer.__dict__.update(plain.__dict__)
        layer._axes = (axis,)
        return layer

    def discrete_functions(self) -> dict[str, Tensor]:
        """Return scale, bias and statistics at the current size, by name. Shapes: (size,)."""
        values = {name: getattr(self, name) for name in FUNCTIONS}
        sampling = self._axes[0].matrices(self.scale).sampling
        if sampling is None:
            return values
        sampled = {name: sampling @ value for name, value in values.items()}
        # A cubic kernel can undershoot.
        sampled["ra_var"] = sampled["ra_var"].clamp(min=0.0)
        return sampled

    def forward(self, x: Tensor) -> Tensor:
        """Normalise. Shape: (batch, size), twice."""
        if self._axes[0].matrices(self.scale).sampling is None:
            output: Tensor = super().forward(x)
            return output
        values = self.discrete_functions()
        x = (x - values["ra_mean"]) / (values["ra_var"] + self.eps).sqrt()
        return values["scale"] * x + values["bias"] if self.affine else x
