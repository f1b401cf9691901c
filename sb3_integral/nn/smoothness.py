"""Penalties on how fast the functions of an integral network vary along its axes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sb3_integral.nn.layer import IntegralLayer


@dataclass(frozen=True)
class SmoothnessPenalty:
    """How rough the functions F_W of some layers are, as a term of a loss.

    The λ of all layers are measured on one scale, that of an ordinary network's weights: those of a
    layer that integrates over an axis are divided by the number of its nodes.

    Args:
        total_variation: The weight of the mean absolute difference between neighbouring λ, which lets
            a function have few jumps.
        spectral: The weight of the mean square of its derivative, computed from its spectrum: an
            amplitude counts by the square of its frequency, which is 1 at the highest.

    Raises:
        ValueError: If a weight is negative or not finite.
    """

    total_variation: float = 0.0
    spectral: float = 0.0

    def __post_init__(self) -> None:
        """Check the weights."""
        for name in ("total_variation", "spectral"):
            weight = getattr(self, name)
            if not 0.0 <= weight < math.inf:
                raise ValueError(f"{name} must be a number of at least 0, got {weight!r}")

    def __call__(self, layers: Iterable[IntegralLayer]) -> Float[Tensor, ""]:
        """Return the sum over layers and their axes, differentiable in the λ.

        Corrections that depend on the scale are left out: they are no functions along an axis alone.

        Args:
            layers: Those of a network.
        """
        total = torch.zeros(())
        for layer in layers:
            lam = layer.lam if layer.in_axis is None else layer.lam / layer.in_axis.grid_size
            for dim, axis in enumerate((layer.out_axis, layer.in_axis)):
                if axis is None or axis.grid_size < 2:
                    continue
                along = axis.ascending(lam, dim)
                if self.total_variation:
                    total = total + self.total_variation * along.diff(dim=dim).abs().mean()
                if self.spectral:
                    total = total + self.spectral * _high_frequencies(along, dim)
        return total


def _high_frequencies(values: Tensor, dim: int) -> Tensor:
    # Mirrored at its end, a function has no jump where its period ends.
    spectrum = torch.fft.rfft(torch.cat([values, values.flip(dim)], dim), dim=dim, norm="forward")
    n_frequencies = spectrum.shape[dim]
    frequencies = torch.linspace(0.0, 1.0, n_frequencies, dtype=values.dtype, device=values.device)
    shape = [1] * values.dim()
    shape[dim] = n_frequencies
    power = spectrum.real.square() + spectrum.imag.square()
    # Every frequency but the first and the last occurs twice; the first has weight zero.
    mean_square: Tensor = 2.0 * (power * frequencies.square().view(shape)).sum(dim).mean()
    return mean_square
