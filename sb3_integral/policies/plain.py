"""Building an ordinary SB3 policy from the weights of another one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import torch
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import (
    BaseFeaturesExtractor,
    CombinedExtractor,
    FlattenExtractor,
    NatureCNN,
    get_actor_critic_arch,
)
from torch import Tensor, nn

from sb3_integral.policies.layout import (
    NetworkLayout,
    PolicyLayout,
    dense,
    exchange_layers,
    find_layout,
)
from sb3_integral.policies.standardize import StandardizeCombinedExtractor, StandardizeExtractor
from sb3_integral.resize import UNSIZED_PARAMETERS

PLAIN_EXTRACTORS: dict[type, type[BaseFeaturesExtractor]] = {
    StandardizeExtractor: FlattenExtractor,
    StandardizeCombinedExtractor: CombinedExtractor,
}
"""What is left of an extractor that standardises when that is folded into the first layers."""

FORGOTTEN = (
    "share_features_extractor",
    "squash_output",
    "shared_lstm",
    "enable_critic_lstm",
    "lstm_kwargs",
)
"""Constructor arguments that some policies leave out of ``_get_constructor_parameters()``."""

Policy = TypeVar("Policy", bound=BasePolicy)
State = Mapping[str, Tensor]


def build_plain_policy(
    policy: BasePolicy, policy_class: type[Policy], state: State, fold: bool = True
) -> Policy:
    """Build an ordinary policy with given parameters; all else is taken from ``policy``.

    By default, standardisation of observations is folded into the first layers, so that nothing of this
    library is left in the result. The state of torch's random generator is not touched.

    Args:
        policy: Where spaces, distribution and features extractor come from.
        policy_class: Class of the result.
        state: The parameters, by the names that they have in ``policy``.
        fold: Whether standardisation goes into the first layers, or stays in front of them.

    Returns:
        A policy on the same device, in evaluation mode.
    """
    layout = find_layout(policy)
    arguments = constructor_arguments(policy, policy_class)
    if "net_arch" in arguments:
        arguments["net_arch"] = _net_arch(arguments["net_arch"], layout, state)
    extractor_class = arguments.get("features_extractor_class", FlattenExtractor)
    if extractor_class in PLAIN_EXTRACTORS and fold:
        extractor_class = PLAIN_EXTRACTORS[extractor_class]
        arguments.update(features_extractor_class=extractor_class, features_extractor_kwargs={})
        state = fold_features(policy, layout, state)
    elif issubclass(extractor_class, NatureCNN):
        features = len(state[f"{layout.actors[0].extractor}.linear.0.weight"])
        if "features_dim" in parameter_names(extractor_class):
            given = arguments["features_extractor_kwargs"] or {}
            arguments["features_extractor_kwargs"] = {**given, "features_dim": features}
    # The initial weights are overwritten, and making orthogonal ones takes longer than all the rest.
    orthogonal = arguments.get("ortho_init", False)
    if orthogonal:
        arguments["ortho_init"] = False
    with torch.random.fork_rng(devices=[]):
        plain = policy_class(**arguments)
    if orthogonal:
        setattr(plain, "ortho_init", True)  # noqa: B010
    if plain.device != policy.device:
        plain = plain.to(policy.device)
    target = plain.state_dict()
    others = {name: state[name] for name, value in target.items() if value.shape != state[name].shape}
    if others:
        _fit(plain, others)
        target = plain.state_dict()
    _copy(target, state)
    plain.set_training_mode(False)
    return plain


@torch.no_grad()
def _copy(target: State, state: State) -> None:
    """Overwrite a state dict's tensors: what ``load_state_dict`` does, in a fifth of its time."""
    for name, value in target.items():
        value.copy_(state[name])


def constructor_arguments(policy: BasePolicy, policy_class: type[BasePolicy]) -> dict[str, Any]:
    """Return what a policy is made with, the arguments that SB3 forgets included."""
    arguments = policy_class._get_constructor_parameters(policy)
    accepted = parameter_names(policy_class)
    arguments |= {name: getattr(policy, name) for name in FORGOTTEN if name in accepted}
    if "with_bias" in accepted:
        head = find_layout(policy).actors[0].heads[0]
        arguments["with_bias"] = dense(policy, head).bias is not None
    if "lstm_hidden_size" in accepted:
        lstm = cast(nn.LSTM, policy.get_submodule("lstm_actor"))
        arguments.update(lstm_hidden_size=lstm.hidden_size, n_lstm_layers=lstm.num_layers)
    if "kwargs" not in accepted:  # ARS' linear policy is saved with the net_arch that it does not take
        arguments = {name: value for name, value in arguments.items() if name in accepted}
    # use_expln and the like are None where gSDE is off, which the constructors do not take.
    return {name: value for name, value in arguments.items() if value is not None}


@functools.lru_cache(maxsize=128)
def parameter_names(of: type) -> frozenset[str]:
    """Return the names of what a class' constructor takes."""
    return frozenset(inspect.signature(of).parameters)


def actor_parameter_count(policy: BasePolicy, state: State) -> int:
    """Count an actor's weights and biases, and the one more that :mod:`~sb3_integral.resize` explains.

    Args:
        policy: Says which parameters are the actor's.
        state: Says how large they are.
    """
    net = find_layout(policy).actors[0]
    norms = tuple(name for name, _ in net.norms)
    parts = (net.extractor, "lstm_actor", *net.hidden, *net.heads, *norms)
    count: int = sum(
        state[name].numel()
        for name, _ in policy.named_parameters(remove_duplicate=False)
        # Corrections are part of what is sampled, not of what comes out.
        if name.startswith(tuple(f"{part}." for part in parts)) and ".corrections." not in name
    )
    return count + UNSIZED_PARAMETERS


def _net_arch(old: Any, layout: PolicyLayout, state: State) -> Any:
    def sizes(net: NetworkLayout) -> list[int]:
        return [len(state[f"{name}.weight"]) for name in net.hidden]

    actor = sizes(layout.actors[0])
    if not layout.critics:
        return actor
    if layout.critics[0].reads == "features and actions":
        return {"pi": actor, "qf": get_actor_critic_arch(old)[1]}
    return {"pi": actor, "vf": sizes(layout.critics[0])}


def standardization(extractor: nn.Module) -> tuple[Tensor, Tensor] | None:
    """Return scale and shift of an extractor that standardises; None for any other."""
    if isinstance(extractor, StandardizeCombinedExtractor):
        return extractor.scale_and_shift()
    if isinstance(extractor, StandardizeExtractor):
        return extractor.scale, extractor.shift
    return None


def fold_features(
    policy: BasePolicy,
    layout: PolicyLayout,
    state: State,
    affine: Callable[[nn.Module], tuple[Tensor, Tensor] | None] = standardization,
) -> dict[str, Tensor]:
    """Fold ``features * scale + shift`` into whatever reads an extractor's features.

    Args:
        policy: The policy.
        layout: Its networks.
        state: The parameters to fold into, by the names that they have in the policy.
        affine: Gives an extractor's scale and shift, each of shape (features,); None to leave its
            readers as they are.

    Raises:
        ValueError: If a reader normalises, or has no bias.
    """
    folded = dict(state)
    modules = dict(policy.named_modules(remove_duplicate=False))
    for net in (*layout.actors, *layout.critics):
        for rename in (str, _target) if net in layout.critics else (str,):
            extractor = modules.get(rename(net.extractor))
            pair = None if extractor is None else affine(extractor)
            if pair is None:
                continue
            if any(index < 0 for _, index in net.norms):
                raise ValueError(
                    "standardisation cannot be folded into a layer that normalises the observations, "
                    "expected a policy without StandardizeExtractor or with batch_norm=False"
                )
            scale, shift = pair
            readers = [(f"{name}.weight", f"{name}.bias") for name in map(rename, net.first)]
            if net.reads == "memory":
                readers = _memory_readers(modules, "vf" if net in layout.critics else "pi")
            for weight_name, bias_name in readers:
                weight, bias = state[weight_name], state.get(bias_name)
                read, rest = weight[:, : len(scale)], weight[:, len(scale) :]
                folded[weight_name] = torch.cat([read * scale, rest], dim=1)
                if bias is None:
                    raise ValueError(
                        f"{weight_name} has no bias that standardisation could be folded into"
                    )
                folded[bias_name] = bias + read @ shift
    return folded


def _memory_readers(modules: Mapping[str, nn.Module], side: str) -> list[tuple[str, str]]:
    """Return the parameters by which a recurrent policy's actor or critic reads features."""
    names = {"pi": ("lstm_actor",), "vf": ("lstm_critic", "critic")}[side]
    return [
        (f"{name}.weight_ih_l0", f"{name}.bias_ih_l0")
        if isinstance(modules[name], nn.LSTM)
        else (f"{name}.weight", f"{name}.bias")
        for name in names
        if name in modules
    ]


def _target(name: str) -> str:
    """Return the name of a critic's parameter in its target network."""
    owner, dot, rest = name.partition(".")
    return f"{owner}_target.{rest}" if dot and owner == "critic" else name


def _fit(plain: nn.Module, state: State) -> None:
    """Exchange layers that SB3's constructors cannot make in the wanted shape.

    Those are convolutions with other channels, and extractors of two widths where the actor's is not
    the critic's.
    """
    for owner in sorted({name.rpartition(".")[0] for name in state}):
        old = plain.get_submodule(owner)
        weight = state[f"{owner}.weight"]
        # A layer with several names was exchanged under the first one.
        if cast(Tensor, old.weight).shape != weight.shape:
            exchange_layers(plain, {owner: _layer_like(old, weight).to(weight.device)})


def _layer_like(old: nn.Module, weight: Tensor) -> nn.Module:
    has_bias = getattr(old, "bias", None) is not None
    if isinstance(old, nn.Conv2d):
        out_channels, in_channels, *_ = weight.shape
        geometry = {
            name: getattr(old, name) for name in ("kernel_size", "stride", "padding", "dilation")
        }
        return nn.Conv2d(in_channels, out_channels, **geometry, bias=has_bias)
    if isinstance(old, nn.Linear):
        return nn.Linear(weight.shape[1], weight.shape[0], bias=has_bias)
    raise ValueError(f"cannot make a layer of class {type(old).__name__} of shape {tuple(weight.shape)}")
