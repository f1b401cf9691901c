"""Sampling all weights of a network in one step of autograd."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sb3_integral.nn.layer import transform_operator


class Piece(NamedTuple):
    """One weight or bias: where it lies in a flat tensor, and what samples it.

    Attributes:
        start: Its first element.
        shape: Its shape.
        operator_shape: The same as (out, in, ...), the first two dimensions those of the axes.
        left: Samples the first dimension; None for the identity.
        right: Integrates over the second dimension; None for the identity.
    """

    start: int
    shape: torch.Size
    operator_shape: torch.Size
    left: Tensor | None
    right: Tensor | None

    def of(self, flat: Tensor) -> Tensor:
        """View the piece, shaped as an operator."""
        shape = self.operator_shape
        return flat[self.start : self.start + shape.numel()].view(shape)

    def sample(self, operator: Tensor) -> Tensor:
        """Sample the piece, shaped as an operator; the result is shaped as a weight or bias."""
        if operator.dim() == 1:
            return operator if self.left is None else torch.mv(self.left, operator)
        operator = transform_operator(operator, self.left, self.right)
        return operator if len(self.shape) == operator.dim() else operator.flatten(start_dim=1)

    def adjoint(self, gradient: Tensor) -> Tensor:
        """Take a gradient with respect to the sample back to the piece, shaped as an operator."""
        left = None if self.left is None else self.left.T
        if gradient.dim() == 1:
            return gradient if left is None else torch.mv(left, gradient)
        if len(self.operator_shape) != gradient.dim():
            gradient = gradient.view(gradient.shape[0], -1, *self.operator_shape[2:])
        return transform_operator(gradient, left, None if self.right is None else self.right.T)


def sample_flat(flat: Tensor, plan: tuple[Piece, ...]) -> tuple[Tensor, ...]:
    """Sample every piece of a flat tensor, differentiably.

    Args:
        flat: Holds all pieces, one behind the other. Shape: (elements,).
        plan: The pieces.

    Returns:
        A sample for each piece.
    """
    if not torch.is_grad_enabled():
        return tuple([piece.sample(piece.of(flat)) for piece in plan])
    if torch.compiler.is_compiling() or any(
        matrix is not None and matrix.requires_grad for piece in plan for matrix in piece[3:]
    ):
        parts = flat.split([piece.shape.numel() for piece in plan])
        return tuple(
            [
                piece.sample(part.view(piece.operator_shape))
                for piece, part in zip(plan, parts, strict=True)
            ]
        )
    sampled: tuple[Tensor, ...] = _SampleFlat.apply(flat, plan)  # type: ignore[no-untyped-call]
    return sampled


class _SampleFlat(torch.autograd.Function):
    """Linear in the flat tensor, so that its backward pass needs nothing but the plan."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor, plan: tuple[Piece, ...]) -> tuple[Tensor, ...]:
        ctx.plan = plan
        return tuple([piece.sample(piece.of(flat)) for piece in plan])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        parts = [
            piece.adjoint(gradient).reshape(-1)
            for piece, gradient in zip(ctx.plan, gradients, strict=True)
        ]
        return torch.cat(parts), None
