"""How smooth a weight is along an axis: its spectrum (Fig. 5) and its total variation."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sb3_integral.nn.axis import Axis
from sb3_integral.nn.layer import IntegralLayer


def mean_spectrum(weight: Float[Tensor, "rows columns"]) -> Float[Tensor, " columns//2+1"]:
    """Return the mean absolute 1-D Fourier transform of a weight's rows, as Fig. 5 shows it.

    Args:
        weight: A matrix.

    Returns:
        The amplitude of each frequency, from 0 cycles per row upwards.
    """
    amplitude: Tensor = torch.fft.rfft(weight, dim=1).abs()
    return amplitude.mean(dim=0)


def total_variation(weight: Float[Tensor, "*shape"], dim: int = 0) -> Float[Tensor, ""]:
    """Return the sum of absolute differences between neighbours along a dimension."""
    return weight.diff(dim=dim).abs().sum()


def relative_variation(weight: Float[Tensor, "*shape"], dim: int = 0) -> Float[Tensor, ""]:
    """Return the mean absolute difference of neighbours along a dimension, in mean absolute weights.

    So it does not matter how large the weights are. It is 0 for a constant, 2 where only the sign
    alternates, and √2 on average for independent normal weights. Without neighbours, or if all weights
    are zero, it is NaN.
    """
    return weight.diff(dim=dim).abs().mean() / weight.abs().mean()


def high_frequency_share(weight: Float[Tensor, "rows columns"]) -> Float[Tensor, ""]:
    """Return the share of the power of a weight's rows in the upper half of frequencies.

    These are the frequencies above a quarter of a cycle per column. The power is that of all rows
    together. It is 0 for constant rows, 1 for an even number of columns that alternate around zero,
    and about one half for independent weights; if all weights are zero, it is NaN.
    """
    power = torch.fft.fft(weight, dim=1).abs().square().sum(dim=0)
    place = torch.arange(len(power), device=power.device)
    # The upper places are the negative frequencies.
    cycles = torch.minimum(place, len(power) - place)
    share: Tensor = power[4 * cycles > len(power)].sum() / power.sum()
    return share


def truncate_spectrum(
    weight: Float[Tensor, "*shape"], keep: int, dim: int = 0
) -> Float[Tensor, "*shape"]:
    """Cut off the high frequencies of a weight along a dimension.

    Args:
        weight: The weight.
        keep: Number of frequencies to keep, including frequency 0.
        dim: The dimension.

    Returns:
        The filtered weight, of the same shape. With all
        ``weight.shape[dim] // 2 + 1`` frequencies it is the weight.

    Raises:
        ValueError: If ``keep`` is not from 1 to the number of frequencies.
    """
    size = weight.shape[dim]
    frequencies = size // 2 + 1
    if not 1 <= keep <= frequencies:
        raise ValueError(f"keep must be from 1 to {frequencies}, got {keep}")
    spectrum = torch.fft.rfft(weight, dim=dim)
    kept = torch.arange(frequencies, device=weight.device) < keep
    shape = [1] * weight.dim()
    shape[dim] = frequencies
    truncated: Tensor = torch.fft.irfft(spectrum * kept.view(shape), n=size, dim=dim)
    return truncated


@torch.no_grad()
def cut_high_frequencies(layer: IntegralLayer, keep: int) -> None:
    """Truncate the spectrum of a layer's λ in place, along each of its axes.

    Args:
        layer: The layer; its bias is truncated along the output axis.
        keep: Largest number of frequencies to keep on each axis.

    Raises:
        ValueError: If ``keep`` is smaller than 1.
    """
    if keep < 1:
        raise ValueError(f"keep must be at least 1, got {keep}")
    lam = layer.lam
    for dim, axis in enumerate((layer.out_axis, layer.in_axis)):
        if axis is not None:
            lam = _truncated_along(axis, lam, keep, dim)
    layer.lam = lam
    if layer.out_axis is not None and layer.bias is not None:
        layer.bias.copy_(_truncated_along(layer.out_axis, layer.bias, keep, 0))


def _truncated_along(axis: Axis, values: Tensor, keep: int, dim: int) -> Tensor:
    n_kept = min(keep, axis.grid_size // 2 + 1)
    return axis.stored(truncate_spectrum(axis.ascending(values, dim), n_kept, dim), dim)
