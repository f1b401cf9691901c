"""Loading a state whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from sb3_integral.nn.axis import Axis


@contextmanager
def unchanged_on_failure(module: nn.Module) -> Iterator[None]:
    """Give a module back its parameters, buffers and sizes if the ``with`` block raises.

    Torch copies every entry of a state dict that fits before it raises for those that do not.

    Args:
        module: What the block changes in place, or by ``load_state_dict(..., assign=True)``.
    """
    tensors = [
        (holder, name, tensor, tensor.detach().clone())
        for part in module.modules()
        for holder in (part._parameters, part._buffers)
        for name, tensor in holder.items()
        if tensor is not None
    ]
    placements = [
        (axis, axis._placement, axis.partition) for axis in module.modules() if isinstance(axis, Axis)
    ]
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for holder, name, tensor, value in tensors:
                tensor.copy_(value)
                holder[name] = tensor
        for axis, placement, partition in placements:
            axis._set(placement)
            axis.partition = partition
        raise
