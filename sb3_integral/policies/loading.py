"""State dicts that are checked as a whole before a policy takes any of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


def check_state(module: nn.Module, state: Mapping[str, Any], strict: bool) -> None:
    """Check that a module can load a state dict; the module is not changed.

    Args:
        module: The module.
        state: As for ``load_state_dict``.
        strict: As for ``load_state_dict``.

    Raises:
        RuntimeError: Whatever ``load_state_dict`` raises.
    """
    tensors = {*dict(module.named_parameters(remove_duplicate=False))}
    tensors |= {*dict(module.named_buffers(remove_duplicate=False))}
    on_meta = OrderedDict(
        (name, _on_meta(value) if name in tensors else value) for name, value in state.items()
    )
    if hasattr(state, "_metadata"):  # the versions of modules, by which torch reads older states
        setattr(on_meta, "_metadata", state._metadata)  # noqa: B010
    nn.Module.load_state_dict(_without_memory(module, {}), on_meta, strict)


def _without_memory(module: nn.Module, known: dict[int, nn.Module]) -> nn.Module:
    """Return a copy of a module whose tensors are on the meta device, where nothing is stored.

    Args:
        module: The module; modules may occur in it several times.
        known: The copies so far, by the modules' identities.
    """
    if id(module) not in known:
        copy = known[id(module)] = object.__new__(type(module))
        copy.__dict__.update(module.__dict__)
        copy._parameters = {name: _on_meta(p) for name, p in module._parameters.items()}
        copy._buffers = {name: _on_meta(b) for name, b in module._buffers.items()}
        copy._modules = {
            name: None if child is None else _without_memory(child, known)
            for name, child in module._modules.items()
        }
    return known[id(module)]


def _on_meta(tensor: Any) -> Any:
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(tensor.detach().to("meta"), tensor.requires_grad)
    return tensor.to("meta") if isinstance(tensor, Tensor) else tensor


def is_size(name: str) -> bool:
    """Return whether an entry of a policy's state dict says at which points an axis is sampled."""
    return name.startswith(("actor_axes.", "critic_axes."))
