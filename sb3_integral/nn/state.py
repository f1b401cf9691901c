"""Loading a state dict whole or not at all, sizes included."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from sb3_integral.nn.axis import POINTS, Axis


def load_whole(
    module: nn.Module,
    load: Callable[..., Any],
    state_dict: Mapping[str, Any],
    strict: bool,
    assign: bool,
) -> Any:
    """Load a state dict; one that does not fit changes nothing.

    Without ``strict``, axes of which the state says nothing keep their size, as whatever else is
    missing is kept. Otherwise they get their full size.

    Args:
        module: What the state is of.
        load: The module's own ``load_state_dict``.
        state_dict: See :meth:`torch.nn.Module.load_state_dict`, like what follows.
        strict: Whether the keys have to match.
        assign: Whether tensors are taken over as they are.

    Returns:
        What ``load`` returns.

    Raises:
        RuntimeError: If the state does not fit.
    """
    kept = {
        axis: axis.placement
        for name, axis in module.named_modules()
        if isinstance(axis, Axis) and not strict and f"{name}.{POINTS}" not in state_dict
    }
    with unchanged_on_failure(module):
        result = load(state_dict, strict=strict, assign=assign)
    for axis, placement in kept.items():
        axis.sample_at(placement)
    return result


@contextmanager
def unchanged_on_failure(module: nn.Module) -> Iterator[None]:
    """Give a module back its parameters, buffers and sizes if the ``with`` block raises.

    Torch copies every entry of a state dict that fits before it raises for those that do not.

    Args:
        module: What the block changes in place, or by ``load_state_dict(..., assign=True)``.
    """
    tensors = []
    for part in module.modules():
        holders: list[dict[str, Any]] = [part._parameters, part._buffers]
        for holder in holders:
            for name, tensor in holder.items():
                if tensor is not None:
                    tensors.append((holder, name, tensor, tensor.detach().clone()))
    placements = [(axis, axis.placement) for axis in module.modules() if isinstance(axis, Axis)]
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for holder, name, tensor, value in tensors:
                tensor.copy_(value)
                holder[name] = tensor
        for axis, placement in placements:
            axis.sample_at(placement)
        raise
