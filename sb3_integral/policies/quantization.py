"""Policies whose actor's weights are whole numbers of a few bits, and how many bytes these take."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from sb3_integral.nn import Size
from sb3_integral.nn.copying import copied
from sb3_integral.policies.discrete_parts import discrete_parts
from sb3_integral.policies.kinds import Resizable, is_integral
from sb3_integral.policies.layout import find_actor, policy_of
from sb3_integral.policies.plain import build_plain_policy
from sb3_integral.policies.resizable import ResizablePolicy
from sb3_integral.policies.standardize import StandardizeExtractor
from sb3_integral.policies.weight_format import BYTES_OF_FLOAT, WeightFormat

Source = BaseAlgorithm | BasePolicy | Resizable
"""Whose actor is quantised: a model, its policy, or the wrapper that resizes a plain one."""


def quantized(source: Source, weights: WeightFormat, size: Size | None = None) -> BasePolicy:
    """Return an ordinary policy whose actor has the weights that are left after rounding.

    Its weights are float32, so it runs anywhere: it tells what a policy earns with such weights.
    Standardisation inside the policy stays float32, beside the first layer's whole numbers. In
    the result of ``policy.discretize(size)`` it is part of that layer's weights, whose rounding loses
    more.

    Args:
        source: It is left as it is.
        weights: How weights are rounded; biases are not.
        size: As for :meth:`~sb3_integral.policies.Resizable.resize`; the current size by default.

    Returns:
        The policy, in evaluation mode. A critic is as it was, but for layers that it shares.

    Raises:
        ValueError: If a size is wrong or is given for a plain policy, the policy is of no known kind,
            or a weight is NaN or infinite.
    """
    policy = policy_of(source)
    whole, state = discrete_parts(policy, size)
    for name in actor_parameter_names(whole, every_name=True):
        if is_rounded(state[name]):
            state[name] = _rounded(name, state[name], weights)
    if is_integral(policy):
        return build_plain_policy(policy, policy.plain_class(), state)
    if isinstance(policy, ResizablePolicy):
        return build_plain_policy(whole, type(whole), state)
    plain = copied(whole)
    plain.load_state_dict(state)
    plain.set_training_mode(False)
    return plain


def actor_bytes(source: Source, weights: WeightFormat | None = None, size: Size | None = None) -> int:
    """Return the bytes of the weights, scales and biases between an observation and its best action.

    Standardisation inside the policy takes two float32 for each number that it reads. With float32
    weights it takes none, as it is folded into the first layer. The layers that
    :class:`~sb3_integral.policies.ResizablePolicy` with ``svd`` has count as products.

    Args:
        source: As for :func:`quantized`, like the errors.
        weights: The format; None for float32.
        size: As for :func:`quantized`.
    """
    whole, state = discrete_parts(policy_of(source), size)
    shapes = [state[name].shape for name in actor_parameter_names(whole)]
    if weights is None:
        return BYTES_OF_FLOAT * sum(shape.numel() for shape in shapes)
    extractor = whole.get_submodule(find_actor(whole).extractor)
    kept = [part for part in extractor.modules() if isinstance(part, StandardizeExtractor)]
    floats = sum(part.scale.numel() + part.shift.numel() for part in kept)
    floats += sum(shape.numel() for shape in shapes if len(shape) < 2)
    rounded = sum(weights.n_bytes(shape) for shape in shapes if len(shape) >= 2)
    return rounded + BYTES_OF_FLOAT * floats


def is_rounded(parameter: Tensor) -> bool:
    """Return whether a parameter is a weight; biases, and what normalises, are not rounded."""
    return parameter.dim() >= 2


def actor_parameter_names(policy: BasePolicy, every_name: bool = False) -> Iterator[str]:
    """Iterate over the parameters that the deterministic action depends on.

    Args:
        policy: The policy. Corrections that depend on the scale are left out: they are sampled.
        every_name: Whether a parameter that has several names is named by all of them.

    Raises:
        ValueError: If the policy is of no known kind.
    """
    actor = find_actor(policy)
    parts = [actor.extractor, *actor.layers, *([] if actor.memory is None else [actor.memory])]
    own = {module for part in parts for module in policy.get_submodule(part).modules()}
    for name, module in policy.named_modules(remove_duplicate=not every_name):
        if module in own and ".corrections" not in name:
            for attribute, _ in module.named_parameters(recurse=False):
                yield f"{name}.{attribute}"


@torch.no_grad()
def _rounded(name: str, weight: Tensor, weights: WeightFormat) -> Tensor:
    if not weight.isfinite().all():
        raise ValueError(f"{name} has numbers that are NaN or infinite, expected finite weights")
    return weights.rounded(weight)
