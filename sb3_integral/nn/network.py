"""A network of integral layers: all its axes, and all its λ in one tensor."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from sb3_integral.nn.axis import Axes, Axis
from sb3_integral.nn.fused import find_chain, run_chain, train_chain
from sb3_integral.nn.layer import IntegralLayer
from sb3_integral.nn.sampling import Plan, make_plan, sample_flat
from sb3_integral.nn.sizes import Size
from sb3_integral.nn.state import load_whole

Self = TypeVar("Self", bound="IntegralNetwork")

MOST_PLANS = 256
"""How many sizes a network remembers how to sample."""


class IntegralNetwork(nn.Module):
    """Any module with integral layers in it: an MLP, a CNN, a shared trunk with several heads.

    All parameters of the integral layers become views of one flat parameter, :attr:`lam_flat`. That
    keeps training at random sizes cheap: every layer is sampled in one step of autograd, and the
    optimizer has one tensor to visit. A plain MLP runs in one step of autograd altogether.

    In evaluation mode without gradients the sampled weights are kept until the parameters, the
    sizes or the mode change. Two changes go unnoticed in that mode, for torch does not count them:
    through ``.data``, and by a fused optimizer. Call ``eval()`` after such a change.

    Args:
        module: What is run. Its axes are found by what its layers are strung on.

    Attributes:
        module: The module, its integral layers without parameters of their own.
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
        if any("corrections" in layer._modules for layer in self._layers):
            raise ValueError(
                "a network keeps all its λ in one tensor, expected layers without corrections; "
                "such layers work in any other module"
            )
        axes: dict[Axis, None] = {}
        for layer in self._layers:
            axes.update(dict.fromkeys(axis for axis in layer._axes if axis is not None))
        self.axes = Axes(axes)
        self._axis_list = list(axes)
        self._has_bias = tuple(layer.bias is not None for layer in self._layers)
        tensors = [t for layer in self._layers for t in (layer.weight, layer.bias) if t is not None]
        kinds = {f"{tensor.dtype} on {tensor.device}" for tensor in tensors}
        if len(kinds) != 1:
            raise ValueError(f"integral layers must share dtype and device, got {sorted(kinds)}")
        self._shapes = tuple(tensor.shape for tensor in tensors)
        self.lam_flat = nn.Parameter(torch.cat([tensor.detach().flatten() for tensor in tensors]))
        for layer in self._layers:
            # The names stay: _show_parameters lets them show what the flat parameter holds.
            del layer.weight, layer.bias
        self._chain = find_chain(module)
        self._plans: dict[object, Plan] = {}
        self._kept: object = None
        self._show_parameters()
        self.register_load_state_dict_post_hook(_show_parameters_of)  # type: ignore[no-untyped-call]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The hidden sizes in force."""
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
        """Run the module at the sizes in force."""
        # Not through Module.__getattr__: policies are so small that it shows.
        flat = cast(Tensor, self._parameters["lam_flat"])
        module = cast(nn.Module, self._modules["module"])
        is_compiling = torch.compiler.is_compiling()
        chain = self._chain
        if chain is not None and (
            is_compiling or kwargs or len(args) != 1 or not chain.can_run(args[0], flat, module)
        ):
            chain = None
        if torch.is_grad_enabled() or self.training or is_compiling:
            plan = self._plan()
            if chain is not None and not plan.is_differentiable:
                return train_chain(args[0], flat, plan, chain)
            self._lend(plan)
            try:
                return module(*args, **kwargs)
            finally:
                self._take_back()
        key = [flat._version, flat.data_ptr(), *[axis.placement.key for axis in self._axis_list]]
        if key != self._kept or None in key:
            self._lend(self._plan())
            self._kept = key
        if chain is not None:
            return run_chain(args[0], [layer._parameters_in_force() for layer in self._layers], chain)
        return module(*args, **kwargs)

    @torch.no_grad()
    def discretize(self, size: Size | None = None) -> nn.Module:
        """Return the module with ordinary layers of a size (that in force by default).

        Raises:
            ValueError: If a size is not a positive integer or their number is wrong.
        """
        with nullcontext() if size is None else self.axes.resized(size):
            # What deepcopy is to copy is in its memory already: the layer's discrete form.
            ordinary = {id(layer): layer.discretize() for layer in self._layers}
        return copy.deepcopy(self.module, ordinary)

    def _lend(self, plan: Plan) -> None:
        """Give every layer its weight and bias at the sizes in force."""
        tensors = iter(sample_flat(self.lam_flat, plan))
        for layer, has_bias in zip(self._layers, self._has_bias, strict=True):
            # Not through Module.__setattr__: this happens in every step.
            layer.__dict__["_lent"] = (next(tensors), next(tensors) if has_bias else None)

    def _take_back(self) -> None:
        self.__dict__["_kept"] = None
        for layer in self._layers:
            layer.__dict__["_lent"] = None

    def _plan(self) -> Plan:
        if torch.compiler.is_compiling():  # what is traced has no address
            return self._make_plan()
        keys = tuple([axis.placement.key for axis in self._axis_list])
        plan = self._plans.get(keys)
        if plan is None or plan.address != self.lam_flat.data_ptr():
            plan = self._make_plan()
            if all(isinstance(key, int) for key in keys):
                if len(self._plans) >= MOST_PLANS:
                    self._plans.clear()
                self._plans[keys] = plan
        return plan

    def _make_plan(self) -> Plan:
        flat = self.lam_flat
        remaining = iter(self._shapes)
        shapes: list[tuple[torch.Size, torch.Size]] = []
        matrices: list[tuple[Tensor | None, Tensor | None]] = []
        for layer, has_bias in zip(self._layers, self._has_bias, strict=True):
            in_axis, out_axis = layer._axes
            left = None if out_axis is None else out_axis.matrices(flat).sampling
            right = None if in_axis is None else in_axis.matrices(flat).integration
            weight = next(remaining)
            shapes.append((weight, layer.operator_shape(weight)))
            matrices.append((left, right))
            if has_bias:
                bias = next(remaining)
                shapes.append((bias, bias))
                matrices.append((left, None))
        return make_plan(flat, shapes, matrices)

    def _show_parameters(self) -> None:
        """Let each layer's ``weight`` and ``bias`` show what the flat parameter holds of it."""
        flat = self.lam_flat.detach()
        tensors = iter(
            part.view(shape)
            for part, shape in zip(
                flat.split([shape.numel() for shape in self._shapes]), self._shapes, strict=True
            )
        )
        for layer, has_bias in zip(self._layers, self._has_bias, strict=True):
            layer.__dict__["weight"] = next(tensors)
            layer.__dict__["bias"] = next(tensors) if has_bias else None
        self._plans = {}
        self._take_back()

    def train(self: Self, mode: bool = True) -> Self:
        """See :meth:`torch.nn.Module.train`."""
        self._take_back()
        return super().train(mode)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """See :meth:`torch.nn.Module.load_state_dict`; what fails changes nothing."""
        return load_whole(self, super().load_state_dict, state_dict, strict, assign)

    def _apply(self: Self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._show_parameters()
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_chain": None, "_plans": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._chain = find_chain(self.module)
        self._show_parameters()


def _show_parameters_of(network: IntegralNetwork, _: object) -> None:
    network._show_parameters()
