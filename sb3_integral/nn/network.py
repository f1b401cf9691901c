"""A network of integral layers: all its axes, and all its λ in one tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from sb3_integral.nn.axis import Axes
from sb3_integral.nn.copying import copied
from sb3_integral.nn.engine import Parameters, SampleCache, cached_or_computed, sample_layers
from sb3_integral.nn.layer import PRESAMPLED, IntegralLayer
from sb3_integral.nn.plan import Tensors
from sb3_integral.nn.running import has_hooks, run_at_sizes
from sb3_integral.nn.sizes import Size
from sb3_integral.nn.state import load_whole

Self = TypeVar("Self", bound="IntegralNetwork")


class IntegralNetwork(nn.Module):
    """Any module with integral layers in it: an MLP, a CNN, a shared trunk with several heads.

    Weights and biases of the integral layers become parts of one flat parameter, :attr:`lam_flat`, so
    that the optimizer has one tensor to visit. Corrections that depend on the scale stay parameters of
    their own.

    Without gradients, the sampled weights are reused as long as the sizes and the *values* of the
    parameters are the same, by whatever means these are changed.

    Args:
        module: What is run. Its axes are those of its layers.

    Attributes:
        module: The module. Its integral layers' ``weight`` and ``bias`` are views of the flat parameter.
        axes: The axes, in the order in which data meets them.
        lam_flat: All weights and biases of the integral layers, one behind the other.

    Raises:
        ValueError: If there is no integral layer, or their parameters differ in dtype or device.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self._layers = tuple(part for part in module.modules() if isinstance(part, IntegralLayer))
        if not self._layers:
            raise ValueError(f"found no integral layer in {type(module).__name__}")
        axes = [axis for layer in self._layers for axis in layer._axes if axis is not None]
        self.axes = Axes(dict.fromkeys(axes))
        self._axis_list = list(self.axes)
        named = [
            (layer, name, tensor)
            for layer in self._layers
            for name, tensor in (("weight", layer.weight), ("bias", layer.bias))
            if tensor is not None
        ]
        kinds = {f"{tensor.dtype} on {tensor.device}" for *_, tensor in named}
        if len(kinds) != 1:
            raise ValueError(f"integral layers must share dtype and device, got {sorted(kinds)}")
        self.lam_flat = nn.Parameter(torch.cat([t.detach().flatten() for *_, t in named]))
        # Lengths of the parts of the flat parameter, and the shapes that the engine wants them in.
        self._lengths = [tensor.numel() for *_, tensor in named]
        self._shapes = [
            (layer.operator_shape(layer.weight.shape), layer.bias is not None) for layer in self._layers
        ]
        start = 0
        for layer, name, tensor in named:
            layer.share(self, name, start, tensor.shape)
            start += tensor.numel()
        self._kept: SampleCache | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """The current hidden sizes."""
        return self.axes.sizes

    @property
    def max_sizes(self) -> tuple[int, ...]:
        """The hidden sizes that the network was built with."""
        return self.axes.max_sizes

    def resize(self: Self, size: Size) -> Self:
        """Set the hidden sizes, with no retraining: one integer for all, or one per axis.

        Raises:
            ValueError: If a size is not a positive integer or their number is wrong.
        """
        self.axes.resize(size)
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module at the current size."""
        if torch.compiler.is_compiling():
            return self.module(*args, **kwargs)
        token = PRESAMPLED.set(self._sampled())
        try:
            return self.module(*args, **kwargs)
        finally:
            PRESAMPLED.reset(token)

    def forward_at_sizes(self, inputs: Tensor, sizes: Sequence[Size]) -> list[Any]:
        """Run the module at each of several sizes; the network keeps its own.

        Args:
            inputs: What the module takes.
            sizes: As for :meth:`resize`.

        Returns:
            What :meth:`forward` would return at each size.

        Raises:
            ValueError: If a size is not a positive integer or their number is wrong.
        """
        if type(self.module) is nn.Sequential and not has_hooks([self.module]):
            return run_at_sizes(inputs, list(self.module), self.axes, sizes, self._tensors)
        return run_at_sizes(inputs, [self], self.axes, sizes)

    @torch.no_grad()
    def discretize(self, size: Size | None = None) -> nn.Module:
        """Return the module with ordinary layers of a size (the current one by default).

        Raises:
            ValueError: If a size is not a positive integer or their number is wrong.
        """
        at = None if size is None else self.axes.placements(size)
        ordinary = {id(layer): layer.discretize(at) for layer in self._layers}
        return copied(self.module, ordinary)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """See :meth:`torch.nn.Module.load_state_dict`; what fails changes nothing."""
        return load_whole(self, super().load_state_dict, state_dict, strict, assign)

    def _tensors(self) -> list[Tensors]:
        """Return the tensors of each layer, as views of the flat parameter from a single split."""
        # What is kept must not refer to the parameter itself, which could not be swapped then.
        flat = self.lam_flat if torch.is_grad_enabled() else self.lam_flat.detach()
        parts = iter(flat.split(self._lengths))
        return [
            [next(parts).view(shape), next(parts) if has_bias else None, *layer.correction_tensors()]
            for layer, (shape, has_bias) in zip(self._layers, self._shapes, strict=True)
        ]

    def _sampled(self) -> Mapping[IntegralLayer, Parameters]:
        """Return every layer's weight and bias, those of the last call if nothing has changed."""
        placements = [axis.placement for axis in self._axis_list]

        def sample() -> dict[IntegralLayer, Parameters]:
            at = dict(zip(self._axis_list, placements, strict=True))
            sampled = sample_layers([layer.plan(at) for layer in self._layers], self._tensors())
            pairs = zip(self._layers, sampled, strict=True)
            return {layer: layer.as_parameters(parameters) for layer, parameters in pairs}

        flat = cast(Tensor, self._parameters["lam_flat"])
        used = [flat]
        for layer in self._layers:
            if "corrections" in layer._modules:
                used += layer.correction_tensors()
        kept = cached_or_computed(self._kept, [flat.dtype, *placements], used, sample)
        if kept is None:
            return sample()
        self.__dict__["_kept"] = kept  # not through Module.__setattr__, which is slow
        return cast("dict[IntegralLayer, Parameters]", kept.parameters)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}
