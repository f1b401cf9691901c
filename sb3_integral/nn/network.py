"""A network of integral layers: all its axes, and all its λ in one tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from sb3_integral.nn.axis import Axes, Axis
from sb3_integral.nn.caching import ordinary_tensors
from sb3_integral.nn.chain import Chain, find_chain, has_hooks
from sb3_integral.nn.copying import copied
from sb3_integral.nn.engine import (
    Packing,
    Parameters,
    must_be_traced,
    run_layers,
    run_parameters,
    sample_layers,
)
from sb3_integral.nn.layer import MOST_PLANS, SAMPLED, IntegralLayer
from sb3_integral.nn.placement import Placement
from sb3_integral.nn.plan import LayerPlan
from sb3_integral.nn.sizes import Size
from sb3_integral.nn.state import load_whole

Self = TypeVar("Self", bound="IntegralNetwork")


class KeptSamples(NamedTuple):
    """Sampled weights, and all that they were computed from.

    Attributes:
        key: Address and dtype of the flat parameter, and where the axes were sampled.
        contents: Its bytes; empty where the samples are views of it.
        parameters: What was sampled.
    """

    key: tuple[object, ...]
    contents: bytes
    parameters: list[Parameters]


class KeptViews(NamedTuple):
    """Views of the flat parameter.

    Attributes:
        where: Its address, dtype and strides.
        packing: Where its parts are, prepared as views.
        memory: Its bytes, if NumPy can read them.
    """

    where: tuple[object, ...]
    packing: Packing
    memory: np.ndarray[Any, np.dtype[np.uint8]] | None


class IntegralNetwork(nn.Module):
    """Any module with integral layers in it: an MLP, a CNN, a shared trunk with several heads.

    Weights and biases of the integral layers become parts of one flat parameter, :attr:`lam_flat`. That
    keeps training at random sizes cheap: every layer is sampled in one step of autograd, and the
    optimizer has one tensor to visit. A plain MLP runs in one step of autograd altogether. Corrections
    that depend on the scale stay parameters of their own.

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
        axes: dict[Axis, None] = {}
        for layer in self._layers:
            axes.update(dict.fromkeys(axis for axis in layer._axes if axis is not None))
        self.axes = Axes(axes)
        self._axis_list = list(axes)
        named = [
            (index, number, name, tensor)
            for index, layer in enumerate(self._layers)
            for number, (name, tensor) in enumerate((("weight", layer.weight), ("bias", layer.bias)))
            if tensor is not None
        ]
        kinds = {f"{tensor.dtype} on {tensor.device}" for *_, tensor in named}
        if len(kinds) != 1:
            raise ValueError(f"integral layers must share dtype and device, got {sorted(kinds)}")
        self.lam_flat = nn.Parameter(torch.cat([t.detach().flatten() for *_, t in named]))
        start = 0
        places: list[tuple[int, int]] = []
        shapes: list[torch.Size] = []
        for index, number, name, tensor in named:
            layer = self._layers[index]
            layer.share(self, name, start, tensor.shape)
            start += tensor.numel()
            places.append((index, number))
            shapes.append(layer.operator_shape(tensor.shape) if number == 0 else tensor.shape)
        self._packing = Packing(tuple(places), tuple(shapes))
        # What is kept from one call to the next, each with all that it depends on.
        self._kept: KeptSamples | None = None
        self._views: KeptViews | None = None
        self._last_chain: Chain | None = None
        self._plans: dict[tuple[object, ...], list[LayerPlan]] = {}

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
        placements = [axis.placement for axis in self._axis_list]
        plans = self._planned(placements)
        chain = None if kwargs or len(args) != 1 else self._chain(args[0])
        if chain is not None and torch.is_grad_enabled():
            packed, packing = self._packed([plans])
            return run_layers(args[0], [plans], chain.activations, packed, packing)[0]
        parameters = self._sample(plans, placements)
        if chain is not None:
            return run_parameters(args[0], parameters, chain.activations)
        sampled = dict(zip(self._layers, parameters, strict=True))
        token = SAMPLED.set({**SAMPLED.get(), **sampled})
        try:
            return self.module(*args, **kwargs)
        finally:
            SAMPLED.reset(token)

    def forward_at_sizes(self, inputs: Tensor, sizes: Sequence[Size]) -> list[Any]:
        """Run the module at each of several sizes; the network keeps its own.

        An MLP is run as one step of autograd.

        Args:
            inputs: Shape: (batch, in).
            sizes: As for :meth:`resize`.

        Returns:
            What :meth:`forward` would return at each size.

        Raises:
            ValueError: If a size is not a positive integer or their number is wrong.
        """
        placements = [list(self.axes.placements(size).values()) for size in sizes]
        chain = self._chain(inputs)
        if chain is None or torch.compiler.is_compiling():
            outputs = []
            for size in sizes:
                with self.axes.resized(size):
                    outputs.append(self(inputs))
            return outputs
        plans = [self._planned(at) for at in placements]
        packed, packing = self._packed(plans)
        return list(run_layers(inputs, plans, chain.activations, packed, packing))

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

    def _chain(self, inputs: object) -> Chain | None:
        """Return the module as a chain if the engine gives identical results, else None."""
        module = cast(nn.Module, self._modules["module"])
        if type(module) is not nn.Sequential or has_hooks(module):
            return None
        modules = tuple(module._modules.values())
        chain = self._last_chain
        if chain is None or chain.modules != modules:
            chain = self._last_chain = find_chain(modules)
        if chain is None or chain.layers != self._layers:
            return None
        return chain if chain.can_run(inputs, self.lam_flat) else None

    def _planned(self, placements: Sequence[Placement]) -> list[LayerPlan]:
        flat = self.lam_flat
        key = (flat.dtype, flat.device, *[placement.key for placement in placements])
        plans = self._plans.get(key)
        if plans is None:
            at = dict(zip(self._axis_list, placements, strict=True))
            plans = [layer.plan(at) for layer in self._layers]
            if all(isinstance(placement.key, int) for placement in placements):
                if len(self._plans) >= MOST_PLANS:
                    self._plans.clear()
                self._plans[key] = plans
        return plans

    def _packed(self, plans: Sequence[Sequence[LayerPlan]]) -> tuple[list[Tensor], Packing]:
        """Return the flat parameter, and the corrections that count in any of several plans."""
        flat = cast(Tensor, self._parameters["lam_flat"])
        packed = [flat]
        packing = self._packing if must_be_traced() else self._prepared(flat).packing
        if not self._has_corrections():
            return packed, packing
        places = list(packing.places)
        for index, layer in enumerate(self._layers):
            if "corrections" in layer._modules:
                tensors = layer.tensors()
                for number in sorted({n for each in plans for n in each[index].sources if n > 1}):
                    packed.append(cast(Tensor, tensors[number]))
                    places.append((index, number))
        return packed, packing._replace(places=tuple(places))

    def _prepared(self, flat: Tensor) -> KeptViews:
        """Return views of the flat parameter, which need not be made in every step."""
        # Views keep their memory, so no other tensor can be at its address.
        where = (flat.data_ptr(), flat.dtype, flat.stride())
        kept = self._views
        if kept is None or kept.where != where:
            packing = self._packing
            with ordinary_tensors():
                alone = flat.detach()
                layers = packing.unpack([alone], is_traced=True)
                is_readable = flat.is_cpu and flat.is_contiguous()
                memory = alone.view(torch.uint8).numpy() if is_readable else None
            packing = packing._replace(prepared=tuple(map(dict, layers)))
            kept = self._views = KeptViews(where, packing, memory)
        return kept

    def _has_corrections(self) -> bool:
        return any("corrections" in layer._modules for layer in self._layers)

    def _sample(self, plans: Sequence[LayerPlan], placements: Sequence[Placement]) -> list[Parameters]:
        """Return the weight and bias of every layer, those of the last call if nothing has changed."""
        flat = cast(Tensor, self._parameters["lam_flat"])
        if (
            torch.is_grad_enabled()
            or must_be_traced(plans)
            or self._has_corrections()
            or (memory := self._prepared(flat).memory) is None
        ):
            return self._shaped(sample_layers(plans, *self._packed([plans])))
        # Views follow their parameter; what was computed from it does not, whatever counts its changes.
        is_computed = any(plan.weight.has_matrices for plan in plans)
        contents = memory.tobytes() if is_computed else b""
        key = (flat.data_ptr(), flat.dtype, *[placement.key for placement in placements])
        kept = self._kept
        if kept is None or kept.key != key or kept.contents != contents:
            with ordinary_tensors(), torch.no_grad():
                found = self._shaped(sample_layers(plans, *self._packed([plans])))
                if is_computed:  # of which some may still be views
                    found = [(w.clone(), None if b is None else b.clone()) for w, b in found]
            kept = self._kept = KeptSamples(key, contents, found)
        return kept.parameters

    def _shaped(self, parameters: Sequence[Parameters]) -> list[Parameters]:
        return [
            (layer.as_weight(operator), bias)
            for layer, (operator, bias) in zip(self._layers, parameters, strict=True)
        ]

    def __getstate__(self) -> dict[str, Any]:
        own: dict[str, Any] = {"_kept": None, "_views": None, "_last_chain": None, "_plans": {}}
        return {**self.__dict__, **own}
