"""Resizing for policies that are not integral, and what every resizable policy can do."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_integral.nn import Size, as_sizes
from sb3_integral.policies.plain import (
    actor_modules,
    build_plain_policy,
    critic_modules,
    dense_layers,
)
from sb3_integral.resize import ResizeMethod, compression_rate, resize_method

Self = TypeVar("Self")


@runtime_checkable
class Resizable(Protocol):
    """A policy whose size can be chosen after training."""

    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The hidden sizes in force."""
        ...

    @property
    def max_sizes(self) -> tuple[int, ...]:
        """The hidden sizes as built."""
        ...

    def resize(self: Self, size: Size) -> Self:
        """Change the size in place and return the policy."""
        ...

    def compression(self, size: Size | None = None) -> float:
        """Return the percentage of the actor's parameters that is gone."""
        ...

    def discretize(self, size: Size | None = None) -> ActorCriticPolicy:
        """Return an ordinary SB3 policy of a size."""
        ...

    def predict(
        self,
        observation: np.ndarray[Any, Any] | dict[str, np.ndarray[Any, Any]],
        state: tuple[np.ndarray[Any, Any], ...] | None = None,
        episode_start: np.ndarray[Any, Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray[Any, Any], tuple[np.ndarray[Any, Any], ...] | None]:
        """Return actions, as SB3's policies do."""
        ...


class ResizablePolicy:
    """A plain SB3 policy that can be resized with no retraining, by a named method.

    The policy itself is never changed: each size is made anew from its full-size weights.

    Args:
        policy: A policy of PPO, A2C or TRPO with at least one hidden layer in its actor.
        method: A method of :data:`~sb3_integral.resize.RESIZE_METHODS` by name, or one's own.

    Attributes:
        full_policy: The policy that was passed.
        policy: An ordinary policy of the size in force.

    Raises:
        ValueError: If the method is unknown, the policy is integral (it resizes itself), or it
            has no hidden layer.
    """

    def __init__(self, policy: ActorCriticPolicy, method: ResizeMethod | str = "bicubic") -> None:
        if not isinstance(policy, ActorCriticPolicy):
            raise ValueError(
                f"expected an SB3 actor-critic policy (model.policy of PPO, A2C or TRPO), "
                f"got {type(policy).__name__}"
            )
        if isinstance(policy, Resizable):
            raise ValueError(f"{type(policy).__name__} resizes itself, expected a plain policy")
        if policy.use_sde:
            raise ValueError("a policy with use_sde=True cannot be resized")
        self.method = resize_method(method)
        self.full_policy = policy
        self.observation_space: spaces.Space[Any] = policy.observation_space
        self.action_space: spaces.Space[Any] = policy.action_space
        layers = actor_modules(policy)
        if len(layers) < 2:
            raise ValueError("the actor has no hidden layer, expected at least one to resize")
        self.max_sizes: tuple[int, ...] = tuple(layer.out_features for layer in layers[:-1])
        self.sizes: tuple[int, ...] = self.max_sizes
        self.policy: ActorCriticPolicy = self.discretize()

    def resize(self, size: Size) -> ResizablePolicy:
        """Change the actor's size, with no retraining, and return this wrapper.

        Args:
            size: One integer for all hidden layers, or one per hidden layer.

        Raises:
            ValueError: If a size is not a positive integer or their number is wrong.
        """
        sizes = as_sizes(size, len(self.max_sizes))
        self.policy = self.discretize(sizes)
        self.sizes = sizes
        return self

    def compression(self, size: Size | None = None) -> float:
        """Return the percentage of the actor's parameters that is gone, as the paper counts it."""
        sizes = self.sizes if size is None else as_sizes(size, len(self.max_sizes))
        layers = actor_modules(self.full_policy)
        return compression_rate(layers[0].in_features, sizes, self.max_sizes, layers[-1].out_features)

    def discretize(self, size: Size | None = None) -> ActorCriticPolicy:
        """Return an ordinary SB3 policy of a size (that in force by default)."""
        sizes = self.sizes if size is None else as_sizes(size, len(self.max_sizes))
        actor = self.method(dense_layers(actor_modules(self.full_policy)), sizes)
        critic = dense_layers(critic_modules(self.full_policy))
        return build_plain_policy(self.full_policy, type(self.full_policy), actor, critic)

    def predict(
        self,
        observation: np.ndarray[Any, Any] | dict[str, np.ndarray[Any, Any]],
        state: tuple[np.ndarray[Any, Any], ...] | None = None,
        episode_start: np.ndarray[Any, Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray[Any, Any], tuple[np.ndarray[Any, Any], ...] | None]:
        """Return the actions of the policy at the size in force; see SB3's ``predict``."""
        return self.policy.predict(observation, state, episode_start, deterministic)
