"""A trained plain policy made integral, without data and without training."""

from __future__ import annotations

import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from sb3_integral.nn import IntegralLayer, convert
from sb3_integral.policies.actor_critic import IntegralActorCriticPolicy
from sb3_integral.policies.anatomy import dissect
from sb3_integral.policies.plain import constructor_arguments, find_gsde


def make_integral(policy: ActorCriticPolicy, permute: bool = True) -> IntegralActorCriticPolicy:
    """Make an integral policy of a trained ``MlpPolicy`` of PPO, A2C or TRPO.

    Its hidden neurons are put in the order in which their weights vary least, and are taken as values of
    functions. At full size it acts as the policy did.

    Args:
        policy: The policy; not changed.
        permute: Whether neurons are ordered; needs fast-tsp.

    Raises:
        ValueError: If it is of another class, has no hidden layer, or explores with gSDE.
        ImportError: If fast-tsp is wanted and not installed.
    """
    if type(policy) is not ActorCriticPolicy:
        raise ValueError(f"expected SB3's ActorCriticPolicy, got {type(policy).__name__}")
    if find_gsde(policy) is not None:
        raise ValueError("the noise of a policy with use_sde=True belongs to the order of its neurons")
    net = dissect(policy).actors[0]
    actor = nn.Sequential(*policy.mlp_extractor.policy_net, policy.action_net)
    network = convert(actor, permute=permute).network
    layers = [module for module in network.modules() if isinstance(module, IntegralLayer)]
    state = dict(policy.state_dict())
    for name, layer in zip((*net.hidden, *net.heads), layers, strict=True):
        state[f"{name}.weight"] = layer.weight.detach()
        if layer.bias is not None:
            state[f"{name}.bias"] = layer.bias.detach()
    with torch.random.fork_rng(devices=[]):
        integral = IntegralActorCriticPolicy(**constructor_arguments(policy, ActorCriticPolicy))
    integral = integral.to(policy.device)
    integral.load_state_dict(integral.state_dict() | state)
    integral.set_training_mode(False)
    return integral
