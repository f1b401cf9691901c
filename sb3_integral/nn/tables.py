"""Tables of indices: the parameters of an MLP at one or more small sizes, gathered at once.

The weights of a small network are few, but they are the beginnings of many arrays: each layer's own, its
bias and the corrections of two scales. Gathering them by index takes a handful of operations, whatever
their number. Several networks are merged into one: its first weight stacks the rows of their first
weights, and each later one is block-diagonal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sb3_integral.nn.plan import LayerPlan, Sampled, Tensors

MAX_CACHED_MERGERS = 256
"""Combinations of sizes whose positions in the merged network are cached: some 30 kB each."""

Plans = tuple[LayerPlan, ...]
"""The plan of each layer of a network at one size."""


Shapes = tuple[tuple[int, ...], ...]
"""The shape of each weight and bias of a network."""


class _Source(NamedTuple):
    """Where the elements of a network lie in its tensors, which are thought of as one flat tensor.

    Attributes:
        indices: Of each summand of each element: of each layer the weight row by row, then the bias.
        factors: What it is multiplied by; zero where an element has fewer summands.
    """

    indices: Int[Tensor, "summands elements"]
    factors: Float[Tensor, "summands elements"]


@dataclass(frozen=True)
class Table:
    """How the parameters of a network, or of several merged into one, are gathered.

    Attributes:
        indices: Of each summand of each element in the flat tensor.
        factors: What it is multiplied by.
        positions: Of each element among those of the merged network; None where there is one network.
        shapes: The shape of each weight and bias of the merged network.
        sources: Which of each layer's tensors are used.
    """

    indices: Int[Tensor, "summands elements"]
    factors: Float[Tensor, "summands elements"]
    positions: Int[Tensor, " elements"] | None
    shapes: Shapes
    sources: tuple[frozenset[int], ...]

    @classmethod
    def from_plans(cls, sizes: Sequence[Plans], tensors: Sequence[Tensors]) -> Table:
        """Return the table of the networks of one or more sizes.

        Args:
            sizes: The plans of each.
            tensors: The tensors of each layer.
        """
        n_terms = max(len(f.terms) for plans in sizes for plan in plans for f in plan.functions)
        parts = [_source(plans, n_terms, tensors) for plans in sizes]
        sources = tuple(
            [frozenset().union(*(plan.sources for plan in at)) for at in zip(*sizes, strict=True)]
        )
        if len(sizes) == 1:
            shapes = tuple([function.shape for plan in sizes[0] for function in plan.functions])
            return cls(*parts[0], None, shapes, sources)
        positions, shapes = _merger(tuple(sizes), tensors[0][0].device)
        indices, factors = (torch.cat(each, dim=1) for each in zip(*parts, strict=True))
        return cls(indices, factors, positions, shapes, sources)

    def gather(self, flat: Float[Tensor, " length"]) -> list[Tensor]:
        """Return each weight and bias of the network, differentiably."""
        found = flat.index_select(0, self.indices.view(-1)).view(self.indices.shape)
        elements = (found * self.factors).sum(dim=0)
        lengths = [math.prod(shape) for shape in self.shapes]
        if self.positions is not None:
            elements = flat.new_zeros(sum(lengths)).index_copy(0, self.positions, elements)
        parts = elements.split(lengths)
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def add_gradient(self, gradients: Sequence[Tensor], flat: Float[Tensor, " length"]) -> None:
        """Add the gradients of what :meth:`gather` returned to that of the flat tensor."""
        elements = torch.cat([gradient.reshape(-1) for gradient in gradients])
        if self.positions is not None:
            elements = elements.index_select(0, self.positions)
        flat.index_add_(0, self.indices.view(-1), (elements * self.factors).view(-1))


def _source(plans: Plans, n_terms: int, tensors: Sequence[Tensors]) -> _Source:
    first, *others = plans
    key = (n_terms, *others)
    source: _Source | None = first.tables.get(key)
    if source is None:
        source = first.tables[key] = _make_source(plans, n_terms, tensors)
    return source


def _make_source(plans: Plans, n_terms: int, tensors: Sequence[Tensors]) -> _Source:
    indices, factors, start = [], [], 0
    for plan, of_layer in zip(plans, tensors, strict=True):
        starts = []
        for tensor in of_layer:
            starts.append(start)
            start += 0 if tensor is None else tensor.numel()
        for function in plan.functions:
            index = np.zeros((n_terms, *function.shape), dtype=np.int64)
            factor = np.zeros((n_terms, *function.shape))
            for number, term in enumerate(function.terms):
                part = tuple([slice(length) for length in term.shape])
                whole = np.arange(math.prod(term.whole)).reshape(term.whole)
                index[number][part] = starts[term.source] + (term.offset or 0) + whole[part]
                factor[number][part] = term.factor
            indices.append(index.reshape(n_terms, -1))
            factors.append(factor.reshape(n_terms, -1))
    like = tensors[0][0]
    return _Source(
        torch.from_numpy(np.concatenate(indices, axis=1)).to(like.device),
        torch.from_numpy(np.concatenate(factors, axis=1)).to(like),
    )


def _merger(
    sizes: tuple[Plans, ...], device: torch.device
) -> tuple[Tensor, tuple[tuple[int, ...], ...]]:
    """Return where the elements of several networks are in the merged one, and its shapes."""
    tables = sizes[0][0].tables
    found: tuple[Tensor, Shapes] | None = tables.get(sizes)
    if found is None:
        if len(tables) >= MAX_CACHED_MERGERS:
            tables.clear()
        found = tables[sizes] = _make_merger(sizes, device)
    return found


def _make_merger(sizes: tuple[Plans, ...], device: torch.device) -> tuple[Tensor, Shapes]:
    shapes: list[tuple[int, ...]] = []
    positions: list[list[np.ndarray]] = [[] for _ in sizes]
    start = 0
    for layer, plans in enumerate(zip(*sizes, strict=True)):
        for number, functions in enumerate(zip(*(plan.functions for plan in plans), strict=True)):
            is_diagonal = layer > 0 and number == 0
            rows = sum(function.shape[0] for function in functions)
            columns = [
                sum(f.shape[1] for f in functions) if is_diagonal else d for d in functions[0].shape[1:]
            ]
            shapes.append((rows, *columns))
            places = start + np.arange(math.prod(shapes[-1])).reshape(shapes[-1])
            for of_size, corner in zip(positions, _corners(functions, is_diagonal), strict=True):
                of_size.append(places[corner].reshape(-1))
            start += places.size
    together = np.concatenate([part for of_size in positions for part in of_size])
    return torch.from_numpy(together).to(device), tuple(shapes)


def _corners(functions: Sequence[Sampled], is_diagonal: bool) -> Iterator[tuple[slice, ...]]:
    """Yield where each of several weights or biases is in the merged one."""
    row = column = 0
    for function in functions:
        height, *widths = function.shape
        yield (
            slice(row, row + height),
            *(slice(column, column + width) for width in widths),
        )
        row += height
        column += widths[0] if is_diagonal else 0
