"""The integral layer: parameters on a λ grid between two dimensions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from sb3_integral.nn.axis import Axis
from sb3_integral.nn.engine import Parameters, own_tensors, sample_layers
from sb3_integral.nn.placement import Placement
from sb3_integral.nn.plan import LayerPlan, Term, make_plan, make_sampled
from sb3_integral.nn.scale import ScaleCorrections

MOST_PLANS = 256
"""For how many sizes a layer keeps a plan."""

Placements = Mapping[Axis, Placement]
"""Where axes are sampled, in place of where they are now."""

SAMPLED: ContextVar[Mapping[IntegralLayer, Parameters]] = ContextVar("SAMPLED", default={})  # noqa: B039
"""Weights and biases that a network has sampled for its layers, in the thread in which it runs."""


class SharedParameters(NamedTuple):
    """Where a layer's parameters are, once a network keeps all λ in one tensor.

    Attributes:
        owner: The network, in a tuple so that it is not registered as a part of the layer.
        places: Start and shape of each parameter by name.
    """

    owner: tuple[nn.Module]
    places: dict[str, tuple[int, torch.Size]]

    @property
    def flat(self) -> Tensor:
        """The tensor that holds the parameters. Shape: (elements,)."""
        return cast(Tensor, self.owner[0]._parameters["lam_flat"])

    def forget_plans(self) -> None:
        """Have the network plan anew."""
        cast(Any, self.owner[0])._plans.clear()

    def tensor(self, name: str) -> Tensor:
        """Return a parameter, as a view of its part of the flat one."""
        start, shape = self.places[name]
        return self.flat.narrow(0, start, math.prod(shape)).view(shape)


class IntegralLayer(nn.Module):
    """A layer between two dimensions, each of them discrete or an axis; mixed into torch's layers.

    On an axis the weight is a function, sampled at the axis' size: the output dimension by the kernel
    (Eq. 2), the input dimension by the kernel and the quadrature (Eq. 3). The bias is a function on
    the output axis.

    The parameter ``weight`` holds λ times the quadrature weight of its own node along the input
    axis. At equal grid and size it therefore *is* the weight of the discrete layer: the layer costs
    what the discrete one costs, is initialised by whatever initialises that, trains at the same
    learning rate, and takes over a trained one exactly. λ itself is :attr:`lam`.

    Where all its axes nest, the layer may have corrections that depend on the scale; see
    :meth:`add_scale_corrections`.
    """

    weight: Tensor
    bias: Tensor | None

    in_repeat: int = 1
    # Plain tuples, so that the axes are not registered here: an axis belongs to the network.
    _axes: tuple[Axis | None, Axis | None]
    _plans: dict[tuple[object, ...], LayerPlan]

    _shared: SharedParameters | None = None

    def __getattr__(self, name: str) -> Any:
        shared = self.__dict__.get("_shared")
        if shared is not None and name in shared.places:
            return shared.tensor(name)
        return super().__getattr__(name)

    def share(self, owner: nn.Module, name: str, start: int, shape: torch.Size) -> None:
        """Give up a parameter, which is part of a network's flat one from now on.

        Args:
            owner: The network.
            name: ``weight`` or ``bias``.
            start: Where the parameter begins in ``owner.lam_flat``.
            shape: Its shape.
        """
        delattr(self, name)
        places = {} if self._shared is None else self._shared.places
        # Not through Module.__setattr__, which would register the owner as a part of the layer.
        self.__dict__["_shared"] = SharedParameters((owner,), {**places, name: (start, shape)})

    def _put_between(self, in_dimension: int | Axis, out_dimension: int | Axis) -> None:
        """Set what the layer is between, once torch's constructor has run."""
        self._axes = (axis_or_none(in_dimension), axis_or_none(out_dimension))
        self._plans = {}

    @property
    def in_axis(self) -> Axis | None:
        """The axis that is integrated over; None where the input is discrete."""
        return self._axes[0]

    @property
    def out_axis(self) -> Axis | None:
        """The axis along which the output is sampled; None where the output is discrete."""
        return self._axes[1]

    @property
    def lam(self) -> Tensor:
        """The coefficients λ of Eq. 2; may be set. Shape: (grid or out, grid or in, ...)."""
        return self._operator() / self._node_weights()

    @lam.setter
    @torch.no_grad()
    def lam(self, lam: Tensor) -> None:
        self._operator().copy_(lam * self._node_weights())

    def _operator(self) -> Tensor:
        weight = self.weight
        return weight if self.in_repeat == 1 else weight.view(self.operator_shape(weight.shape))

    def _node_weights(self) -> Tensor:
        """Quadrature weights of the λ nodes along the input, to be multiplied with an operator."""
        if self.in_axis is None:
            return torch.ones((), dtype=self.weight.dtype, device=self.weight.device)
        weights = self.in_axis.node_weights().to(self.weight)
        return weights.view(1, -1, *[1] * (len(self.operator_shape(self.weight.shape)) - 2))

    def add_scale_corrections(self, levels: int) -> ScaleCorrections:
        """Give the layer corrections that depend on the scale, zero at first, and return them.

        A layer between two axes is at the geometric mean of their scales.

        Args:
            levels: How far down, in steps of 1/√2; see :class:`ScaleCorrections`.

        Raises:
            ValueError: If ``levels`` is not a positive integer, if the layer is on no axis, or if the
                partitions of one do not nest.
        """
        axes = [axis for axis in self._axes if axis is not None]
        if not axes or not all(axis.nested for axis in axes):
            raise ValueError(f"corrections need axes whose partitions nest, got {axes}")
        in_axis, out_axis = self._axes
        ends = (out_axis is not None, in_axis is not None)
        corrections = ScaleCorrections(self._operator(), self.bias, ends, levels)
        self.corrections = corrections
        self._plans.clear()
        if self._shared is not None:
            self._shared.forget_plans()
        return corrections

    def discretize(self, at: Placements | None = None) -> nn.Module:
        """Return an ordinary layer of the current size, with parameters of its own.

        Args:
            at: Where axes are sampled instead; the others are sampled at their current size.
        """
        raise NotImplementedError

    def on_axes(self, in_axis: Axis | None, out_axis: Axis | None) -> IntegralLayer:
        """Return a layer of the same kind on other axes, its parameters not yet meaningful."""
        raise NotImplementedError

    def operator_shape(self, shape: torch.Size) -> torch.Size:
        """Return a weight's shape as (out, in, ...), the first two dimensions those of the axes."""
        return shape

    def discrete_parameters(self, at: Placements | None = None) -> Parameters:
        """Return weight and bias at the current size, differentiable in the parameters.

        Args:
            at: As for :meth:`discretize`.
        """
        plan = self.plan(at)
        if plan.is_identity:
            return self.weight, self.bias
        tensors, packing = own_tensors([[plan]], [self.tensors()])
        ((operator, bias),) = sample_layers([plan], tensors, packing)
        return self.as_weight(operator), bias

    def as_weight(self, operator: Tensor) -> Tensor:
        """Return a weight, given as (out, in, ...), in the shape that the layer computes with."""
        return operator if self.in_repeat == 1 else operator.flatten(start_dim=1)

    def tensors(self) -> list[Tensor | None]:
        """Return all tensors that weight and bias can be made of, by their number in a plan."""
        tensors = [self._operator(), self.bias]
        corrections = cast("ScaleCorrections | None", self._modules.get("corrections"))
        if corrections is not None:
            # Not by the lists' own iterators, which are slow: this happens in every step.
            tensors += corrections.weights._parameters.values()
            tensors += corrections.biases._parameters.values()
        return tensors

    def plan(self, at: Placements | None = None) -> LayerPlan:
        """Return how weight and bias are computed at the current size.

        Args:
            at: As for :meth:`discretize`.
        """
        ends = [
            None if axis is None else (at and at.get(axis)) or axis.placement
            for axis in (self.out_axis, self.in_axis)
        ]
        if self._shared is None:
            like = self.weight
            shape = like.shape
        else:
            like, shape = self._shared.flat, self._shared.places["weight"][1]
        if torch.compiler.is_compiling():  # which keeps what it traced
            return self._make_plan(like, shape, *ends)
        key = (like.dtype, like.device, shape, *[None if end is None else end.key for end in ends])
        plan = self._plans.get(key)
        if plan is None:
            plan = self._make_plan(like, shape, *ends)
            if all(end is None or isinstance(end.key, int) for end in ends):
                if len(self._plans) >= MOST_PLANS:
                    self._plans.clear()
                self._plans[key] = plan
        return plan

    def _make_plan(
        self,
        like: Tensor,
        shape: torch.Size,
        out_placement: Placement | None,
        in_placement: Placement | None,
    ) -> LayerPlan:
        ends = (out_placement, in_placement)
        shape = self.operator_shape(shape)
        size = tuple(
            features if end is None or end.prefix is None else end.prefix
            for features, end in zip(shape[:2], ends, strict=True)
        )
        # Where samples are nodes, they are the first ones, and no matrix is needed.
        left, right = (
            None if end is None or end.prefix is not None else end.matrices(like) for end in ends
        )
        sampling = None if left is None else left.sampling
        integration = None if right is None else right.integration
        weights = [(0, shape, 1.0)]
        biases = [(1, shape[:1], 1.0)]
        corrections = cast("ScaleCorrections | None", self._modules.get("corrections"))
        if corrections is not None:
            scales = [end.size / end.grid_size for end in ends if end is not None]
            n_levels = len(corrections.scales)
            for level, factor in corrections.at(math.prod(scales) ** (1.0 / len(scales))):
                reach = corrections.shapes[level]
                weights.append((2 + level, reach, factor))
                biases.append((2 + n_levels + level, reach[:1], factor))

        def terms(found: list[tuple[int, torch.Size, float]]) -> tuple[Term, ...]:
            return tuple(
                Term(number, (*map(min, reach[:2], size), *reach[2:]), factor)
                for number, reach, factor in found
            )

        return make_plan(
            make_sampled(terms(weights), sampling, integration, shape),
            None if self.bias is None else make_sampled(terms(biases), sampling, None, shape[:1]),
        )

    def _current_parameters(self) -> Parameters:
        if torch.compiler.is_compiling():
            return self.discrete_parameters()
        parameters = SAMPLED.get().get(self)
        return self.discrete_parameters() if parameters is None else parameters

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_plans": {}}


def grid_or_features(dimension: int | Axis) -> int:
    """Return how many stored values a dimension has."""
    return dimension.grid_size if isinstance(dimension, Axis) else dimension


def axis_or_none(dimension: int | Axis) -> Axis | None:
    """Return the axis, if the dimension is one."""
    return dimension if isinstance(dimension, Axis) else None


def check_grid(axis: Axis | None, features: int, side: str) -> None:
    """Check that an axis' grid has a node for each feature of a discrete layer.

    Raises:
        ValueError: If it has not.
    """
    if axis is not None and axis.grid_size != features:
        raise ValueError(
            f"the {side} axis has a grid of {axis.grid_size} nodes, expected {features}, "
            f"one for each {side} feature of the layer"
        )
