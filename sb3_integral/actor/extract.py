"""Taking the actor out of any policy, at any size."""

from __future__ import annotations

from typing import Any, cast

from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from sb3_integral.actor.heads import NOISE, make_head
from sb3_integral.actor.memory import Memory
from sb3_integral.actor.normalization import check_statistics, statistics_of
from sb3_integral.actor.spec import ActorSpec
from sb3_integral.nn import Size
from sb3_integral.nn.copying import copied
from sb3_integral.policies import ResizablePolicy
from sb3_integral.policies.discrete_parts import discrete_parts
from sb3_integral.policies.kinds import is_integral, is_resizable, policy_of_sb3
from sb3_integral.policies.layout import find_actor, policy_of
from sb3_integral.policies.masking import takes_action_masks
from sb3_integral.policies.plain import build_plain_policy

Source = BaseAlgorithm | BasePolicy | ResizablePolicy
"""What an actor is taken from: a model, its policy, or the wrapper that resizes a plain one."""


def ordinary_policy(source: Source, size: Size | None = None) -> BasePolicy:
    """Return the ordinary SB3 policy that a source is at a size: a new one, or the plain policy itself.

    Raises:
        ValueError: If a size is wrong, or is given for a plain policy.
    """
    policy = policy_of(source)
    if is_resizable(policy):
        return policy.discretize(size)
    if size is not None:
        raise ValueError(
            f"{type(policy).__name__} has one size, got size={size!r}; expected an integral policy, "
            f"or a ResizablePolicy around the plain one"
        )
    return policy_of_sb3(policy)


def standardizing_policy(source: Source, size: Size | None = None) -> BasePolicy:
    """Return the same as :func:`ordinary_policy`, with standardisation in front of its first layers.

    Raises:
        ValueError: As there.
    """
    policy: Any = policy_of(source)
    if not is_resizable(policy):
        return ordinary_policy(source, size)
    whole, state = discrete_parts(policy, size)
    plain_class = policy.plain_class() if is_integral(policy) else type(whole)
    return build_plain_policy(whole, plain_class, state, fold=False)


def actor_spec(
    source: Source,
    size: Size | None = None,
    normalize: VecNormalize | None = None,
    *,
    folded: bool = True,
) -> ActorSpec:
    """Take the deterministic actor out of a policy.

    Args:
        source: A model, a policy, or a ResizablePolicy; it is left as it is.
        size: One integer for all hidden layers, or one for each; the current size by default.
        normalize: Statistics that the policy was trained with, clipping included.
        folded: Whether standardisation inside the policy is part of the first layer's weights, which
            is quickest. Weights that are to be rounded lose less without it.

    Returns:
        The actor at that size, with copies of the policy's layers on the CPU, in evaluation mode.

    Raises:
        ValueError: If a size is wrong, the normalisation does not fit, the policy is of an unknown kind,
            or SB3 itself cannot act on such observations.
    """
    policy = (ordinary_policy if folded else standardizing_policy)(source, size)
    _check_shapes(policy.observation_space)
    statistics = statistics_of(normalize)
    check_statistics(policy.observation_space, statistics)
    parts = find_actor(policy)
    layers = _flat(*(_own_copy(policy.get_submodule(name)) for name in parts.layers))
    if parts.quantiles > 1:
        layers[-1] = _mean_of_quantiles(layers[-1], parts.quantiles)
    if parts.needs_tanh:
        layers.append(nn.Tanh())
    widths = [layer.out_features for layer in layers if isinstance(layer, nn.Linear)]
    outputs = widths[-1] if widths else None
    make_noise = NOISE.get(type(getattr(policy, "action_dist", None)))
    return ActorSpec(
        policy.observation_space,
        policy.action_space,
        statistics,
        policy.normalize_images,
        _own_copy(policy.get_submodule(parts.extractor)),
        layers,
        make_head(policy.action_space, outputs, policy.squash_output),
        (outputs or 0) if takes_action_masks(policy) else 0,
        None if make_noise is None or outputs is None else make_noise(policy, outputs),
        None if parts.memory is None else Memory(cast(nn.LSTM, policy.get_submodule(parts.memory))),
    )


def _check_shapes(space: spaces.Space[Any]) -> None:
    for inner in space.values() if isinstance(space, spaces.Dict) else (space,):
        if isinstance(inner, spaces.Box) and not inner.shape:
            raise ValueError(
                f"SB3's policies cannot read a single number without a dimension, got {space}; expected "
                f"spaces.Box(low, high, (1,))"
            )


def _own_copy(module: nn.Module) -> nn.Module:
    """Copy a module: exporting must change neither the policy's mode nor what it trains."""
    return copied(module).to("cpu").eval().requires_grad_(False)


def _flat(*modules: nn.Module) -> nn.Sequential:
    """Put modules one behind the other, without sequences in sequences."""
    flat: list[nn.Module] = []
    for module in modules:
        flat += _flat(*module) if type(module) is nn.Sequential else [module]
    return nn.Sequential(*flat)


def _mean_of_quantiles(last: nn.Module, quantiles: int) -> nn.Linear:
    """Return a layer that gives the mean of each action's quantiles: the mean of their weights."""
    if type(last) is not nn.Linear:
        raise ValueError(f"expected a dense layer that gives the quantiles, got {last!r}")
    mean = nn.Linear(last.in_features, last.out_features // quantiles).requires_grad_(False)
    weight = last.weight.double().reshape(quantiles, mean.out_features, mean.in_features)
    mean.weight.copy_(weight.mean(dim=0))
    mean.bias.copy_(last.bias.double().reshape(quantiles, -1).mean(dim=0))
    return mean
