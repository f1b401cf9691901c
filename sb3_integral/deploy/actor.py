"""The deterministic actor as one module: raw observation in, action out, as ``predict`` returns it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import is_image_space, preprocess_obs
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor, nn

from sb3_integral.deploy.normalization import Statistics, check_statistics, statistics_of
from sb3_integral.deploy.plain_sb3 import Source, plain_policy
from sb3_integral.nn import Size


class DeterministicActor(nn.Module):
    """What ``predict(deterministic=True)`` computes, without the rest of the policy.

    An observation is a tensor of shape (batch, ...), or a dictionary of them; images come with their
    channels first. Whole numbers come as int64, images as uint8, all else as float32.

    Args:
        observation_space: The policy's.
        action_space: The policy's.
        see: From raw to preprocessed observations.
        extractor: From these to features.
        body: From features to what an action is taken from.
        act: From that to the action.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        see: nn.Module,
        extractor: nn.Module,
        body: nn.Sequential,
        act: nn.Module,
    ) -> None:
        super().__init__()
        self.observation_space = observation_space
        self.action_space = action_space
        self.see = see
        self.extractor = extractor
        self.body = body
        self.act = act

    def forward(self, observation: Tensor | dict[str, Tensor]) -> Tensor:
        """Act. Shape: (batch, ...) to (batch, *action)."""
        action: Tensor = self.act(self.body(self.extractor(self.see(observation))))
        return action


def deterministic_actor(
    source: Source, size: Size | None = None, normalize: VecNormalize | None = None
) -> DeterministicActor:
    """Take the deterministic actor out of a policy.

    Args:
        source: A model, a policy, or a ResizablePolicy.
        size: One integer for all hidden layers, or one for each; that in force by default.
        normalize: Statistics that the policy was trained with. Unlike in plain SB3, clipping is kept.

    Returns:
        A module of its own on the CPU, in evaluation mode.

    Raises:
        ValueError: If a size is wrong, the normalisation does not fit, or the policy is recurrent.
    """
    policy = plain_policy(source, size).to("cpu")
    statistics = statistics_of(normalize)
    check_statistics(policy.observation_space, statistics)
    extractor, body = _parts(policy)
    actor = DeterministicActor(
        policy.observation_space,
        policy.action_space,
        See(policy, statistics),
        extractor,
        body,
        _action(policy, body),
    )
    return actor.eval().requires_grad_(False)


class See(nn.Module):
    """SB3's preprocessing, behind VecNormalize's where there is one."""

    def __init__(self, policy: BasePolicy, statistics: Mapping[str | None, Statistics]) -> None:
        super().__init__()
        self.space = policy.observation_space
        self.normalize_images = policy.normalize_images
        self.clips = {name: own.clip for name, own in statistics.items()}
        for name, own in statistics.items():
            self.register_buffer(f"mean_{name}", torch.from_numpy(own.mean).float())
            self.register_buffer(f"std_{name}", torch.from_numpy(own.std).float())

    def forward(self, observation: Any) -> Any:
        """Preprocess. Shape: (batch, ...) to (batch, ...)."""
        if None in self.clips:
            observation = self._normalize(None, observation)
        elif self.clips:
            observation = {
                name: self._normalize(name, value) if name in self.clips else value
                for name, value in observation.items()
            }
        return preprocess_obs(observation, self.space, normalize_images=self.normalize_images)

    def _normalize(self, name: str | None, observation: Tensor) -> Tensor:
        mean, std = self.get_buffer(f"mean_{name}"), self.get_buffer(f"std_{name}")
        clip = self.clips[name]
        return ((observation.float() - mean) / std).clamp(-clip, clip)


class Clip(nn.Module):
    """Actions of a Gaussian policy, clipped to the action space. Shape: (batch, actions)."""

    low: Tensor
    high: Tensor

    def __init__(self, space: spaces.Box) -> None:
        super().__init__()
        self.shape = space.shape
        # A single bound for all actions makes a smaller and faster graph.
        low, high = (np.asarray(bounds, np.float32) for bounds in (space.low, space.high))
        is_even = bool((low == low.flat[0]).all() and (high == high.flat[0]).all())
        self.bounds = (float(low.flat[0]), float(high.flat[0])) if is_even else None
        self.register_buffer("low", torch.from_numpy(low))
        self.register_buffer("high", torch.from_numpy(high))

    def forward(self, mean: Tensor) -> Tensor:
        """Clip. Shape: (batch, actions) to (batch, *action)."""
        mean = self._shaped(mean)
        if self.bounds is None:
            return mean.clamp(self.low, self.high)
        return mean.clamp(*self.bounds)

    def _shaped(self, flat: Tensor) -> Tensor:
        return flat if len(self.shape) == 1 else flat.reshape(-1, *self.shape)


class Unscale(Clip):
    """Actions of a squashed policy, brought from [-1, 1] to the action space."""

    def forward(self, squashed: Tensor) -> Tensor:
        """Unscale. Shape: (batch, actions) to (batch, *action)."""
        return self.low + 0.5 * (self._shaped(squashed) + 1.0) * (self.high - self.low)


class Argmax(nn.Module):
    """The most likely, or the most valuable, of one action's choices, or of several actions'.

    Args:
        choices: How many there are of each action; their logits stand one behind the other.
        shape: The shape of an action.
    """

    def __init__(self, choices: tuple[int, ...], shape: tuple[int, ...]) -> None:
        super().__init__()
        self.choices = choices
        self.shape = shape

    def forward(self, logits: Tensor) -> Tensor:
        """Choose. Shape: (batch, choices) to (batch, *action)."""
        best = [part.argmax(dim=1) for part in logits.split(self.choices, dim=1)]
        return torch.stack(best, dim=1).reshape(-1, *self.shape)


class Threshold(nn.Module):
    """Each binary action taken if it is more likely than not. Shape: (batch, actions)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, logits: Tensor) -> Tensor:
        """Choose. Shape: (batch, actions) to (batch, *action)."""
        return (logits > 0).float().reshape(-1, *self.shape)


class MeanOfQuantiles(nn.Module):
    """The value of each action from its quantiles."""

    def __init__(self, quantiles: int) -> None:
        super().__init__()
        self.quantiles = quantiles

    def forward(self, values: Tensor) -> Tensor:
        """Average. Shape: (batch, quantiles · actions) to (batch, actions)."""
        return values.reshape(len(values), self.quantiles, -1).mean(dim=1)


def _parts(policy: Any) -> tuple[nn.Module, nn.Sequential]:
    """Return the actor's extractor and what follows it."""
    if hasattr(policy, "lstm_actor"):
        raise ValueError("a recurrent policy has a memory, expected one whose actor has none")
    if hasattr(policy, "mlp_extractor"):
        squash = [nn.Tanh()] if policy.squash_output else []
        extractor = getattr(policy, "pi_features_extractor", policy.features_extractor)
        return extractor, _flat(policy.mlp_extractor.policy_net, policy.action_net, *squash)
    for name in ("q_net", "quantile_net"):
        if hasattr(policy, name):
            net = getattr(policy, name)
            means = [MeanOfQuantiles(policy.n_quantiles)] if name == "quantile_net" else []
            return net.features_extractor, _flat(getattr(net, name), *means)
    if hasattr(policy, "actor"):
        actor = policy.actor
        if hasattr(actor, "latent_pi"):
            return actor.features_extractor, _flat(actor.latent_pi, actor.mu, nn.Tanh())
        return actor.features_extractor, _flat(actor.mu)
    if isinstance(getattr(policy, "action_net", None), nn.Sequential):  # ARS
        return policy.features_extractor, _flat(policy.action_net)
    raise ValueError(f"{type(policy).__name__} is not a kind of policy whose actor is known here")


def _flat(*modules: nn.Module) -> nn.Sequential:
    """Put modules one behind the other, without sequences in sequences."""
    flat: list[nn.Module] = []
    for module in modules:
        flat += _flat(*module) if isinstance(module, nn.Sequential) else [module]
    return nn.Sequential(*flat)


def _action(policy: BasePolicy, body: nn.Sequential) -> nn.Module:
    space = policy.action_space
    if isinstance(space, spaces.Box):
        return Unscale(space) if policy.squash_output else Clip(space)
    if isinstance(space, spaces.Discrete):
        return Argmax((int(space.n),), ())
    if isinstance(space, spaces.MultiDiscrete):
        return Argmax(tuple(map(int, space.nvec.ravel())), space.shape)
    if isinstance(space, spaces.MultiBinary):
        count = int(np.prod(space.shape))
        if isinstance(body[-1], nn.Linear) and body[-1].out_features == 2 * count:  # MaskablePPO
            return Argmax((2,) * count, space.shape)
        return Threshold(space.shape)
    raise ValueError(f"actions of {space} are not known here")


def observation_dtype(space: spaces.Space[Any]) -> type[np.generic]:
    """Return the type in which an actor takes observations of a space that is no dictionary."""
    if isinstance(space, spaces.Box):
        return np.uint8 if is_image_space(space) and space.dtype == np.uint8 else np.float32
    return np.int64


def example(space: spaces.Space[Any], batch: int = 2) -> Tensor | dict[str, Tensor]:
    """Return a batch of zeros of a space, in the types that an actor takes."""
    if isinstance(space, spaces.Dict):
        return {name: example(inner, batch) for name, inner in space.items()}  # type: ignore[misc]
    return torch.from_numpy(np.zeros((batch, *(space.shape or ())), observation_dtype(space)))
