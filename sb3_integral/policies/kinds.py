"""What kind of policy a value is: no other file asks for the classes of policies."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeGuard, TypeVar, runtime_checkable

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy

from sb3_integral.nn import Size
from sb3_integral.policies.integral import IntegralPolicy
from sb3_integral.policies.layout import policy_of

Self = TypeVar("Self")


@runtime_checkable
class Resizable(Protocol):
    """A policy whose size can be chosen after training."""

    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The current hidden sizes."""
        ...

    @property
    def max_sizes(self) -> tuple[int, ...]:
        """The hidden sizes as built."""
        ...

    def resize(self: Self, size: Size) -> Self:
        """Change the size in place and return the policy."""
        ...

    def resized(self: Self, size: Size) -> AbstractContextManager[Self]:
        """Have another size inside a ``with`` block, and the size from before after it."""
        ...

    def compression(self, size: Size | None = None) -> float:
        """Return the percentage of the actor's parameters that is gone."""
        ...

    def discretize(self, size: Size | None = None) -> BasePolicy:
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


def is_resizable(policy: object) -> TypeGuard[Resizable]:
    """Return whether a policy can be resized: an integral one, or a plain one in its wrapper."""
    return isinstance(policy, Resizable)


def is_integral(policy: object) -> TypeGuard[IntegralPolicy]:
    """Return whether a policy is integral."""
    return isinstance(policy, IntegralPolicy)


def is_actor_critic(policy: object) -> TypeGuard[ActorCriticPolicy]:
    """Return whether a policy is one of PPO's kind, which has an action distribution and a value."""
    return isinstance(policy, ActorCriticPolicy)


def is_of_sb3(policy: object) -> TypeGuard[BasePolicy]:
    """Return whether a policy is of SB3's classes, and neither a wrapper nor a callable."""
    return isinstance(policy, BasePolicy)


def integral_policy(policy: object, needed_for: str) -> IntegralPolicy:
    """Return a policy that has to be integral.

    Args:
        policy: The policy.
        needed_for: What needs it, in the plural, for the error.

    Raises:
        ValueError: If it is of another kind.
    """
    if not is_integral(policy):
        raise ValueError(f"{needed_for} need an integral policy, got {type(policy).__name__}")
    return policy


def policy_of_sb3(source: Any) -> BasePolicy:
    """Return the policy of SB3's classes that a model or a wrapper has, at its current size."""
    policy = policy_of(source)
    found: BasePolicy = policy if is_of_sb3(policy) else policy.policy
    return found
