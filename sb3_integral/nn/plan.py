"""The plan of a layer at one size: which tensors its weight and bias are made of, and how.

A plan holds no values of parameters, so it can be kept as long as sizes, dtype and device stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Term(NamedTuple):
    """A tensor that counts in a weight or a bias.

    Attributes:
        source: Which of the layer's tensors.
        shape: How much of it counts, from its beginning.
        factor: What it is multiplied by.
    """

    source: int
    shape: tuple[int, ...]
    factor: float


class Sampled(NamedTuple):
    """A weight or a bias at one size: a sum of terms between two matrices.

    Attributes:
        terms: The sum; the first term has the factor 1 and the shape of the sum.
        sampling: Multiplied with the first dimension; None for the identity. Shape: (new, out).
        integration: Multiplied with the second dimension; None for the identity. Shape: (in, new).
        sampling_transposed: Prepared, for each call in a training step counts.
        integration_transposed: Likewise.
        has_matrices: Whether there is a matrix at all.
        is_whole: Whether the only term is all of the first tensor.
    """

    terms: tuple[Term, ...]
    sampling: Tensor | None = None
    integration: Tensor | None = None
    sampling_transposed: Tensor | None = None
    integration_transposed: Tensor | None = None
    has_matrices: bool = False
    is_whole: bool = False


class LayerPlan(NamedTuple):
    """A layer at one size.

    Attributes:
        weight: Its weight as (out, in, ...).
        bias: Its bias, if it has one.
        sources: The tensors that count.
        is_identity: Whether weight and bias are the parameters themselves.
        is_learned: Whether the matrices depend on points that are being learned.
    """

    weight: Sampled
    bias: Sampled | None
    sources: tuple[int, ...]
    is_identity: bool
    is_learned: bool


def make_sampled(
    terms: tuple[Term, ...],
    sampling: Tensor | None,
    integration: Tensor | None,
    shape: Sequence[int],
) -> Sampled:
    """Prepare a sum of terms, of which the first tensor has a shape, between two matrices."""
    return Sampled(
        terms,
        sampling,
        integration,
        None if sampling is None else sampling.t(),
        None if integration is None else integration.t(),
        sampling is not None or integration is not None,
        len(terms) == 1 and terms[0].shape == tuple(shape),
    )


def make_plan(weight: Sampled, bias: Sampled | None) -> LayerPlan:
    """Return the plan of a layer.

    Args:
        weight: Its weight.
        bias: Its bias, if it has one.
    """
    both = [weight] if bias is None else [weight, bias]
    matrices = [m for each in both for m in (each.sampling, each.integration) if m is not None]
    return LayerPlan(
        weight,
        bias,
        tuple(sorted({term.source for each in both for term in each.terms})),
        not matrices and weight.is_whole,
        any(matrix.requires_grad for matrix in matrices),
    )


def sampled(function: Sampled, tensors: Mapping[int, Tensor]) -> Tensor:
    """Compute a weight or bias in as few operations as possible; no autograd.

    Args:
        function: What to compute.
        tensors: The layer's tensors by number.
    """
    total = tensors[function.terms[0].source] if function.is_whole else _sum(function.terms, tensors)
    if function.has_matrices:
        return transform_operator(total, function.sampling, function.integration)
    return total


def traced(function: Sampled, tensors: Mapping[int, Tensor]) -> Tensor:
    """Compute what :func:`sampled` does, by operations that autograd and torch's compilers follow."""
    first, *others = function.terms
    total = _narrowed(tensors[first.source], first.shape)
    for source, shape, factor in others:
        padding: list[int] = []
        for wanted, there in zip(reversed(first.shape), reversed(shape), strict=True):
            padding += (0, wanted - there)
        total = total + F.pad(_narrowed(tensors[source], shape) * factor, padding)
    return transform_operator(total, function.sampling, function.integration)


def add_gradient(
    function: Sampled,
    gradient: Tensor,
    tensors: Mapping[int, Tensor],
    gradients: dict[int, Tensor],
) -> None:
    """Add the gradient of a weight or bias to the gradients of its terms.

    Args:
        function: The weight or bias.
        gradient: Its gradient.
        tensors: The layer's tensors by number.
        gradients: Theirs so far; changed in place.
    """
    if function.has_matrices:
        gradient = transform_operator(
            gradient, function.sampling_transposed, function.integration_transposed
        )
    source = function.terms[0].source
    if function.is_whole and source not in gradients:
        gradients[source] = gradient
        return
    for source, shape, factor in function.terms:
        # Rounded before it is added, as autograd would.
        part = _beginning(gradient, shape) if factor == 1.0 else _beginning(gradient, shape) * factor
        there = gradients.get(source)
        if there is None:
            whole = tensors[source].shape
            if shape == whole:
                gradients[source] = part
                continue
            there = gradients[source] = part.new_zeros(whole)
        _beginning(there, shape).add_(part)


def transform_operator(operator: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
    """Multiply the first dimension by a matrix from the left, the second by one from the right.

    Args:
        operator: Shape: (out, in, ...) or (out,).
        left: Shape: (new out, out); None is the identity.
        right: Shape: (in, new in); None is the identity.

    Returns:
        Shape: (new out, new in, ...) or (new out,).
    """
    dimensions = operator.dim()
    if left is not None:
        if dimensions == 1:
            return torch.mv(left, operator)
        if dimensions == 2:
            operator = torch.mm(left, operator)
        else:
            rest = operator.shape[1:]
            operator = torch.mm(left, operator.reshape(operator.shape[0], -1)).view(-1, *rest)
    if right is None:
        return operator
    if dimensions == 2:
        return torch.mm(operator, right)
    rest = operator.shape[2:]
    return (right.t() @ operator.flatten(start_dim=2)).view(operator.shape[0], -1, *rest)


def _sum(terms: Sequence[Term], tensors: Mapping[int, Tensor]) -> Tensor:
    source, whole, _ = terms[0]
    total = _beginning(tensors[source], whole)
    is_own = False
    for source, shape, factor in terms[1:]:
        part = _beginning(tensors[source], shape)
        if shape != whole:
            total = total if is_own else total.clone()
            _beginning(total, shape).add_(part, alpha=factor)
        elif is_own:
            total.add_(part, alpha=factor)
        else:
            total = torch.add(total, part, alpha=factor)
        is_own = True
    return total


def _beginning(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return a view of the beginning of a tensor, in one operation."""
    if tensor.shape == shape:
        return tensor
    return tensor.as_strided(shape, tensor.stride())


def _narrowed(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return what :func:`_beginning` does, by operations that autograd follows."""
    for dimension, length in enumerate(shape):
        if length < tensor.shape[dimension]:
            tensor = tensor.narrow(dimension, 0, length)
    return tensor
