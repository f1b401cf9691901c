"""Where each kind of policy of SB3 and sb3-contrib keeps its layers.

SB3 has no common names for the parts of its policies. This file is the only one that knows them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.distributions import StateDependentNoiseDistribution
from stable_baselines3.common.policies import BasePolicy
from torch import nn

Module = TypeVar("Module", bound=nn.Module)
Reads = Literal["features", "features and actions", "memory"]


def policy_of(source: Any) -> Any:
    """Return a model's policy; anything else is returned as it is."""
    return source.policy if isinstance(source, BaseAlgorithm) else source


class NetworkLayout(NamedTuple):
    """The names of the layers between a network's features and its output, as in ``named_modules()``.

    Attributes:
        extractor: The features extractor.
        hidden: The hidden dense layers, first to last.
        heads: The dense layers that read the last hidden layer, or the input where there is none.
        norms: The normalisation layers, each with the index of the hidden layer before it; -1 for a
            layer that normalises the input.
        reads: What the first layer reads: the features, the features followed by the actions, or the
            output of an LSTM.
    """

    extractor: str
    hidden: tuple[str, ...]
    heads: tuple[str, ...]
    norms: tuple[tuple[str, int], ...] = ()
    reads: Reads = "features"

    @property
    def first(self) -> tuple[str, ...]:
        """The layers that read the input."""
        return self.hidden[:1] or self.heads


class PolicyLayout(NamedTuple):
    """The networks of a policy.

    Attributes:
        actors: The network that chooses actions, followed by its target networks.
        critics: The critics, without their target networks.
    """

    actors: tuple[NetworkLayout, ...]
    critics: tuple[NetworkLayout, ...]


class ActorParts(NamedTuple):
    """The modules that lie between an observation and its deterministic action.

    Attributes:
        extractor: The name of the features extractor.
        layers: The names of the modules behind it, in the order in which they are applied.
        needs_tanh: Whether the policy applies a tanh to their output itself.
        quantiles: How many quantiles of each action's value the output is; 1 for anything else.
        memory: The name of the LSTM between the extractor and the layers, if there is one.
    """

    extractor: str
    layers: tuple[str, ...]
    needs_tanh: bool = False
    quantiles: int = 1
    memory: str | None = None


def is_recurrent(policy: BasePolicy) -> bool:
    """Return whether a policy's action depends on more than the last observation."""
    return hasattr(policy, "lstm_actor")


def find_actor(policy: Any) -> ActorParts:
    """Find the modules of a policy's deterministic actor.

    Raises:
        ValueError: If the policy is of no known kind.
    """
    extractor = find_layout(policy).actors[0].extractor
    if hasattr(policy, "mlp_extractor"):
        layers = ("mlp_extractor.policy_net", "action_net")
        memory = "lstm_actor" if is_recurrent(policy) else None
        return ActorParts(extractor, layers, needs_tanh=policy.squash_output, memory=memory)
    if hasattr(policy, "q_net"):
        return ActorParts(extractor, ("q_net.q_net",))
    if hasattr(policy, "quantile_net"):
        return ActorParts(extractor, ("quantile_net.quantile_net",), quantiles=int(policy.n_quantiles))
    if hasattr(policy, "actor") and hasattr(policy.actor, "latent_pi"):
        return ActorParts(extractor, ("actor.latent_pi", "actor.mu"), needs_tanh=True)
    return ActorParts(extractor, ("actor.mu" if hasattr(policy, "actor") else "action_net",))


def find_layout(policy: BasePolicy) -> PolicyLayout:
    """Find the networks of a policy.

    Raises:
        ValueError: If it is of no known kind.
    """
    if hasattr(policy, "mlp_extractor"):
        return _actor_critic(policy)
    if hasattr(policy, "q_net"):
        return PolicyLayout(
            tuple(_sequence(policy, net, "q_net") for net in ("q_net", "q_net_target")), ()
        )
    if hasattr(policy, "quantile_net"):
        names = ("quantile_net", "quantile_net_target")
        return PolicyLayout(tuple(_sequence(policy, net, "quantile_net") for net in names), ())
    if hasattr(policy, "actor"):
        return _off_policy(policy)
    if isinstance(getattr(policy, "action_net", None), nn.Sequential):  # ARS
        return PolicyLayout((_net(policy, "features_extractor", "action_net"),), ())
    raise ValueError(f"{type(policy).__name__} is not a kind of policy whose layers are known here")


def dense(policy: nn.Module, name: str) -> nn.Linear:
    """Return the dense layer of a name.

    Raises:
        ValueError: If something else has that name.
    """
    layer = policy.get_submodule(name)
    if not isinstance(layer, nn.Linear):
        raise ValueError(f"expected a dense layer at {name}, got {layer!r}")
    return layer


def submodules(policy: nn.Module, kind: type[Module]) -> Iterator[tuple[str, Module]]:
    """Iterate over all modules of a kind, by every name that they have."""
    for name, module in policy.named_modules(remove_duplicate=False):
        if isinstance(module, kind):
            yield name, module


def replace_submodule(policy: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in the place of another."""
    parent, _, attribute = name.rpartition(".")
    setattr(policy.get_submodule(parent), attribute, module)


def optimizers(policy: nn.Module) -> Iterator[torch.optim.Optimizer]:
    """Iterate over the optimizers that a policy and its parts have."""
    for module in policy.modules():
        optimizer = getattr(module, "optimizer", None)
        if isinstance(optimizer, torch.optim.Optimizer):
            yield optimizer


def exchange_layers(
    policy: nn.Module, layers: Mapping[str, nn.Module], others: Mapping[int, nn.Parameter] | None = None
) -> None:
    """Put layers in the place of others, and have the policy's optimizers train their parameters.

    Args:
        policy: The policy.
        layers: The new layers by name.
        others: More new parameters, by the identities of those that they take the place of.
    """
    exchanged = dict(others or {})
    for name, layer in layers.items():
        old = policy.get_submodule(name)
        exchanged |= {id(p): q for p, q in zip(old.parameters(), layer.parameters(), strict=True)}
        replace_submodule(policy, name, layer)
    for optimizer in optimizers(policy):
        for group in optimizer.param_groups:
            group["params"] = [exchanged.get(id(p), p) for p in group["params"]]


class GSDE(NamedTuple):
    """State-dependent exploration of a policy.

    Attributes:
        owner: The module that has the distribution.
        distribution: What draws the noise.
        log_std: Name of its parameter in the policy.
    """

    owner: nn.Module
    distribution: StateDependentNoiseDistribution
    log_std: str


def find_gsde(policy: BasePolicy) -> GSDE | None:
    """Return where a policy keeps its state-dependent exploration; None if it has none."""
    for owner, prefix in ((policy, ""), (getattr(policy, "actor", None), "actor.")):
        distribution = getattr(owner, "action_dist", None)
        if isinstance(owner, nn.Module) and isinstance(distribution, StateDependentNoiseDistribution):
            return GSDE(owner, distribution, f"{prefix}log_std")
    return None


def _actor_critic(policy: nn.Module) -> PolicyLayout:
    # The LSTM itself is made later than the layers behind it.
    reads: Reads = "memory" if hasattr(policy, "lstm_output_dim") else "features"
    is_shared = policy.share_features_extractor
    nets = []
    for prefix, body, head in (("pi", "policy_net", "action_net"), ("vf", "value_net", "value_net")):
        extractor = "features_extractor" if is_shared else f"{prefix}_features_extractor"
        net = _net(policy, extractor, f"mlp_extractor.{body}", (head,))
        nets.append(net._replace(reads=reads))
    return PolicyLayout((nets[0],), (nets[1],))


def _off_policy(policy: nn.Module) -> PolicyLayout:
    names = [name for name in ("actor", "actor_target") if hasattr(policy, name)]
    if hasattr(policy.actor, "latent_pi"):
        actors = tuple(
            _net(
                policy,
                f"{name}.features_extractor",
                f"{name}.latent_pi",
                tuple(_dense(policy, f"{name}.mu") + _dense(policy, f"{name}.log_std")),
            )
            for name in names
        )
    else:
        actors = tuple(_sequence(policy, name, "mu") for name in names)
    critics = tuple(
        _net(policy, "critic.features_extractor", f"critic.{name}")._replace(
            reads="features and actions"
        )
        for name, module in policy.get_submodule("critic").named_children()
        if isinstance(module, nn.Sequential)
    )
    return PolicyLayout(actors, critics)


def _sequence(policy: nn.Module, owner: str, body: str) -> NetworkLayout:
    return _net(policy, f"{owner}.features_extractor", f"{owner}.{body}")


def _net(policy: nn.Module, extractor: str, body: str, heads: tuple[str, ...] = ()) -> NetworkLayout:
    dense = _dense(policy, body)
    hidden = dense if heads else dense[:-1]
    return NetworkLayout(extractor, tuple(hidden), heads or tuple(dense[-1:]), _norms(policy, body))


def _dense(policy: nn.Module, name: str) -> list[str]:
    """Return the names of the dense layers in a module, which may be one itself."""
    if "." in name or hasattr(policy, name):
        owner, _, attribute = name.rpartition(".")
        module = getattr(policy.get_submodule(owner), attribute)
        if isinstance(module, nn.Module):
            return [
                ".".join(filter(None, (name, inner)))
                for inner, part in module.named_modules()
                if isinstance(part, nn.Linear)
            ]
    return []


def _norms(policy: nn.Module, body: str) -> tuple[tuple[str, int], ...]:
    found = []
    written = -1
    for name, part in policy.get_submodule(body).named_children():
        if isinstance(part, nn.Linear):
            written += 1
        elif any(True for _ in part.buffers()):
            found.append((f"{body}.{name}", written))
    return tuple(found)
