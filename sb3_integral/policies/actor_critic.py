"""Actor-critic policies whose actor is an integral network: PPO, A2C and TRPO."""

from __future__ import annotations

from collections import deque
from typing import Any, TypeVar

import torch
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    MultiInputActorCriticPolicy,
)
from torch import Tensor, nn

from sb3_integral.nn import Axes, Size
from sb3_integral.policies.integral import IntegralPolicy
from sb3_integral.policies.integral_layers import make_network_integral
from sb3_integral.policies.layout import dense, find_layout
from sb3_integral.policies.size_conditioning import SizeCode, train_with

Self = TypeVar("Self", bound="IntegralOnPolicy")


class IntegralOnPolicy(IntegralPolicy):
    """Mixed into the policies of on-policy algorithms: the critic can be integral too.

    Args:
        *args: As for the plain policy.
        integral_critic: Whether the critic is integral, on axes of its own. It is thrown away with
            training, so by default it stays plain.
        **kwargs: As for :class:`IntegralPolicy` and the plain policy.

    Attributes:
        single_sizes: During training at many sizes, the sizes of the observations whose values SB3 asks
            for one by one next: those at which an environment's episode was cut off.
    """

    critic_axes: Axes
    action_net: nn.Module
    action_dist: Any
    log_std: nn.Parameter
    log_std_by_size: nn.Parameter
    single_sizes: deque[int]
    _size_code: tuple[SizeCode] | None = None  # a tuple: the code's axes are registered already

    def __init__(self, *args: Any, integral_critic: bool = False, **kwargs: Any) -> None:
        if integral_critic and kwargs.get("any_size"):
            raise ValueError("expected integral_critic=False: a critic of any_size is told the size")
        self.integral_critic = integral_critic
        self.single_sizes = deque()
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

    def _know_size(self, code: SizeCode) -> None:
        """Have critic and standard deviation know the actor's size."""
        super()._know_size(code)
        if isinstance(self.action_dist, DiagGaussianDistribution):
            self._size_code = (code,)
            self.log_std_by_size = nn.Parameter(self.log_std.new_zeros(len(code), len(self.log_std)))
            train_with(self, self.log_std, self.log_std_by_size)

    def _get_action_dist_from_latent(self, *args: Any, **kwargs: Any) -> Any:
        """See SB3. The standard deviation is that of each sample's size."""
        code = None if self._size_code is None else self._size_code[0].of_batch(args[0])
        if code is None:
            return super()._get_action_dist_from_latent(*args, **kwargs)  # type: ignore[misc]
        log_std = self.log_std + code @ self.log_std_by_size
        return self.action_dist.proba_distribution(self.action_net(args[0]), log_std)

    def predict_values(self, *args: Any, **kwargs: Any) -> Any:
        """See SB3. During training at many sizes, :attr:`single_sizes` may say the size."""
        if not self.single_sizes:
            return super().predict_values(*args, **kwargs)  # type: ignore[misc]
        assert self._mixed is not None
        with self._mixed.at(torch.tensor([self.single_sizes.popleft()])):
            return super().predict_values(*args, **kwargs)  # type: ignore[misc]

    def _current_discrete_state(self) -> dict[str, Tensor]:
        state = super()._current_discrete_state()
        code = None if self._size_code is None else self._size_code[0].current()
        if code is not None:
            state["log_std"] = self.log_std + code.to(self.log_std) @ self.log_std_by_size
        return state

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
