"""A trained plain policy made integral, without data and without training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from stable_baselines3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    MultiInputActorCriticPolicy,
)
from torch import Tensor, nn

from sb3_integral.nn import Axis, IntegralLayer, convert, nested_order
from sb3_integral.policies.actor_critic import IntegralActorCriticPolicy
from sb3_integral.policies.layout import dense, find_gsde, find_layout, submodules
from sb3_integral.policies.plain import constructor_arguments

PLAIN_POLICIES = (ActorCriticPolicy, ActorCriticCnnPolicy, MultiInputActorCriticPolicy)
"""The classes of PPO, A2C and TRPO."""


def make_integral(policy: ActorCriticPolicy, permute: bool = True) -> IntegralActorCriticPolicy:
    """Make an integral policy of a trained ``MlpPolicy`` of PPO, A2C or TRPO.

    Its hidden neurons are put in the order in which their weights vary least, and are taken as values of
    functions. At full size it acts as the policy did.

    Args:
        policy: The policy; not changed.
        permute: Whether neurons are ordered; needs fast-tsp.

    Raises:
        ValueError: If it is of another class, or explores with gSDE.
        ImportError: If fast-tsp is wanted and not installed.
    """
    _check_convertible(policy, (ActorCriticPolicy,))
    state = _state_on_axes(policy, permute)
    with torch.random.fork_rng(devices=[]):
        integral = IntegralActorCriticPolicy(**constructor_arguments(policy, ActorCriticPolicy))
    integral = integral.to(policy.device)
    integral.load_state_dict(integral.state_dict() | state)
    integral.set_training_mode(False)
    return integral


@torch.no_grad()
def init_from(
    integral: IntegralActorCriticPolicy, policy: ActorCriticPolicy, permute: bool = True
) -> IntegralActorCriticPolicy:
    """Give an integral policy the weights of a plain one, to be trained on from there.

    As in :func:`make_integral`; partitions may nest, and the plain policy may be a ``CnnPolicy`` or a
    ``MultiInputPolicy``, whose channels keep their order. Corrections that depend on the scale stay, and
    what critics know of the size.

    Args:
        integral: Changed in place, and returned; at full size it acts as the plain one then.
        policy: The plain policy; not changed.
        permute: Whether neurons are ordered; needs fast-tsp.

    Raises:
        ValueError: If the plain policy is not of PPO, A2C or TRPO, explores with gSDE, or has other
            sizes, another activation or another critic, or partitions nest and λ grids are not as
            large as the layers, or partitions of channels nest.
        ImportError: If fast-tsp is wanted and not installed.
    """
    _check_convertible(policy, PLAIN_POLICIES)
    before, axes = integral.state_dict(), list(integral.actor_axes)
    n_channels = len(axes) - len(find_layout(integral).actors[0].hidden)
    if any(axis.nested for axis in axes[:n_channels]):
        raise ValueError("channels keep their order, expected partitions of theirs that do not nest")
    axes = axes[n_channels:]
    if any(axis.nested and axis.grid_size != axis.max_size for axis in axes):
        raise ValueError("partitions that nest need a λ node for each neuron, expected no grid_size")
    kinds = [kind.activation_fn.__name__ for kind in (integral, policy)]
    theirs = [dense(policy, name).out_features for name in find_layout(policy).actors[0].hidden]
    ours = [axis.max_size for axis in axes]
    if ours != theirs or kinds[0] != kinds[1]:
        raise ValueError(
            f"expected a plain policy of sizes {ours} and {kinds[0]}, got {theirs} and {kinds[1]}"
        )
    state = _state_on_axes(policy, permute, axes)
    for name, layer in submodules(integral, IntegralLayer):
        state[f"{name}.weight"] = _stored(state[f"{name}.weight"], (layer.out_axis, layer.in_axis))
        if layer.bias is not None:
            state[f"{name}.bias"] = _stored(state[f"{name}.bias"], (layer.out_axis,))
    critic = {name for name in before if name.startswith("mlp_extractor.value_net.")}
    critic = {name for name in critic if not name.endswith(".by_size")}  # that stays
    for name in (*state, *(critic - state.keys())):
        wanted, got = (tuple(of[name].shape) if name in of else "none" for of in (before, state))
        if wanted != got:
            raise ValueError(f"expected {name} of shape {wanted}, got {got}")
    integral.load_state_dict(before | state)
    return integral


def _stored(values: Tensor, axes: Sequence[Axis | None]) -> Tensor:
    """Return values on ascending nodes in the order in which axes keep them."""
    for dim, axis in enumerate(axes):
        if axis is not None and axis.nested:
            order = torch.tensor(nested_order(axis.grid_size), device=values.device)
            values = values.index_select(dim, order)
    return values


def _check_convertible(policy: ActorCriticPolicy, kinds: Sequence[type[ActorCriticPolicy]]) -> None:
    if type(policy) not in kinds:
        names = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(f"expected SB3's {names}, got {type(policy).__name__}")
    if find_gsde(policy) is not None:
        raise ValueError("the noise of a policy with use_sde=True belongs to the order of its neurons")


def _state_on_axes(
    policy: ActorCriticPolicy, permute: bool, axes: Sequence[Axis] = ()
) -> dict[str, Tensor]:
    """Return a policy's state dict, its actor's hidden neurons as values on ascending nodes.

    Args:
        policy: The policy.
        permute: Whether its neurons are ordered.
        axes: The axes of the hidden layers; by default, new ones.
    """
    net = find_layout(policy).actors[0]
    if not net.hidden:
        return dict(policy.state_dict())
    actor = nn.Sequential(*policy.mlp_extractor.policy_net, policy.action_net)
    of_axes: dict[str, Any] = {}
    if axes:
        of_axes = {"kernel": axes[0].kernel, "quadrature": axes[0].quadrature}
        of_axes["grid_size"] = [axis.grid_size for axis in axes]
    network = convert(actor, permute=permute, **of_axes).network
    layers = [module for module in network.modules() if isinstance(module, IntegralLayer)]
    state = dict(policy.state_dict())
    for name, layer in zip((*net.hidden, *net.heads), layers, strict=True):
        state[f"{name}.weight"] = layer.weight.detach()
        if layer.bias is not None:
            state[f"{name}.bias"] = layer.bias.detach()
    return state
