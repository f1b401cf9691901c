"""Students: policies that are built to clone an expert, and their files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from gymnasium import spaces
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from stable_baselines3.common.policies import ActorCriticPolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import (
    BaseFeaturesExtractor,
    CombinedExtractor,
    FlattenExtractor,
)
from torch import nn

from sb3_integral._version import __version__
from sb3_integral.atomic import atomic_file
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


def save_student(policy: ActorCriticPolicy, architecture: StudentArchitecture, path: Path) -> None:
    """Write a student as safetensors, its architecture in the header; atomically.

    Args:
        policy: What ``architecture.build`` made, trained.
        architecture: What it is made of.
        path: The file.
    """
    header = {
        "architecture": json.dumps(asdict(architecture)),
        "spaces": json.dumps(_space_texts(policy.observation_space, policy.action_space)),
        "sb3_integral": __version__,
    }
    tensors = {name: t.detach().cpu().contiguous() for name, t in _state(policy).items()}
    with atomic_file(path) as partial:
        save_file(tensors, partial, metadata=header)


def load_student(
    path: Path, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
) -> ActorCriticPolicy:
    """Read a student; nothing in the file is executed.

    Args:
        path: A file of :func:`save_student`.
        observation_space: That of the environment it was trained for.
        action_space: Likewise.

    Raises:
        ValueError: If the file is not a whole student, or was made for other spaces.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            # Before partitions could nest, none did, and nothing was said of it.
            architecture = {"nested": False, **json.loads(header["architecture"])}
            made_for = json.loads(header["spaces"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        policy = StudentArchitecture(**architecture).build(observation_space, action_space, seed=0)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a whole student's file: {error!r}") from error
    spaces_here = _space_texts(observation_space, action_space)
    if made_for != spaces_here:
        raise ValueError(
            f"the student in {path} was not made for {observation_space} and {action_space}, "
            f"but for {' and '.join(map(str, made_for))}"
        )
    wanted = _state(policy)
    if {name: t.shape for name, t in tensors.items()} != {n: t.shape for n, t in wanted.items()}:
        raise ValueError(
            f"{path} is not a whole student's file: it has {sorted(tensors)}, expected {sorted(wanted)}"
        )
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise ValueError(f"{path} has weights that are NaN or infinite, expected finite numbers")
    policy.load_state_dict(policy.state_dict() | tensors)
    policy.set_training_mode(False)
    return policy


def _state(policy: ActorCriticPolicy) -> dict[str, torch.Tensor]:
    # SB3 registers a shared features extractor under three names; safetensors wants each once.
    return {
        name: tensor
        for name, tensor in policy.state_dict().items()
        if not name.startswith(("pi_features_extractor.", "vf_features_extractor."))
    }


def _space_texts(*all_spaces: spaces.Space[Any]) -> list[str]:
    return [repr(space) for space in all_spaces]


def _no_learning_rate(progress_remaining: float) -> float:
    return 0.0
