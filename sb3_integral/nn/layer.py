"""The base class of integral layers, whose parameters lie on λ grids."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sb3_integral.nn.axis import MAX_CACHED_SIZES, Axis
from sb3_integral.nn.engine import Parameters, SampleCache, cached_or_computed, sample_layers
from sb3_integral.nn.mixed import MixedSizes
from sb3_integral.nn.placement import Placement
from sb3_integral.nn.plan import LayerPlan, Sampled, Tensors, Term
from sb3_integral.nn.scale import ScaleCorrections

Discrete = TypeVar("Discrete", bound="nn.Linear | nn.Conv2d")

WeightFunction = Callable[[Tensor], Tensor]
"""From a discrete weight to the one that a layer computes with, in training that rounds weights."""

Placements = Mapping[Axis, Placement]
"""Placements that override the current ones, by axis."""

PRESAMPLED: ContextVar[Mapping[IntegralLayer, Parameters]] = ContextVar("PRESAMPLED", default={})  # noqa: B039
"""Weights and biases that a network sampled for all its layers at once, for the current thread."""


class FlatSlices(NamedTuple):
    """Where a layer's parameters are, once a network keeps all λ in one tensor.

    Attributes:
        owner: The network, in a tuple so that it is not registered as a part of the layer.
        places: Start and shape of each parameter by name.
    """

    owner: tuple[nn.Module]
    places: dict[str, tuple[int, torch.Size]]

    @property
    def flat(self) -> Float[Tensor, " elements"]:
        """The tensor that holds the parameters."""
        return cast(Tensor, self.owner[0]._parameters["lam_flat"])


class IntegralLayer(nn.Module):
    """Mixin for torch's layers: the input and the output dimension are each discrete or an axis.

    On an axis the weight is a function, sampled at the axis' size: the output dimension by the kernel
    (Eq. 2), the input dimension by the kernel and the quadrature (Eq. 3). The bias is a function on
    the output axis.

    The parameter ``weight`` holds λ times the quadrature weight of its own node along the input
    axis. If grid and size are equal, it is therefore the weight of the discrete layer. Cost,
    initialisation and learning rate are then the same, and a trained discrete layer converts exactly. λ
    itself is :attr:`lam`.

    Where all its axes nest, the layer may have corrections that depend on the scale; see
    :meth:`add_scale_corrections`.

    Attributes:
        weight_function: What :meth:`forward` does with the weight that was sampled; None for nothing.
    """

    weight: Tensor
    bias: Tensor | None

    in_repeat: int = 1
    weight_function: WeightFunction | None = None
    # A plain tuple, so that the axes are not registered here: an axis belongs to the network.
    _axes: tuple[Axis | None, Axis | None]
    _plans: dict[tuple[object, ...], LayerPlan]
    _kept: SampleCache | None = None
    _shared: FlatSlices | None = None

    def _set_axes(self, in_dimension: int | Axis, out_dimension: int | Axis) -> None:
        """Store the axes, once torch's constructor has run."""
        ends = (in_dimension, out_dimension)
        in_axis, out_axis = (end if isinstance(end, Axis) else None for end in ends)
        self._axes = (in_axis, out_axis)
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
    def mixed(self) -> MixedSizes | None:
        """The sizes of the samples of a batch, where these differ; see :meth:`Axes.mixed`."""
        axis = self._axes[0] or self._axes[1]
        mixed = None if axis is None else axis.mixed
        return mixed if mixed is not None and mixed.sizes is not None else None

    @property
    def lam(self) -> Float[Tensor, "out in *rest"]:
        """The coefficients λ of Eq. 2; may be set. A dimension on an axis has a λ for each node."""
        return self._operator() / self._node_weights()

    @lam.setter
    @torch.no_grad()
    def lam(self, lam: Float[Tensor, "out in *rest"]) -> None:
        self._operator().copy_(lam * self._node_weights())

    def _operator(self) -> Float[Tensor, "out in *rest"]:
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

        The scale of a layer between two axes is the geometric mean of theirs.

        Args:
            levels: How far below full size they reach, in steps of 1/√2; see :class:`ScaleCorrections`.

        Raises:
            ValueError: If ``levels`` is not a positive integer, if the layer is on no axis, or if the
                partitions of one do not nest.
        """
        axes = [axis for axis in self._axes if axis is not None]
        if not axes or not all(axis.nested for axis in axes):
            raise ValueError(f"corrections need axes whose partitions nest, got {axes}")
        ends = (self.out_axis is not None, self.in_axis is not None)
        corrections = ScaleCorrections(self._operator(), self.bias, ends, levels)
        self.corrections = corrections
        self._plans.clear()
        self._kept = None
        return corrections

    @property
    def has_corrections(self) -> bool:
        """Whether the layer has corrections that depend on the scale."""
        return "corrections" in self._modules

    @classmethod
    def _from_plain(
        cls,
        plain: nn.Linear | nn.Conv2d,
        in_features: int,
        in_axis: Axis | None,
        out_axis: Axis | None,
        **kwargs: Any,
    ) -> Any:
        """Return a layer with a discrete layer's parameter objects.

        Raises:
            ValueError: If an axis' grid does not have a node for each feature of the layer.
        """
        out_features = len(plain.weight)
        for axis, features, side in (
            (in_axis, in_features, "input"),
            (out_axis, out_features, "output"),
        ):
            if axis is not None and axis.grid_size != features:
                raise ValueError(
                    f"the {side} axis has a grid of {axis.grid_size} nodes, expected {features}, "
                    f"one for each {side} feature of the layer"
                )
        layer: Any = cls(
            in_features if in_axis is None else in_axis,
            out_features if out_axis is None else out_axis,
            bias=plain.bias is not None,
            device="meta",
            **kwargs,
        )
        layer.weight, layer.bias = plain.weight, plain.bias
        return layer

    def on_axes(self, in_axis: Axis | None, out_axis: Axis | None) -> IntegralLayer:
        """Return a layer of the same class on other axes. The caller sets its parameters."""
        out_features, in_features = self.operator_shape(self.weight.shape)[:2]
        kind: Any = type(self)
        layer: IntegralLayer = kind(
            in_features if in_axis is None else in_axis,
            out_features if out_axis is None else out_axis,
            bias=self.bias is not None,
            device=self.weight.device,
            dtype=self.weight.dtype,
            **self._options(),
        )
        return layer

    def _options(self) -> dict[str, Any]:
        """Return the constructor's arguments other than dimensions and bias."""
        raise NotImplementedError

    def discretize(self, at: Placements | None = None) -> nn.Module:
        """Return an ordinary layer of the current size, with parameters of its own.

        Args:
            at: Where axes are sampled instead; the others are sampled at their current size.
        """
        raise NotImplementedError

    @torch.no_grad()
    def _discretized(self, kind: type[Discrete], at: Placements | None, **kwargs: Any) -> Discrete:
        weight, bias = self.discrete_parameters(at)
        layer = kind(weight.shape[1], len(weight), bias=bias is not None, device="meta", **kwargs)
        layer.weight = nn.Parameter(weight.clone())
        if bias is not None:
            layer.bias = nn.Parameter(bias.clone())
        return layer

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
        tensors = self.tensors()
        if not plan.is_view:
            used = [cast(Tensor, tensors[source]) for source in plan.sources]

            def sample() -> Parameters:
                # A cached reference to the parameters would make torch.utils.swap_tensors fail.
                detached = [None if tensor is None else tensor.detach() for tensor in tensors]
                return self.as_parameters(sample_layers([plan], [detached])[0])

            kept = cached_or_computed(self._kept, plan, used, sample)
            if kept is not None:
                self.__dict__["_kept"] = kept
                return cast(Parameters, kept.parameters)
        return self.as_parameters(sample_layers([plan], [tensors])[0])

    def as_parameters(self, sampled: Parameters) -> Parameters:
        """Return a weight, sampled as (out, in, ...), in the shape that the layer computes with."""
        operator, bias = sampled
        return (operator if self.in_repeat == 1 else operator.flatten(start_dim=1)), bias

    def tensors(self) -> Tensors:
        """Return all tensors that weight and bias are made of."""
        return [self._operator(), self.bias, *self.correction_tensors()]

    def correction_tensors(self) -> list[Tensor]:
        """Return the corrections of each scale, if there are any."""
        corrections = cast("ScaleCorrections | None", self._modules.get("corrections"))
        # Not by the list's own iterator, which is slow: this happens in every step.
        if corrections is None:
            return []
        return list(cast("dict[str, Tensor]", corrections.levels._parameters).values())

    def plan(self, at: Placements | None = None) -> LayerPlan:
        """Return how weight and bias are computed at the current size.

        Args:
            at: As for :meth:`discretize`.
        """
        in_axis, out_axis = self._axes
        in_end = None if in_axis is None else (at and at.get(in_axis)) or in_axis.placement
        out_end = None if out_axis is None else (at and at.get(out_axis)) or out_axis.placement
        shared = self._shared
        like = self.weight if shared is None else shared.flat
        if torch.compiler.is_compiling():  # which keeps what it traced
            return self._make_plan(like, out_end, in_end)
        key = (like.dtype, like.device, out_end, in_end)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._make_plan(like, out_end, in_end)
            if not plan.is_learned:
                if len(self._plans) >= MAX_CACHED_SIZES:
                    self._plans.clear()
                self._plans[key] = plan
        return plan

    def _make_plan(self, like: Tensor, out_end: Placement | None, in_end: Placement | None) -> LayerPlan:
        ends = (out_end, in_end)
        shape = self.operator_shape(self.weight.shape)
        size = tuple(
            features if end is None or end.prefix is None else end.prefix
            for features, end in zip(shape[:2], ends, strict=True)
        )
        # Where samples are nodes, they are the first ones, and no matrix is needed.
        left, right = (
            None if end is None or end.prefix is not None else end.matrices(like) for end in ends
        )
        sampling = None if left is None else left.sampling
        weights = [Term(0, shape, (*size, *shape[2:]))]
        biases = [Term(1, shape[:1], size[:1])]
        corrections = cast("ScaleCorrections | None", self._modules.get("corrections"))
        if corrections is not None:
            scales = [end.size / end.grid.size for end in ends if end is not None]
            for level, factor in corrections.at(math.prod(scales) ** (1.0 / len(scales))):
                whole = corrections.shapes[level]
                part = (*map(min, whole[:2], size), *whole[2:])
                weights.append(Term.in_flat(2 + level, whole, part, factor, 0))
                biases.append(Term.in_flat(2 + level, whole[:1], part[:1], factor, whole.numel()))
        return LayerPlan.from_functions(
            Sampled.from_terms(weights, sampling, None if right is None else right.integration),
            None if self.bias is None else Sampled.from_terms(biases, sampling),
        )

    def _current_parameters(self) -> Parameters:
        found = None if torch.compiler.is_compiling() else PRESAMPLED.get().get(self)
        weight, bias = self.discrete_parameters() if found is None else found
        return (weight if self.weight_function is None else self.weight_function(weight)), bias

    def share(self, owner: nn.Module, name: str, start: int, shape: torch.Size) -> None:
        """Delete a parameter that is now part of a network's flat parameter.

        Args:
            owner: The network.
            name: ``weight`` or ``bias``.
            start: Where the parameter begins in ``owner.lam_flat``.
            shape: Its shape.
        """
        delattr(self, name)
        places = {} if self._shared is None else self._shared.places
        # Not through Module.__setattr__, which would register the owner as a part of the layer.
        self.__dict__["_shared"] = FlatSlices((owner,), {**places, name: (start, shape)})

    def __getattr__(self, name: str) -> Any:
        shared = self.__dict__.get("_shared")
        if shared is not None and name in shared.places:
            start, shape = shared.places[name]
            return shared.flat.narrow(0, start, math.prod(shape)).view(shape)
        return super().__getattr__(name)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_plans": {}, "_kept": None}


def grid_or_features(dimension: int | Axis) -> int:
    """Return a dimension's stored length: an axis' grid size, or the number of features."""
    return dimension.grid_size if isinstance(dimension, Axis) else dimension
