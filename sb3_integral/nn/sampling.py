"""Sampling all weights of a network in one step of autograd.

A training step at a random size costs little more than its arithmetic only if little else happens
around it. So whatever can be prepared for a size is prepared in a plan and kept, views included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sb3_integral.nn.layer import transform_operator


class Piece(NamedTuple):
    """One weight or bias of a flat tensor, and what samples it.

    Attributes:
        nodes: View of the nodal values, as (out, in, ...) or (out,).
        elements: How many there are.
        left: Samples the first dimension; None for the identity.
        right: Integrates over the second dimension; None for the identity.
        left_transposed: Likewise.
        right_transposed: Likewise.
        flat_features: Whether the sample's dimensions after the first are to be flattened.
    """

    nodes: Tensor
    elements: int
    left: Tensor | None
    right: Tensor | None
    left_transposed: Tensor | None
    right_transposed: Tensor | None
    flat_features: bool


class Plan(NamedTuple):
    """How to sample every piece at one size.

    Attributes:
        pieces: In the order in which they lie in the flat tensor.
        layers: The same as pairs of a weight and its bias, if it has one.
        address: Of the flat tensor's memory, which the pieces' views are of.
        is_differentiable: Whether matrices are being learned too.
    """

    pieces: tuple[Piece, ...]
    layers: tuple[tuple[Piece, Piece | None], ...]
    address: int
    is_differentiable: bool


def make_plan(
    flat: Tensor,
    shapes: Sequence[tuple[torch.Size, torch.Size]],
    matrices: Sequence[tuple[Tensor | None, Tensor | None]],
) -> Plan:
    """Prepare to sample the pieces of a flat tensor.

    Args:
        flat: Holds the pieces, one behind the other. Shape: (elements,).
        shapes: For each piece its shape, and the same as (out, in, ...) with the axes' dimensions
            first.
        matrices: For each piece what is multiplied from the left and from the right.
    """
    nodes = flat.detach().split([shape.numel() for shape, _ in shapes])
    pieces = tuple(
        Piece(
            values.view(operator_shape),
            values.numel(),
            left,
            right,
            None if left is None else left.T,
            None if right is None else right.T,
            len(shape) != len(operator_shape),
        )
        for values, (shape, operator_shape), (left, right) in zip(nodes, shapes, matrices, strict=True)
    )
    is_differentiable = any(
        matrix is not None and matrix.requires_grad for pair in matrices for matrix in pair
    )
    address = 0 if torch.compiler.is_compiling() else flat.data_ptr()
    return Plan(pieces, _pair(pieces), address, is_differentiable)


def _pair(pieces: Sequence[Piece]) -> tuple[tuple[Piece, Piece | None], ...]:
    is_bias = [piece.nodes.dim() == 1 for piece in pieces] + [False]
    return tuple(
        (piece, pieces[i + 1] if is_bias[i + 1] else None)
        for i, piece in enumerate(pieces)
        if not is_bias[i]
    )


def sample_flat(flat: Tensor, plan: Plan) -> tuple[Tensor, ...]:
    """Sample every piece of a flat tensor, differentiably.

    Args:
        flat: The tensor that the plan was made for. Shape: (elements,).
        plan: What to do.

    Returns:
        A discrete weight or bias for each piece.
    """
    if torch.compiler.is_compiling() or plan.is_differentiable:
        parts = flat.split([piece.elements for piece in plan.pieces])
        return tuple(
            [
                _sample(piece, part.view(piece.nodes.shape))
                for piece, part in zip(plan.pieces, parts, strict=True)
            ]
        )
    if not torch.is_grad_enabled():
        return tuple([_sample(piece, piece.nodes) for piece in plan.pieces])
    sampled: tuple[Tensor, ...] = _SampleFlat.apply(flat, plan.pieces)  # type: ignore[no-untyped-call]
    return sampled


class _SampleFlat(torch.autograd.Function):
    """Linear in the flat tensor, so that its backward pass needs nothing but the pieces."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor, pieces: tuple[Piece, ...]) -> tuple[Tensor, ...]:
        ctx.pieces = pieces
        samples = [_sample(piece, piece.nodes) for piece in pieces]
        # An output may not be a tensor that lives on in the plan.
        return tuple([s.detach() if s is p.nodes else s for s, p in zip(samples, pieces, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        parts = [
            _adjoint(piece, gradient) for piece, gradient in zip(ctx.pieces, gradients, strict=True)
        ]
        return torch.cat(parts), None


def _sample(piece: Piece, nodes: Tensor) -> Tensor:
    _, _, left, right, _, _, flat_features = piece
    dimensions = nodes.dim()
    if dimensions == 2:
        if left is not None:
            nodes = torch.mm(left, nodes)
        return nodes if right is None else torch.mm(nodes, right)
    if dimensions == 1:
        return nodes if left is None else torch.mv(left, nodes)
    operator = transform_operator(nodes, left, right)
    return operator.flatten(start_dim=1) if flat_features else operator


def _adjoint(piece: Piece, gradient: Tensor) -> Tensor:
    nodes, elements, _, _, left, right, _ = piece
    if gradient.dtype != nodes.dtype:
        gradient = gradient.to(nodes.dtype)
    dimensions = nodes.dim()
    if dimensions == 2:
        if left is not None:
            gradient = torch.mm(left, gradient)
        if right is not None:
            gradient = torch.mm(gradient, right)
    elif dimensions == 1:
        if left is not None:
            gradient = torch.mv(left, gradient)
    else:
        shape = (gradient.shape[0], -1, *nodes.shape[2:])
        gradient = transform_operator(gradient.reshape(shape), left, right)
    return gradient.reshape(elements)
