"""A partition of an axis whose points are learned."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

SMALLEST_GAP = 1e-9
"""Relative to the span: keeps points apart where a softmax underflows."""


class TrainablePartition(nn.Module):
    """Points between two fixed ends, their order kept whatever the parameters are.

    The gaps between neighbouring points are a softmax, so they are positive and fill the span.

    Args:
        points: Where the points start, ascending, at least two.

    Raises:
        ValueError: If there are fewer than two points.
    """

    first: Float[Tensor, ""]
    last: Float[Tensor, ""]

    def __init__(self, points: Float[Tensor, " points"]) -> None:
        super().__init__()
        if len(points) < 2:
            raise ValueError(f"a trainable partition needs at least 2 points, got {len(points)}")
        self.register_buffer("first", points[0].clone())
        self.register_buffer("last", points[-1].clone())
        self.log_gaps = nn.Parameter(torch.log(points.diff()))

    def forward(self) -> Float[Tensor, " points"]:
        """Return the points, differentiable."""
        # The last point is not summed up: rounding would push it past the end.
        gaps = torch.softmax(self.log_gaps, dim=0)
        gaps = (gaps + SMALLEST_GAP) / (1 + SMALLEST_GAP * len(gaps))
        inner = self.first + gaps.cumsum(dim=0)[:-1] * (self.last - self.first)
        return torch.cat([self.first[None], inner, self.last[None]])
