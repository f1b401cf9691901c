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
    CombinedExtractor,
    FlattenExtractor,
    NatureCNN,
)
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from sb3_integral.nn import (
    Axes,
    Axis,
    CubicConvolution,
    IntegralConv2d,
    IntegralLayer,
    IntegralLinear,
    Kernel,
    Quadrature,
    Size,
    Trapezoidal,
    as_sizes,
    load_whole,
)
from sb3_integral.policies.layout import NetworkLayout, dense, find_layout, replace_submodule, submodules
from sb3_integral.policies.noise import AxisNoise
from sb3_integral.policies.parts import part_class
from sb3_integral.policies.plain import (
    actor_parameter_count,
    build_plain_policy,
    constructor_arguments,
    find_gsde,
)
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

    SB3 builds and initialises the policy; then the actor's layers are strung on axes, sharing their
    parameters. So at full size, with the default grid, it is the plain policy: same initial weights
    for the same seed, same steps. Critics stay plain. ``model.save`` and ``policy.save`` keep the size
    in force. Networks that follow the actor slowly (targets) are on the same axes.

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
        **kwargs: As for the plain policy.

    Raises:
        ValueError: If the actor has nothing to resize, if a size is not a positive integer, or if
            ``scale_levels`` are not as many as the layers.
    """

    actor_axes: Axes

    def __init__(
        self,
        *args: Any,
        grid_size: Size | None = None,
        kernel: Kernel | str = CubicConvolution(),
        quadrature: Quadrature | str = Trapezoidal(),
        nested: bool = False,
        scale_levels: int | Sequence[int] = 0,
        **kwargs: Any,
    ) -> None:
        if scale_levels and not nested:
            raise ValueError(f"scale_levels={scale_levels!r} needs partitions that nest: nested=True")
        self._lock = _Lock()
        self.nested = nested
        self.scale_levels = scale_levels
        self.grid_size = grid_size
        self.kernel = kernel
        self.quadrature = quadrature
        super().__init__(*args, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        """See SB3, whose constructors call this."""
        sizes, grids = self._sizes_and_grids(self._actor_arch(), self.grid_size)
        with self._other_actor_arch(list(grids)):
            super()._build(lr_schedule)  # type: ignore[misc]
        self._string(sizes)

    @staticmethod
    def _sizes_and_grids(
        arch: list[int], grid_size: Size | None
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        sizes = as_sizes(arch, len(arch), "net_arch")
        return sizes, sizes if grid_size is None else as_sizes(grid_size, len(arch), "grid_size")

    def _actor_arch(self) -> list[int]:
        """Return the hidden sizes of the actor's MLP."""
        _, arch = self._arch_slot()
        return list(arch.get("pi", [])) if isinstance(arch, dict) else list(arch)

    @contextmanager
    def _other_actor_arch(self, sizes: list[int]) -> Iterator[None]:
        """Have SB3 build the actor's MLP with other sizes."""
        owner, arch = self._arch_slot()
        owner["net_arch"] = sizes
        if owner is self.__dict__:
            critic = arch.get("vf", []) if isinstance(arch, dict) else arch
            owner["net_arch"] = {"pi": sizes, "vf": list(critic)}
        try:
            yield
        finally:
            owner["net_arch"] = arch

    def _arch_slot(self) -> tuple[dict[str, Any], Any]:
        """Return the dictionary in which this kind of policy keeps its actor's net_arch, and that."""
        owner: dict[str, Any] = self.__dict__
        for name in ("actor_kwargs", "net_args"):
            if name in self.__dict__:
                owner = self.__dict__[name]
                break
        return owner, owner["net_arch"]

    def _string(self, sizes: Sequence[int]) -> None:
        """String the actor's layers on axes; their parameters stay the same objects."""
        layout = find_layout(self)
        online = layout.actors[0]
        is_shared = getattr(self, "share_features_extractor", False)
        readers = [*layout.actors, *(critic for critic in layout.critics if is_shared)]
        hidden = [
            self._axis(size, dense(self, name).out_features)
            for size, name in zip(sizes, online.hidden, strict=True)
        ]
        extractors = [net.extractor for net in layout.actors]
        if is_shared and hasattr(self, "critic_target"):
            extractors.append("critic_target.features_extractor")
        channels, features = self._string_extractors(
            extractors, all(net.reads == "features" for net in readers)
        )
        self.actor_axes = Axes([*channels, *([] if features is None else [features]), *hidden])
        for net in layout.actors:
            self._string_net(net, features, hidden)
        if features is not None:
            for net in readers[len(layout.actors) :]:
                for name in net.first:
                    self._string_dense(name, features, None)
        last = hidden[-1] if hidden else features
        noisy = find_gsde(self)
        if noisy is not None and self.nested:
            raise ValueError("use_sde=True needs ascending partitions, expected nested=False")
        if noisy is not None and last is not None:
            setattr(noisy.owner, "action_dist", AxisNoise.adopt(noisy.distribution, last))  # noqa: B010
        if self.scale_levels:
            self._correct(self.scale_levels, len(layout.actors))
        for part in self.children():
            if isinstance(part, BaseModel):
                part.__class__ = part_class(type(part))

    def _correct(self, levels: int | Sequence[int], n_actors: int) -> None:
        """Give layers on an axis corrections that depend on the scale, and train them too."""
        layers = [layer for _, layer in submodules(self, IntegralLayer)]
        each = [levels] * len(layers) if isinstance(levels, int) else [*levels] * n_actors
        if len(each) != len(layers):
            raise ValueError(
                f"scale_levels must be one number, or one for each layer of the actor "
                f"({len(layers) // n_actors}), got {levels!r}"
            )
        added: dict[int, list[nn.Parameter]] = {}
        for layer, layer_levels in zip(layers, each, strict=True):
            if "corrections" not in layer._modules and layer_levels != 0:
                added[id(layer.weight)] = list(layer.add_scale_corrections(layer_levels).parameters())
        for module in self.modules():
            optimizer = getattr(module, "optimizer", None)
            if isinstance(optimizer, torch.optim.Optimizer):
                trained = [id(p) for group in optimizer.param_groups for p in group["params"]]
                new = [p for weight in trained for p in added.get(weight, [])]
                if new:
                    optimizer.add_param_group({"params": new})

    def _axis(self, size: int, grid_size: int) -> Axis:
        return Axis(
            size,
            grid_size=grid_size,
            kernel=self.kernel,
            quadrature=self.quadrature,
            nested=self.nested,
        )

    def _string_net(self, net: NetworkLayout, in_axis: Axis | None, axes: Sequence[Axis]) -> None:
        before = in_axis
        for name, axis in zip(net.hidden, axes, strict=True):
            self._string_dense(name, before, axis)
            before = axis
        for name in net.heads:
            self._string_dense(name, before, None)
        for name, index in net.norms:
            if index < 0:
                continue  # of the input, which is discrete
            replace_submodule(self, name, self._norm_on(axes[index], self.get_submodule(name)))

    def _norm_on(self, axis: Axis, norm: nn.Module) -> nn.Module:
        """String a layer that normalises a hidden dimension on its axis."""
        raise ValueError(f"cannot string a layer of class {type(norm).__name__} on an axis")

    def _string_dense(self, name: str, in_axis: Axis | None, out_axis: Axis | None) -> None:
        replace_submodule(self, name, IntegralLinear.from_linear(dense(self, name), in_axis, out_axis))

    def _string_extractors(
        self, names: Sequence[str], features_are_axis: bool
    ) -> tuple[list[Axis], Axis | None]:
        """String the CNNs among the actor's extractors on the same axes.

        Returns:
            The axes of channels, and that of the features if they are one.
        """
        channels: list[Axis] = []
        features: Axis | None = None
        for name in names:
            extractor = self.get_submodule(name)
            if isinstance(extractor, CombinedExtractor):
                cnns = [m for m in extractor.extractors.values() if isinstance(m, NatureCNN)]
                features_are_axis = False  # they are put behind others
            else:
                cnns = [extractor] if isinstance(extractor, NatureCNN) else []
            if not channels:
                widths = [m.out_channels for cnn in cnns for m in cnn.cnn if isinstance(m, nn.Conv2d)]
                channels = [self._axis(width, width) for width in widths]
                if cnns and features_are_axis:
                    features = self._axis(cnns[0].features_dim, cnns[0].features_dim)
            remaining = iter(channels)
            for cnn in cnns:
                if not isinstance(
                    cnn.cnn[0], IntegralConv2d
                ):  # shared with a net that was strung before
                    _string_cnn(cnn, remaining, features)
        return channels, features

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = constructor_arguments(self, self.plain_class())
        data.update(
            grid_size=self.grid_size,
            kernel=self.kernel,
            quadrature=self.quadrature,
            nested=self.nested,
            scale_levels=self.scale_levels,
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
        """The actor's sizes in force, one per axis."""
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
        """See SB3. Another thread that resizes the policy waits until the actions are there."""
        with self._lock:
            return super().predict(*args, **kwargs)

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
            size: As for :meth:`resize`; the size in force by default.

        Raises:
            ValueError: If a size is not a positive integer or their number is wrong.
        """
        kept, full = (
            actor_parameter_count(self, self._discrete_state(s))
            for s in (self.sizes if size is None else size, self.max_sizes)
        )
        return 100.0 * (1.0 - kept / full)

    def discretize(self, size: Size | None = None) -> BasePolicy:
        """Return an ordinary SB3 policy of a size, with parameters of its own.

        It is of SB3's classes throughout. Where a ``NatureCNN`` has other channels than SB3's
        constructor makes, it works and trains, but SB3's ``load`` could not build it again.

        Args:
            size: As for :meth:`resize`; the size in force by default.

        Raises:
            ValueError: If a size is not a positive integer or their number is wrong.
        """
        state = self._discrete_state(self.sizes if size is None else size)
        return build_plain_policy(self, self.plain_class(), state)

    @torch.no_grad()
    def _discrete_state(self, size: Size) -> dict[str, Tensor]:
        """Return the state dict of the ordinary policy of a size."""
        sizes = as_sizes(size, len(self.actor_axes))
        with self._lock:
            if sizes == self.sizes:
                return self._discrete_state_in_force()
            with self.actor_axes.resized(sizes):
                return self._discrete_state_in_force()

    def _discrete_state_in_force(self) -> dict[str, Tensor]:
        state: dict[str, Tensor] = dict(self.state_dict())
        for name, layer in submodules(self, IntegralLayer):
            weight, bias = layer.discrete_parameters()
            state[f"{name}.weight"] = weight
            if bias is not None:
                state[f"{name}.bias"] = bias
        for name, _ in (norm for norm in find_layout(self).actors[0].norms if norm[1] >= 0):
            norm = cast(Any, self.get_submodule(name))
            for own, value in norm.discrete_functions().items():
                state[f"{name}.{own}"] = value
        noisy = find_gsde(self)
        if noisy is not None and isinstance(noisy.distribution, AxisNoise):
            log_std = noisy.distribution.discrete_log_std(state[noisy.log_std])
            state[noisy.log_std] = log_std
        return state


def _string_cnn(cnn: NatureCNN, channels: Iterator[Axis], features: Axis | None) -> None:
    before: Axis | None = None
    for index, module in enumerate(cnn.cnn):
        if isinstance(module, nn.Conv2d):
            axis = next(channels)
            cnn.cnn[index] = IntegralConv2d.from_conv(module, before, axis)
            before = axis
    assert before is not None
    linear = cnn.linear[0]
    assert isinstance(linear, nn.Linear)
    pixels = linear.in_features // before.grid_size
    cnn.linear[0] = IntegralLinear.from_linear(linear, before, features, in_repeat=pixels)
