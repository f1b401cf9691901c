"""What makes the actor of an SB3 policy integral, whatever the algorithm."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BaseModel, BasePolicy
from stable_baselines3.common.torch_layers import (
    BaseFeaturesExtractor,
    FlattenExtractor,
    NatureCNN,
)
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from sb3_integral.nn import (
    Axes,
    Axis,
    CubicConvolution,
    IntegralLayer,
    Kernel,
    Quadrature,
    Size,
    Trapezoidal,
    as_sizes,
    load_whole,
)
from sb3_integral.nn.mixed import MixedSizes
from sb3_integral.policies.integral_layers import add_scale_corrections, make_actor_integral
from sb3_integral.policies.layout import find_gsde, find_layout, submodules
from sb3_integral.policies.noise import AxisNoise
from sb3_integral.policies.parts import part_class
from sb3_integral.policies.plain import (
    actor_parameter_count,
    build_plain_policy,
    constructor_arguments,
)
from sb3_integral.policies.size_conditioning import SizeCode, SizedLinear, tell_critics
from sb3_integral.policies.standardize import StandardizeExtractor

Self = TypeVar("Self", bound="IntegralPolicy")

ONE_SPACE_EXTRACTORS = (FlattenExtractor, NatureCNN, StandardizeExtractor)
"""Extractors that cannot read dictionaries of observations."""


class _Lock:
    """A lock that a copy of its owner does not share."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> Any:
        return _Lock, ()


class IntegralPolicy(BasePolicy):
    """Mixed into a policy class of SB3, before it: its actor can be resized after training.

    SB3 builds and initialises the policy. Then the actor's layers become integral layers that share the
    same parameters. At full size, with the default grid, it is therefore the plain policy: the same
    seed gives the same initial weights and the same steps. Critics stay plain. Target networks are on
    the actor's axes. ``model.save`` and ``policy.save`` keep the current size.

    What is resizable, in the order of :attr:`sizes`: the channels of each ``NatureCNN`` that the actor
    reads, its features where the actor alone or a critic of the same kind reads them, and every hidden
    layer of ``net_arch``.

    Args:
        *args: As for the plain policy.
        grid_size: λ nodes per hidden layer of ``net_arch`` (one number, or one per layer); the
            hidden sizes by default.
        kernel: Kernel of the axes, or its name.
        quadrature: Quadrature of the axes, or its name.
        nested: Whether the axes' partitions nest: a small actor has neurons of each larger one.
        scale_levels: If nested: how far down λ has corrections that depend on the scale, in steps of
            1/√2; one number, or one for each layer of the actor (``[0, 0, 9]`` corrects the output
            alone).
        any_size: Whether the policy is to be trained at many sizes at once, by
            :class:`~sb3_integral.AnySizeCallback`, which sets this: partitions nest, and critics know
            the actor's size. Nothing changes at full size.
        **kwargs: As for the plain policy.

    Raises:
        ValueError: If a size is not a positive integer, if observations are dictionaries and the policy
            is not for these, or if ``scale_levels`` are not as many as the layers.
    """

    actor_axes: Axes
    _mixed: MixedSizes | None = None
    _acts_at_mixed_sizes = False

    def __init__(
        self,
        *args: Any,
        grid_size: Size | None = None,
        kernel: Kernel | str = CubicConvolution(),
        quadrature: Quadrature | str = Trapezoidal(),
        nested: bool = False,
        scale_levels: int | Sequence[int] = 0,
        any_size: bool = False,
        **kwargs: Any,
    ) -> None:
        nested = nested or any_size
        if scale_levels and not nested:
            raise ValueError(f"scale_levels={scale_levels!r} needs partitions that nest: nested=True")
        self._lock = _Lock()
        self.nested = nested
        self.any_size = any_size
        self.scale_levels = scale_levels
        self.grid_size = grid_size
        self.kernel = kernel
        self.quadrature = quadrature
        super().__init__(*args, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        """See SB3, whose constructors call this."""
        attributes = vars(self)
        owner = attributes.get("actor_kwargs") or attributes.get("net_args") or attributes
        arch = owner["net_arch"]
        actor_arch = list(arch.get("pi", [])) if isinstance(arch, dict) else list(arch)
        as_sizes(actor_arch, len(actor_arch), "net_arch")
        super()._build(lr_schedule)  # type: ignore[misc]
        self._make_integral()

    def _make_integral(self) -> None:
        """Make the actor's layers integral; their parameters stay the same objects."""
        layout = find_layout(self)
        n_hidden = len(layout.actors[0].hidden)
        grids = None if self.grid_size is None else as_sizes(self.grid_size, n_hidden, "grid_size")
        self.actor_axes = make_actor_integral(self, self._new_axis, self._integral_norm, grids)
        if self.scale_levels:
            add_scale_corrections(self, self.scale_levels, len(layout.actors))
        for part in self.children():
            if isinstance(part, BaseModel):
                part.__class__ = part_class(type(part))
        self._initial_weights = self._weight_sums()
        if self.any_size:
            self._know_size(SizeCode(self.actor_axes))

    def _weight_sums(self) -> tuple[float, ...]:
        """Return what tells whether the actor's weights are those that it was made with."""
        weights = [layer.weight.detach() for _, layer in submodules(self, IntegralLayer)]
        # A policy that is read from a file is made without values.
        return tuple(float(weight.double().sum()) for weight in weights if not weight.is_meta)

    def make_any_size(self: Self) -> Self:
        """Prepare the policy for training at many sizes at once, in place, and return it.

        It acts as before at full size. See ``any_size`` among the arguments.

        Raises:
            ValueError: If the policy has no axis, if neurons are not nodes of the λ grid, or if a critic
                is integral.
        """
        if not self.any_size:
            if not len(self.actor_axes):
                raise ValueError("expected a policy with hidden layers, got one with none")
            if find_gsde(self) is not None:
                raise ValueError("expected use_sde=False: gSDE's noise belongs to one size")
            self.actor_axes.resize(self.max_sizes)
            for axis in self.actor_axes:
                axis.nest()
            self._know_size(SizeCode(self.actor_axes))
            self.nested = self.any_size = True
        return self

    @torch.no_grad()
    def start_alike(self, smallest: int) -> None:
        """Have each size compute what the smallest one does, unless the actor was trained already.

        The neurons that a larger size has beside count for nothing at first. So each size learns from
        the actions of all, until it is better off with those neurons.

        Args:
            smallest: The smallest size of the training.
        """
        if self._weight_sums() == self._initial_weights:
            for _, layer in submodules(self, IntegralLayer):
                if layer.in_axis is not None:
                    layer.weight[:, smallest * layer.in_repeat :].zero_()

    def _know_size(self, code: SizeCode) -> None:
        """Have what is not the actor know the actor's size."""
        tell_critics(self, code)

    def _new_axis(self, size: int, grid_size: int | None = None) -> Axis:
        return Axis(
            size,
            grid_size=grid_size,
            kernel=self.kernel,
            quadrature=self.quadrature,
            nested=self.nested,
        )

    def _integral_norm(self, norm: nn.Module, axis: Axis) -> nn.Module:
        """Return a normalisation layer of a hidden layer on the layer's axis."""
        raise ValueError(f"expected no normalisation of hidden layers, got {type(norm).__name__}")

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = constructor_arguments(self, self.plain_class())
        data.update(
            grid_size=self.grid_size,
            kernel=self.kernel,
            quadrature=self.quadrature,
            nested=self.nested,
            scale_levels=self.scale_levels,
            any_size=self.any_size,
        )
        return data

    @classmethod
    def plain_class(cls) -> type[BasePolicy]:
        """Return SB3's class of which this is the integral kind."""
        kinds = (kind for kind in cls.__mro__ if issubclass(kind, BasePolicy))
        return next(kind for kind in kinds if not issubclass(kind, IntegralPolicy))

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load a state dict of the plain policy, or of an integral one, whose size comes with it.

        A state dict that names no size means full size, as that of a plain policy does; without
        ``strict`` the current size is kept.

        Args:
            state_dict: The parameters, and the size where it is not the full one.
            strict: As in torch.
            assign: As in torch.

        Raises:
            RuntimeError: If it does not fit; the policy is as before then.
        """
        with self._lock:
            return load_whole(self, super().load_state_dict, state_dict, strict, assign)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The actor's current sizes, one per axis."""
        return self.actor_axes.sizes

    @property
    def max_sizes(self) -> tuple[int, ...]:
        """The actor's sizes as built."""
        return self.actor_axes.max_sizes

    def resize(self: Self, size: Size) -> Self:
        """Change the actor's size in place, with no retraining, and return the policy.

        Args:
            size: One integer for all axes, or one per axis.

        Raises:
            ValueError: If a size is not a positive integer or their number is wrong; the policy
                keeps its size then.
        """
        with self._lock:
            self.actor_axes.resize(size)
        return self

    @contextmanager
    def resized(self: Self, size: Size) -> Iterator[Self]:
        """Have another size inside a ``with`` block, and the size from before after it.

        Points that an axis was placed at come back too, and so does what is being tuned.

        Args:
            size: As for :meth:`resize`.

        Raises:
            ValueError: If a size is not a positive integer or their number is wrong.
        """
        resized = self.actor_axes.resized(size)
        with self._lock:
            resized.__enter__()
        try:
            yield self
        finally:
            with self._lock:
                resized.__exit__(None, None, None)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """See SB3. Another thread that resizes the policy waits until the actions are there.

        During training at many sizes it acts at the policy's own size, so that callbacks can evaluate.
        """
        with self._lock:
            if self._mixed is None or self._acts_at_mixed_sizes:
                return super().predict(*args, **kwargs)
            with self._mixed.at(None):
                return super().predict(*args, **kwargs)

    @contextmanager
    def mixed(self) -> Iterator[MixedSizes]:
        """Have the actor take batches of mixed sizes inside a ``with`` block; see :meth:`Axes.mixed`.

        Only ``predict`` acts at one size then, for the evaluations of callbacks.
        """
        with self.actor_axes.mixed() as self._mixed:
            try:
                yield self._mixed
            finally:
                self._mixed = None

    @contextmanager
    def acting_at(self, sizes: Tensor | None) -> Iterator[None]:
        """Have ``predict`` act at mixed sizes too, inside a ``with`` block within :meth:`mixed`.

        Args:
            sizes: The size of each environment's actor; None for full size. Shape: (n_envs,).
        """
        assert self._mixed is not None
        with self._mixed.at(sizes):
            self._acts_at_mixed_sizes = True
            try:
                yield
            finally:
                self._acts_at_mixed_sizes = False

    def make_features_extractor(self) -> BaseFeaturesExtractor:
        """See SB3.

        Raises:
            ValueError: If observations are dictionaries and the extractor cannot read these.
        """
        kind = self.features_extractor_class
        if isinstance(self.observation_space, spaces.Dict) and kind in ONE_SPACE_EXTRACTORS:
            raise ValueError(
                f"{kind.__name__} cannot read dictionaries of observations, expected the policy "
                f'"IntegralMultiInputPolicy" (or CombinedExtractor) in place of {type(self).__name__}'
            )
        return super().make_features_extractor()

    def compression(self, size: Size | None = None) -> float:
        """Return the percentage of the actor's parameters that is gone, as the paper counts it.

        Args:
            size: As for :meth:`resize`; the current size by default.

        Raises:
            ValueError: If a size is not a positive integer or their number is wrong.
        """
        kept, full = (
            actor_parameter_count(self, self.discrete_state(s))
            for s in (self.sizes if size is None else size, self.max_sizes)
        )
        return 100.0 * (1.0 - kept / full)

    def discretize(self, size: Size | None = None) -> BasePolicy:
        """Return an ordinary SB3 policy of a size, with parameters of its own.

        It is of SB3's classes throughout. Where a ``NatureCNN`` has other channels than SB3's
        constructor makes, it works and trains, but SB3's ``load`` could not build it again.

        Args:
            size: As for :meth:`resize`; the current size by default.

        Raises:
            ValueError: If a size is not a positive integer or their number is wrong.
        """
        state = self.discrete_state(size)
        return build_plain_policy(self, self.plain_class(), state)

    @torch.no_grad()
    def discrete_state(self, size: Size | None = None) -> dict[str, Tensor]:
        """Return the state dict of the ordinary policy of a size, its standardisation not folded."""
        sizes = self.sizes if size is None else as_sizes(size, len(self.actor_axes))
        with self._lock:
            if sizes == self.sizes:
                return self._current_discrete_state()
            with self.actor_axes.resized(sizes):
                return self._current_discrete_state()

    def _current_discrete_state(self) -> dict[str, Tensor]:
        state: dict[str, Tensor] = dict(self.state_dict())
        for name, layer in submodules(self, IntegralLayer):
            weight, bias = layer.discrete_parameters()
            state[f"{name}.weight"] = weight
            if bias is not None:
                state[f"{name}.bias"] = bias
        for name, _ in (norm for norm in find_layout(self).actors[0].norms if norm[1] >= 0):
            norm = cast(Any, self.get_submodule(name))
            for function, value in norm.discrete_functions().items():
                state[f"{name}.{function}"] = value
        for name, sized in submodules(self, SizedLinear):
            state[f"{name}.bias"] = sized.current_bias()
        noisy = find_gsde(self)
        if noisy is not None and isinstance(noisy.distribution, AxisNoise):
            log_std = noisy.distribution.discrete_log_std(state[noisy.log_std])
            state[noisy.log_std] = log_std
        return state
