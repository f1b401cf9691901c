"""The actor as a torch module, and as a file of torch.export."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from sb3_integral.actor.extract import Source, actor_spec
from sb3_integral.actor.normalization import Statistics
from sb3_integral.actor.spec import ActorSpec
from sb3_integral.atomic import atomic_file, check_file_target
from sb3_integral.nn import Size

MACHINE_NOTES = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")
"""Notes of torch on a graph's nodes: which lines of which files of this machine made them."""


class TorchActor(nn.Module):
    """What ``predict(deterministic=True)`` computes, without the rest of the policy.

    An observation is a tensor of shape (batch, ...), or a dictionary of them; images come with their
    channels first. They are of the types that the actor's ``observation_dtype`` gives.

    Args:
        spec: The actor.
    """

    def __init__(self, spec: ActorSpec) -> None:
        super().__init__()
        self.spec = spec
        self.preprocess = Preprocess(spec)
        self.extractor = spec.extractor
        self.layers = spec.layers
        for name, values in spec.head.bounds.items():
            self.register_buffer(name, torch.from_numpy(values))
        self.eval()

    def forward(self, observation: Tensor | dict[str, Tensor]) -> Tensor:
        """Act. Shape: (batch, ...) to (batch, *action)."""
        output = self.layers(self.extractor(self.preprocess(observation)))
        return self.spec.head.torch(output, dict(self.named_buffers(recurse=False)))


class Preprocess(nn.Module):
    """SB3's preprocessing, behind VecNormalize's where there is one.

    Args:
        spec: The actor.
    """

    def __init__(self, spec: ActorSpec) -> None:
        super().__init__()
        self.space = spec.observation_space
        self.normalize_images = spec.normalize_images
        # A name of a dictionary's part can be none of a buffer.
        self.normalizers = nn.ModuleList(
            Normalize(own, spec.observation_dtype(name)) for name, own in spec.statistics.items()
        )
        self.names = tuple(spec.statistics)

    def forward(self, observation: Any) -> Any:
        """Preprocess. Shape: (batch, ...) to (batch, ...)."""
        for name, normalize in zip(self.names, self.normalizers, strict=True):
            if name is None:
                observation = normalize(observation)
            else:
                observation = {**observation, name: normalize(observation[name])}
        return preprocess_obs(observation, self.space, normalize_images=self.normalize_images)


class Normalize(nn.Module):
    """VecNormalize's normalisation of one array.

    Args:
        statistics: Its statistics.
        dtype: The type in which it is computed; the result is in single precision.
    """

    mean: Tensor
    rest: Tensor
    std: Tensor

    def __init__(self, statistics: Statistics, dtype: type[np.generic]) -> None:
        super().__init__()
        for name, values in zip(("mean", "rest", "std"), statistics.parts(dtype), strict=True):
            self.register_buffer(name, torch.from_numpy(values))
        self.has_rest = bool(self.rest.any())
        self.limit = statistics.limit

    def forward(self, observation: Tensor) -> Tensor:
        """Normalise. Shape: (batch, ...) to (batch, ...)."""
        centred = observation.to(self.mean.dtype) - self.mean
        normalized = (centred - self.rest if self.has_rest else centred) / self.std
        if self.limit is not None:
            normalized = normalized.clamp(-self.limit, self.limit)
        return normalized.float()


def deterministic_actor(
    source: Source, size: Size | None = None, normalize: VecNormalize | None = None
) -> TorchActor:
    """Return the deterministic actor of a policy as one module, on the CPU and in evaluation mode.

    Args:
        source: As for :func:`~sb3_integral.actor.actor_spec`.
        size: Likewise.
        normalize: Likewise. Unlike in plain SB3, clipping is kept.

    Raises:
        ValueError: As for :func:`~sb3_integral.actor.actor_spec`.
    """
    return TorchActor(actor_spec(source, size, normalize))


def exported_program(actor: TorchActor) -> ExportedProgram:
    """Export an actor for batches of every size, without notes on the machine that does it."""
    space = actor.spec.observation_space
    batch = {0: Dim("batch", min=1)}
    shapes: Any = dict.fromkeys(space, batch) if isinstance(space, spaces.Dict) else batch
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`isinstance\\(treespec", FutureWarning)  # torch's own
        program = torch.export.export(actor, (_example(actor.spec),), dynamic_shapes=(shapes,))
    for node in program.graph.nodes:
        for name in MACHINE_NOTES:
            node.meta.pop(name, None)
    return program


def export_torch(
    source: Source, path: Path | str, size: Size | None = None, normalize: VecNormalize | None = None
) -> ExportedProgram:
    """Write the deterministic actor as a ``.pt2`` file, atomically.

    ``torch.export.load(path).module()`` then takes observations and gives actions.

    Args:
        source: A model, a policy, or a ResizablePolicy.
        path: The file; torch wants it to end in ``.pt2``.
        size: One integer for all hidden layers, or one for each; the current size by default.
        normalize: Statistics that the policy was trained with; the result acts on raw observations.

    Raises:
        ValueError: As for :func:`~sb3_integral.actor.actor_spec`, or if the file has another ending.
    """
    path = Path(path)
    if path.suffix != ".pt2":
        raise ValueError(f"torch reads programs from files that end in .pt2, got {path}")
    check_file_target(path)
    program = exported_program(deterministic_actor(source, size, normalize))
    content = io.BytesIO()  # torch puts the name of a file that it writes itself into the file
    torch.export.save(program, content)
    with atomic_file(path) as partial:
        partial.write_bytes(content.getbuffer())
    return program


def _example(spec: ActorSpec) -> Tensor | dict[str, Tensor]:
    """Return a batch of zeros, in the types that an actor takes."""

    def zeros(space: spaces.Space[Any], name: str | None = None) -> Tensor:
        return torch.from_numpy(np.zeros((2, *(space.shape or ())), spec.observation_dtype(name)))

    space = spec.observation_space
    if isinstance(space, spaces.Dict):
        return {name: zeros(inner, name) for name, inner in space.items()}
    return zeros(space)
