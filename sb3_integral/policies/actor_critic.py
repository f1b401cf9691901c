"""Actor-critic policies whose actor is an integral network: PPO, A2C and TRPO."""

from __future__ import annotations

from typing import Any, TypeVar

from stable_baselines3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    MultiInputActorCriticPolicy,
)

from sb3_integral.nn import Axes, Size
from sb3_integral.policies.integral import IntegralPolicy
from sb3_integral.policies.integral_layers import make_network_integral
from sb3_integral.policies.layout import dense, find_layout

Self = TypeVar("Self", bound="IntegralOnPolicy")


class IntegralOnPolicy(IntegralPolicy):
    """Mixed into the policies of on-policy algorithms: the critic can be integral too.

    Args:
        *args: As for the plain policy.
        integral_critic: Whether the critic is integral, on axes of its own. It is thrown away with
            training, so by default it stays plain.
        **kwargs: As for :class:`IntegralPolicy` and the plain policy.
    """

    critic_axes: Axes

    def __init__(self, *args: Any, integral_critic: bool = False, **kwargs: Any) -> None:
        self.integral_critic = integral_critic
        super().__init__(*args, **kwargs)

    def _make_integral(self) -> None:
        super()._make_integral()
        critic = find_layout(self).critics[0]
        widths = [dense(self, name).out_features for name in critic.hidden]
        self.critic_axes = Axes(
            self._new_axis(width) for width in (widths if self.integral_critic else [])
        )
        if self.integral_critic:
            first = self.get_submodule(critic.first[0])
            in_axis = getattr(first, "in_axis", None)  # features that the actor reads too
            make_network_integral(self, critic, in_axis, list(self.critic_axes), self._integral_norm)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "integral_critic": self.integral_critic}

    @property
    def critic_sizes(self) -> tuple[int, ...]:
        """The current hidden sizes of the critic; empty if it is not integral."""
        return self.critic_axes.sizes

    def resize_critic(self: Self, size: Size) -> Self:
        """Change an integral critic's size in place; see :meth:`resize`.

        Raises:
            ValueError: If the critic is plain, or if a size is wrong.
        """
        if not self.integral_critic:
            raise ValueError("the critic is plain, expected a policy with integral_critic=True")
        self.critic_axes.resize(size)
        return self


class IntegralActorCriticPolicy(IntegralOnPolicy, ActorCriticPolicy):
    """SB3's ``MlpPolicy`` of PPO, A2C and TRPO with an actor that can be resized after training.

    See :class:`IntegralPolicy` and :class:`IntegralOnPolicy` for what it takes beside SB3's arguments.
    """


class IntegralActorCriticCnnPolicy(IntegralActorCriticPolicy, ActorCriticCnnPolicy):
    """The same for images."""


class IntegralMultiInputActorCriticPolicy(IntegralActorCriticPolicy, MultiInputActorCriticPolicy):
    """The same for observations that are dictionaries."""


ACTOR_CRITIC_POLICIES = (
    IntegralActorCriticPolicy,
    IntegralActorCriticCnnPolicy,
    IntegralMultiInputActorCriticPolicy,
)
