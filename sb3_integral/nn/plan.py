"""How a layer's weight and bias follow from its tensors at one size.

A plan holds no parameter values, so it is valid as long as sizes, dtype and device stay the same.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

Tensors = Sequence[Any]
"""A layer's tensors: weight as (out, in, ...), bias or None, a flat one for each correction level."""


class Term(NamedTuple):
    """The beginning of an array, as a summand of a weight or bias.

    Attributes:
        source: The index of the tensor that holds the array.
        whole: The shape of the array.
        shape: The shape of the part that is used.
        factor: What it is multiplied by.
        offset: Where the array begins in a flat tensor; None if the tensor is the array itself.
        strides: The array's strides in a flat tensor.
    """

    source: int
    whole: tuple[int, ...]
    shape: tuple[int, ...]
    factor: float = 1.0
    offset: int | None = None
    strides: tuple[int, ...] = ()

    @classmethod
    def in_flat(
        cls, source: int, whole: tuple[int, ...], shape: tuple[int, ...], factor: float, offset: int
    ) -> Term:
        """Return a term whose array lies in a flat tensor."""
        strides = tuple(math.prod(whole[dim + 1 :]) for dim in range(len(whole)))
        return cls(source, whole, shape, factor, offset, strides)

    def part(self, tensor: Tensor) -> Tensor:
        """Return a view of the part, in one operation that autograd does not have to follow."""
        if self.offset is not None:
            return tensor.as_strided(self.shape, self.strides, tensor.storage_offset() + self.offset)
        return tensor if self.shape == self.whole else tensor.as_strided(self.shape, tensor.stride())

    def traced_part(self, tensor: Tensor) -> Tensor:
        """Return the same by operations that autograd and torch's compilers follow."""
        if self.offset is not None:
            tensor = tensor.narrow(0, self.offset, math.prod(self.whole)).view(self.whole)
        for dim, length in enumerate(self.shape):
            if length < self.whole[dim]:
                tensor = tensor.narrow(dim, 0, length)
        return tensor


class Sampled(NamedTuple):
    """A weight or bias at one size: a sum of terms between two matrices.

    Attributes:
        terms: The summands; the first one has the factor 1 and the shape of the sum.
        sampling: Multiplied with the first dimension; None for the identity. Shape: (new, out).
        integration: Multiplied with the second dimension; None for the identity. Shape: (in, new).
        has_matrices: Whether one of them is not the identity.
        shape: The shape of the weight or bias.
    """

    terms: tuple[Term, ...]
    sampling: Tensor | None
    integration: Tensor | None
    has_matrices: bool
    shape: tuple[int, ...]

    @classmethod
    def from_terms(
        cls, terms: Sequence[Term], sampling: Tensor | None = None, integration: Tensor | None = None
    ) -> Sampled:
        """Return a sum of terms between two matrices."""
        rows, *rest = terms[0].shape
        if sampling is not None:
            rows = len(sampling)
        if integration is not None:
            rest[0] = integration.shape[1]
        has_matrices = not (sampling is None and integration is None)
        return cls(tuple(terms), sampling, integration, has_matrices, (rows, *rest))

    def compute(self, tensors: Tensors) -> Tensor:
        """Compute the weight or bias in few operations, without autograd."""
        first = self.terms[0]
        total = first.part(tensors[first.source])
        is_own = False
        for term in self.terms[1:]:
            part = term.part(tensors[term.source])
            if term.shape != first.shape:
                total = total if is_own else total.clone()
                total.as_strided(term.shape, total.stride()).add_(part, alpha=term.factor)
            elif is_own:
                total.add_(part, alpha=term.factor)
            else:
                total = torch.add(total, part, alpha=term.factor)
            is_own = True
        if self.has_matrices:
            return transform_operator(total, self.sampling, self.integration)
        return total

    def trace(self, tensors: Tensors) -> Tensor:
        """Compute it by operations that autograd and torch's compilers follow."""
        first, *others = self.terms
        total = first.traced_part(tensors[first.source])
        for term in others:
            padding: list[int] = []
            for wanted, length in zip(reversed(first.shape), reversed(term.shape), strict=True):
                padding += (0, wanted - length)
            total = total + F.pad(term.traced_part(tensors[term.source]) * term.factor, padding)
        return transform_operator(total, self.sampling, self.integration)

    def add_gradient(
        self,
        gradient: Tensor,
        tensors: Tensors,
        found: list[Tensor | None],
        begun: set[tuple[int, int | None]],
    ) -> None:
        """Add the gradient of the weight or bias to those of the tensors.

        Args:
            gradient: The gradient of what :meth:`compute` returns.
            tensors: The layer's tensors.
            found: Their gradients so far, None for zero; changed in place.
            begun: Source and offset of the arrays whose gradients are not zero; changed in place.
        """
        if self.has_matrices:
            left, right = self.sampling, self.integration
            gradient = transform_operator(
                gradient, None if left is None else left.t(), None if right is None else right.t()
            )
        for term in self.terms:
            source, _, shape, factor, offset, _ = term
            part = gradient if shape == gradient.shape else gradient.as_strided(shape, gradient.stride())
            total = found[source]
            if total is None:
                total = found[source] = part.new_zeros(tensors[source].shape)
            target = term.part(total)
            if (source, offset) in begun:  # rounded before it is added, as autograd does it
                target.add_(part if factor == 1.0 else part * factor)
            else:
                target.add_(part, alpha=factor)
                begun.add((source, offset))


@dataclass(frozen=True, eq=False)
class LayerPlan:
    """A layer at one size; equal to no other plan.

    Attributes:
        weight: Its weight as (out, in, ...).
        bias: Its bias, if it has one.
        functions: Both, or the weight alone.
        sources: The indices of the tensors that are used.
        is_view: Whether weight and bias are views of the parameters.
        is_identity: Whether they are the parameters themselves.
        is_learned: Whether the matrices depend on points that are being learned.
        tables: Tables of indices that were made for networks whose first layer this is.
    """

    weight: Sampled
    bias: Sampled | None
    functions: tuple[Sampled, ...]
    sources: tuple[int, ...]
    is_view: bool
    is_identity: bool
    is_learned: bool
    tables: dict[Hashable, Any] = field(default_factory=dict)

    @classmethod
    def from_functions(cls, weight: Sampled, bias: Sampled | None) -> LayerPlan:
        """Return the plan of a weight and a bias."""
        both = (weight,) if bias is None else (weight, bias)
        is_view = all(len(f.terms) == 1 and not f.has_matrices for f in both)
        return cls(
            weight,
            bias,
            both,
            tuple(sorted({term.source for function in both for term in function.terms})),
            is_view,
            is_view and weight.terms[0].shape == weight.terms[0].whole,
            any(m is not None and m.requires_grad for f in both for m in (f.sampling, f.integration)),
        )


def transform_operator(
    operator: Float[Tensor, " out *rest"],
    left: Float[Tensor, "new out"] | None,
    right: Float[Tensor, "in new_in"] | None,
) -> Float[Tensor, " new_out *new_rest"]:
    """Multiply the first dimension by a matrix from the left, the second by one from the right.

    Args:
        operator: Shape: (out, in, ...) or (out,).
        left: Shape: (new out, out); None is the identity.
        right: Shape: (in, new in); None is the identity.

    Returns:
        Shape: (new out, new in, ...) or (new out,).
    """
    if left is not None:
        if operator.dim() <= 2:
            operator = left @ operator
        else:
            rest = operator.shape[1:]
            operator = torch.mm(left, operator.reshape(operator.shape[0], -1)).view(-1, *rest)
    if right is None:
        return operator
    if operator.dim() == 2:
        return torch.mm(operator, right)
    rest = operator.shape[2:]
    return (right.t() @ operator.flatten(start_dim=2)).view(operator.shape[0], -1, *rest)
