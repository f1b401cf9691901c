"""Copies of modules that have been trained."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Module = TypeVar("Module", bound=nn.Module)


def copied(module: Module, exchanged: dict[int, Any] | None = None) -> Module:
    """Copy a module with all that is in it.

    Modules keep tensors that they computed, such as the last distribution of actions, the noise of
    gSDE, or a normalised weight. torch refuses to copy those; here their values are copied.

    Args:
        module: The module; it is not changed.
        exchanged: What takes the place of an object in the copy, by the object's ``id``.
    """
    with _CopyValues():
        return copy.deepcopy(module, exchanged)


class _CopyValues(TorchFunctionMode):
    """Let ``copy.deepcopy`` copy computed tensors by value, without their autograd graph."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not Tensor.__deepcopy__ or args[0].is_leaf:
            return func(*args, **(kwargs or {}))
        computed, memo = args
        return memo.setdefault(id(computed), computed.detach().clone())
