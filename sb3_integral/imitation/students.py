"""Students: policies that are built to clone an expert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    MultiInputActorCriticPolicy,
)
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, NatureCNN
from torch import nn

from sb3_integral.imitation.observations import check_student_spaces
from sb3_integral.policies import (
    IntegralActorCriticCnnPolicy,
    IntegralActorCriticPolicy,
    IntegralMultiInputActorCriticPolicy,
    StandardizeCombinedExtractor,
    StandardizeExtractor,
)

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "silu": nn.SiLU,
}
"""Activations that can be named in a configuration."""

DEFAULT_SCALE_LEVELS = 9
"""Down to 1/√2⁹ = 4.4 % of full size: the paper's smallest students have 5 of 100 neurons."""


@dataclass(frozen=True)
class StudentArchitecture:
    """What a student is made of.

    Args:
        kind: A plain student can be resized by the methods of :mod:`sb3_integral.resize` alone.
        hidden_sizes: The full size of each hidden layer; the paper has (100, 100).
        activation: A key of :data:`ACTIVATIONS`. SB3's own default is tanh, the paper has ReLU.
        standardize: Whether observations are standardised by the demonstrations' statistics.
        grid_size: λ nodes per hidden layer of an integral student; ``hidden_sizes`` if None.
        kernel: The name of an integral student's kernel.
        quadrature: The name of an integral student's quadrature.
        nested: Whether the partitions of an integral student nest; the paper's do not.
        scale_levels: How far down λ a student with nested partitions has corrections that depend on
            the scale, in steps of 1/√2: one number, or one for each layer, the output's last. Without
            any, the student is what the literature calls slimmable.

    Raises:
        ValueError: If the kind or the activation is unknown.
    """

    kind: Literal["integral", "plain"]
    hidden_sizes: Sequence[int] = (100, 100)
    activation: str = "tanh"
    standardize: bool = True
    grid_size: int | None = None
    kernel: str = "cubic"
    quadrature: str = "trapezoidal"
    nested: bool = True
    scale_levels: int | Sequence[int] | None = None

    def __post_init__(self) -> None:
        """Check the names."""
        if self.kind not in ("integral", "plain"):
            raise ValueError(f"unknown kind of student {self.kind!r}, expected integral or plain")
        if self.activation not in ACTIVATIONS:
            known = ", ".join(sorted(ACTIVATIONS))
            raise ValueError(f"unknown activation {self.activation!r}; known are {known}")

    def build(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any], seed: int
    ) -> ActorCriticPolicy:
        """Build an untrained student; its critic is one linear layer, which cloning never uses.

        Args:
            observation_space: What it will observe.
            action_space: What it will do.
            seed: Draws the initial weights; torch's own random state is left alone.

        Raises:
            ValueError: If students do not support one of the spaces.
        """
        check_student_spaces(observation_space, action_space)
        plain_class, integral_class, extractor_class = self._classes(observation_space)
        arguments: dict[str, Any] = {
            "lr_schedule": _no_learning_rate,
            "net_arch": {"pi": list(self.hidden_sizes), "vf": []},
            "activation_fn": ACTIVATIONS[self.activation],
            "features_extractor_class": extractor_class,
        }
        if self.kind == "integral":
            default_levels = DEFAULT_SCALE_LEVELS if self.nested else 0
            arguments.update(
                grid_size=self.grid_size,
                kernel=self.kernel,
                quadrature=self.quadrature,
                nested=self.nested,
                scale_levels=default_levels if self.scale_levels is None else self.scale_levels,
            )
        policy_class = integral_class if self.kind == "integral" else plain_class
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return policy_class(observation_space, action_space, **arguments)

    def _classes(self, space: spaces.Space[Any]) -> tuple[type[ActorCriticPolicy], type[Any], type[Any]]:
        """Return the classes of a plain and of an integral student, and of their extractor."""
        if isinstance(space, spaces.Dict):
            extractor = StandardizeCombinedExtractor if self.standardize else CombinedExtractor
            return MultiInputActorCriticPolicy, IntegralMultiInputActorCriticPolicy, extractor
        if is_image_space(space):
            return ActorCriticCnnPolicy, IntegralActorCriticCnnPolicy, NatureCNN
        # One-hot vectors are not standardised: values that are seldom taken would become large.
        standardized = self.standardize and isinstance(space, spaces.Box)
        array_extractor = StandardizeExtractor if standardized else FlattenExtractor
        return ActorCriticPolicy, IntegralActorCriticPolicy, array_extractor


def _no_learning_rate(progress_remaining: float) -> float:
    return 0.0
