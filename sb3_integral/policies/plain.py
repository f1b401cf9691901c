"""Reading the dense layers of an SB3 actor-critic policy, and building a plain one from layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor
from torch import Tensor, nn

from sb3_integral.policies.standardize import StandardizeExtractor
from sb3_integral.resize import DenseLayer


def actor_modules(policy: ActorCriticPolicy) -> list[nn.Linear]:
    """Return the actor's dense layers, first to last, the action layer included."""
    return [*_dense(policy.mlp_extractor.policy_net), _linear(policy.action_net)]


def critic_modules(policy: ActorCriticPolicy) -> list[nn.Linear]:
    """Return the critic's dense layers, first to last, the value layer included."""
    return [*_dense(policy.mlp_extractor.value_net), _linear(policy.value_net)]


def dense_layers(modules: Sequence[nn.Linear]) -> list[DenseLayer]:
    """Return the parameters of plain layers, detached."""
    return [DenseLayer(m.weight.detach(), m.bias.detach()) for m in modules]


def build_plain_policy(
    policy: ActorCriticPolicy,
    policy_class: type[ActorCriticPolicy],
    actor: Sequence[DenseLayer],
    critic: Sequence[DenseLayer],
) -> ActorCriticPolicy:
    """Build an ordinary policy with given dense layers; all else is taken from ``policy``.

    Standardisation of observations is folded into the first layers, so that nothing of this library
    is left in the result. The state of torch's random generator is not touched.

    Args:
        policy: Where spaces, distribution, features extractor and log-std come from.
        policy_class: Class of the result.
        actor: The actor's layers, the action layer last.
        critic: The critic's layers, the value layer last.

    Returns:
        A policy on the same device, in evaluation mode.
    """
    arguments = ActorCriticPolicy._get_constructor_parameters(policy)
    arguments["net_arch"] = {
        "pi": [len(layer.weight) for layer in actor[:-1]],
        "vf": [len(layer.weight) for layer in critic[:-1]],
    }
    arguments["share_features_extractor"] = policy.share_features_extractor
    state = policy.state_dict()
    if issubclass(policy.features_extractor_class, StandardizeExtractor):
        arguments["features_extractor_class"] = FlattenExtractor
        arguments["features_extractor_kwargs"] = {}
        actor = _folded(policy.pi_features_extractor, actor)
        critic = _folded(policy.vf_features_extractor, critic)

    # use_expln and the like are None where gSDE is off, which the constructor does not take.
    arguments = {key: value for key, value in arguments.items() if value is not None}
    with torch.random.fork_rng(devices=[]):
        plain = policy_class(**arguments).to(policy.device)
    target = plain.state_dict()
    names = {id(module): name for name, module in plain.named_modules()}
    for modules, layers in ((actor_modules(plain), actor), (critic_modules(plain), critic)):
        for module, layer in zip(modules, layers, strict=True):
            state[f"{names[id(module)]}.weight"] = layer.weight
            if layer.bias is not None:
                state[f"{names[id(module)]}.bias"] = layer.bias
    plain.load_state_dict({key: state[key] for key in target})
    plain.set_training_mode(False)
    return plain


def _folded(
    extractor: BaseFeaturesExtractor | nn.Module, layers: Sequence[DenseLayer]
) -> list[DenseLayer]:
    assert isinstance(extractor, StandardizeExtractor)
    weight, bias = layers[0]
    shifted: Tensor = weight @ extractor.shift
    return [
        DenseLayer(weight * extractor.scale, shifted if bias is None else bias + shifted),
        *layers[1:],
    ]


def _dense(net: nn.Sequential) -> list[nn.Linear]:
    return [module for module in net if isinstance(module, nn.Linear)]


def _linear(module: nn.Module) -> nn.Linear:
    if not isinstance(module, nn.Linear):
        raise ValueError(f"expected a dense layer at the policy's output, got {module!r}")
    return module
