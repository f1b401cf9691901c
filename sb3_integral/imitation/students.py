"""Students: policies that are built to clone an expert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import (
    BaseFeaturesExtractor,
    CombinedExtractor,
    FlattenExtractor,
)
from torch import nn

from sb3_integral.imitation.observations import check_student_spaces
from sb3_integral.policies import (
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

STUDENT_CLASSES: dict[tuple[bool, bool], type[ActorCriticPolicy]] = {
    (False, False): ActorCriticPolicy,
    (False, True): MultiInputActorCriticPolicy,
    (True, False): IntegralActorCriticPolicy,
    (True, True): IntegralMultiInputActorCriticPolicy,
}
"""The class of a student, by whether it is integral and whether it observes dictionaries."""

DEFAULT_SCALE_LEVELS = 9
"""Down to 1/√2⁹ = 4.4 % of full size: the paper's smallest students have 5 of 100 neurons."""


@dataclass(frozen=True)
class StudentArchitecture:
    """What a student is made of.

    Args:
        kind: ``integral`` or ``plain``.
        hidden_sizes: Full size of each hidden layer; the paper has (100, 100).
        activation: A key of :data:`ACTIVATIONS`; SB3's own default is tanh, the paper has ReLU.
        standardize: Whether observations are standardised by the demonstrations' statistics.
        grid_size: λ nodes per hidden layer of an integral student; ``hidden_sizes`` if None.
        kernel: Kernel of an integral student, by name.
        quadrature: Quadrature of an integral student, by name.
        nested: Whether the partitions of an integral student nest; the paper's do not.
        scale_levels: If they do: how far down λ has corrections that depend on the scale, in steps of
            1/√2; nine by default. With none, the student is what the literature calls slimmable. One
            number, or one for each layer, the output's last.

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
        is_dict = isinstance(observation_space, spaces.Dict)
        is_integral = self.kind == "integral"
        arguments: dict[str, Any] = {
            "lr_schedule": _no_learning_rate,
            "net_arch": {"pi": list(self.hidden_sizes), "vf": []},
            "activation_fn": ACTIVATIONS[self.activation],
            "features_extractor_class": self._extractor_class(observation_space),
        }
        if is_integral:
            arguments.update(
                grid_size=self.grid_size,
                kernel=self.kernel,
                quadrature=self.quadrature,
                nested=self.nested,
                scale_levels=self._scale_levels(),
            )
        policy_class = STUDENT_CLASSES[is_integral, is_dict]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return policy_class(observation_space, action_space, **arguments)

    def _extractor_class(self, space: spaces.Space[Any]) -> type[BaseFeaturesExtractor]:
        # One-hot vectors are not standardised: values that are seldom taken would become large.
        if isinstance(space, spaces.Dict):
            return StandardizeCombinedExtractor if self.standardize else CombinedExtractor
        is_standardized = self.standardize and isinstance(space, spaces.Box)
        return StandardizeExtractor if is_standardized else FlattenExtractor

    def _scale_levels(self) -> int | Sequence[int]:
        if self.scale_levels is not None:
            return self.scale_levels
        return DEFAULT_SCALE_LEVELS if self.nested else 0


def _no_learning_rate(progress_remaining: float) -> float:
    return 0.0
