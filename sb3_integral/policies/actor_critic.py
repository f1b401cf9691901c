"""The actor-critic policy whose actor is an integral network: PPO, A2C and TRPO."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import MlpExtractor
from stable_baselines3.common.type_aliases import Schedule
from torch import nn

from sb3_integral.nn import (
    Axes,
    Axis,
    CubicConvolution,
    IntegralLinear,
    Kernel,
    Quadrature,
    Size,
    Trapezoidal,
    as_sizes,
    string_on_axes,
)
from sb3_integral.policies.plain import actor_modules, build_plain_policy, critic_modules
from sb3_integral.resize import DenseLayer, compression_rate

Arch = list[int] | dict[str, list[int]]


class IntegralActorCriticPolicy(ActorCriticPolicy):
    """SB3's ``MlpPolicy`` with an actor that can be resized after training.

    At full size, with the default grid, it is the plain policy: same initial weights for the same
    seed, same steps, same speed. The critic, which is thrown away with training, stays plain unless
    asked otherwise. ``model.save`` and ``policy.save`` keep the size in force.

    Args:
        observation_space: As in SB3, like every argument that is not listed here.
        action_space: Every action space that :class:`ActorCriticPolicy` takes.
        lr_schedule: Learning rate schedule.
        net_arch: Full hidden sizes, in SB3's forms; the actor needs at least one hidden layer.
        grid_size: λ nodes per hidden layer of the actor (one number, or one per layer); the hidden
            sizes by default.
        kernel: Kernel of the axes, or its name.
        quadrature: Quadrature of the axes, or its name.
        integral_critic: Whether the critic is integral too, on axes of its own.
        **kwargs: The other arguments of :class:`ActorCriticPolicy`.

    Raises:
        ValueError: If the actor has no hidden layer, if a size is not a positive integer, or if
            ``use_sde`` is asked for (its noise is as wide as the last hidden layer).
    """

    actor_axes: Axes
    critic_axes: Axes

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        net_arch: Arch | None = None,
        *args: Any,
        grid_size: Size | None = None,
        kernel: Kernel | str = CubicConvolution(),
        quadrature: Quadrature | str = Trapezoidal(),
        integral_critic: bool = False,
        **kwargs: Any,
    ) -> None:
        self.grid_size = grid_size
        self.kernel = kernel
        self.quadrature = quadrature
        self.integral_critic = integral_critic
        super().__init__(observation_space, action_space, lr_schedule, net_arch, *args, **kwargs)

    def _build_mlp_extractor(self) -> None:
        if self.use_sde:
            raise ValueError("use_sde=True is not supported by an integral policy, expected False")
        actor, critic = _arch(self.net_arch)
        if not actor:
            raise ValueError(
                f"an integral policy needs at least one hidden layer in its actor, "
                f"got net_arch={self.net_arch!r}"
            )
        self.actor_axes = self._make_axes(actor, self.grid_size)
        self.critic_axes = self._make_axes(critic if self.integral_critic else [], None)
        # SB3 builds and initialises plain layers on the λ grid; _build strings them on the axes.
        self.mlp_extractor = MlpExtractor(
            self.features_dim,
            net_arch={"pi": [axis.grid_size for axis in self.actor_axes], "vf": critic},
            activation_fn=self.activation_fn,
            device=self.device,
        )

    def _make_axes(self, sizes: list[int], grid_size: Size | None) -> Axes:
        full = as_sizes(sizes, len(sizes), "net_arch")
        grids = full if grid_size is None else as_sizes(grid_size, len(sizes), "grid_size")
        return Axes(
            Axis(size, grid_size=grid, kernel=self.kernel, quadrature=self.quadrature)
            for size, grid in zip(full, grids, strict=True)
        )

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        # The parameters stay the same objects, so the optimizer that was just made has them.
        layers = string_on_axes(actor_modules(self), list(self.actor_axes))
        _replace_dense(self.mlp_extractor.policy_net, layers[:-1])
        self.action_net = layers[-1]
        if self.integral_critic:
            layers = string_on_axes(critic_modules(self), list(self.critic_axes))
            _replace_dense(self.mlp_extractor.value_net, layers[:-1])
            self.value_net = layers[-1]

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        data.update(
            share_features_extractor=self.share_features_extractor,
            grid_size=self.grid_size,
            kernel=self.kernel,
            quadrature=self.quadrature,
            integral_critic=self.integral_critic,
        )
        return data

    @property
    def sizes(self) -> tuple[int, ...]:
        """The actor's hidden sizes in force."""
        return self.actor_axes.sizes

    @property
    def max_sizes(self) -> tuple[int, ...]:
        """The actor's hidden sizes as built."""
        return self.actor_axes.max_sizes

    def resize(self, size: Size) -> IntegralActorCriticPolicy:
        """Change the actor's size in place, with no retraining, and return the policy.

        Args:
            size: One integer for all hidden layers, or one per hidden layer.

        Raises:
            ValueError: If a size is not a positive integer or their number is wrong; the policy
                keeps its size then.
        """
        self.actor_axes.resize(size)
        return self

    @property
    def critic_sizes(self) -> tuple[int, ...]:
        """The critic's hidden sizes in force; empty if it is not integral."""
        return self.critic_axes.sizes

    def resize_critic(self, size: Size) -> IntegralActorCriticPolicy:
        """Change an integral critic's size in place; see :meth:`resize`.

        Raises:
            ValueError: If the critic is plain, or if a size is wrong.
        """
        if not self.integral_critic:
            raise ValueError("the critic is plain, expected a policy with integral_critic=True")
        self.critic_axes.resize(size)
        return self

    def compression(self, size: Size | None = None) -> float:
        """Return the percentage of the actor's parameters that is gone, as the paper counts it.

        Args:
            size: As for :meth:`resize`; the size in force by default.

        Raises:
            ValueError: If a size is not a positive integer or their number is wrong.
        """
        sizes = self.sizes if size is None else as_sizes(size, len(self.actor_axes))
        layers = actor_modules(self)
        return compression_rate(layers[0].in_features, sizes, self.max_sizes, layers[-1].out_features)

    def discretize(self, size: Size | None = None) -> ActorCriticPolicy:
        """Return an ordinary SB3 policy of a size, with parameters of its own.

        Args:
            size: As for :meth:`resize`; the size in force by default.

        Raises:
            ValueError: If a size is not a positive integer or their number is wrong.
        """
        with torch.no_grad(), self.actor_axes.resized(self.sizes if size is None else size):
            actor = [_discrete(layer) for layer in actor_modules(self)]
            critic = [_discrete(layer) for layer in critic_modules(self)]
            return build_plain_policy(self, ActorCriticPolicy, actor, critic)


def _arch(net_arch: Arch) -> tuple[list[int], list[int]]:
    if isinstance(net_arch, dict):
        return list(net_arch.get("pi", [])), list(net_arch.get("vf", []))
    return list(net_arch), list(net_arch)


def _replace_dense(net: nn.Sequential, layers: list[IntegralLinear]) -> None:
    remaining = iter(layers)
    for i, module in enumerate(net):
        if isinstance(module, nn.Linear):
            net[i] = next(remaining)


def _discrete(layer: nn.Linear) -> DenseLayer:
    if isinstance(layer, IntegralLinear):
        return DenseLayer(*layer.discrete_parameters())
    return DenseLayer(layer.weight, layer.bias)
