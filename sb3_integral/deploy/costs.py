"""The costs of a policy's deterministic actor at every size, computed without building it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from stable_baselines3.common.policies import BasePolicy
from torch import nn

from sb3_integral.actor import example_observation
from sb3_integral.policies import Resizable
from sb3_integral.policies.layout import find_layout

NOT_SHIPPED = ".log_std"
"""The head of the noise, which a deterministic actor does not need."""


class Costs(NamedTuple):
    """The parameters of a deterministic actor, their bytes, and multiply-accumulates per observation."""

    parameters: int
    bytes: int
    macs: int


class CostModel:
    """Costs as functions of the sizes, read off a policy at full size and one below it in each layer.

    It rests on one assumption: each dimension of a parameter grows in proportion to at most one size.
    The policy is not changed.
    """

    def __init__(self, policy: Resizable) -> None:
        full = policy.max_sizes
        ordinary = policy.discretize(full)
        uses, parameters = _uses(ordinary), _actor_parameters(ordinary)
        self._bytes = np.array([parameter.element_size() for parameter in parameters.values()])
        self._uses = np.array([uses.get(name, 0) for name in parameters])
        shapes = _shapes(parameters)
        self._slopes = np.zeros((*shapes.shape, len(full)), np.int64)  # of each dimension in each size
        for axis, size in enumerate(full):
            if size > 1:
                probed = policy.discretize([*full[:axis], size - 1, *full[axis + 1 :]])
                self._slopes[..., axis] = shapes - _shapes(_actor_parameters(probed))
        self._constants = shapes - self._slopes @ np.array(full, np.int64)

    def __call__(self, sizes: Sequence[int]) -> Costs:
        """Return the costs at one size per layer."""
        counts = (self._constants + self._slopes @ np.array(sizes, np.int64)).prod(axis=1)
        return Costs(int(counts.sum()), int(counts @ self._bytes), int(counts @ self._uses))


def _shapes(parameters: dict[str, nn.Parameter]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the shapes of parameters, with ones behind those that have fewer dimensions than others."""
    shapes = [tuple(parameter.shape) for parameter in parameters.values()]
    longest = max(map(len, shapes))
    return np.array([(*shape, *(1,) * (longest - len(shape))) for shape in shapes], np.int64)


def actor_parameters(policy: BasePolicy) -> int:
    """Return the number of weights and biases of an ordinary policy's deterministic actor."""
    return sum(parameter.numel() for parameter in _actor_parameters(policy).values())


def _actor_parameters(policy: BasePolicy) -> dict[str, nn.Parameter]:
    """Return every parameter of the deterministic actor."""
    net = find_layout(policy).actors[0]
    heads = [name for name in net.heads if not name.endswith(NOT_SHIPPED)]
    parts = (net.extractor, "lstm_actor", *net.hidden, *heads, *(name for name, _ in net.norms))
    return {
        name: parameter
        for name, parameter in policy.named_parameters(remove_duplicate=False)
        if name.startswith(tuple(f"{part}." for part in parts))
    }


@torch.no_grad()
def _uses(policy: BasePolicy) -> dict[str, int]:
    """Return how often each element of each weight is multiplied for one observation."""
    uses: dict[str, int] = {}
    names: dict[nn.Module, list[str]] = {}
    for name, module in policy.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(name)

    def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
        for name in names[module]:
            uses[f"{name}.weight"] = output[0, 0].numel()

    hooks = []
    for module, own_names in names.items():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(count))
        elif isinstance(module, nn.Linear):
            uses.update({f"{name}.weight": 1 for name in own_names})
        elif isinstance(module, nn.LSTM):
            weights = (key for key, _ in module.named_parameters() if key.startswith("weight"))
            uses.update({f"{name}.{key}": 1 for key in weights for name in own_names})
    if hooks:
        policy.predict(example_observation(policy.observation_space), deterministic=True)
    for hook in hooks:
        hook.remove()
    return uses
