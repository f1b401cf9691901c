"""The actor as a torch module, and as a file of torch.export."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Float, Shaped
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from sb3_integral.actor.description import KEY, Notes, describe
from sb3_integral.actor.extract import Source, actor_spec
from sb3_integral.actor.heads import NEVER
from sb3_integral.actor.memory import Memory, State
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
    """

    def __init__(self, spec: ActorSpec) -> None:
        super().__init__()
        if spec.memory is not None and not isinstance(self, RecurrentActor):
            raise ValueError("the policy is recurrent, expected a policy without memory")
        self.spec = spec
        # A name of a dictionary's part can be none of a buffer.
        self.normalizers = nn.ModuleList(
            Normalize(measured, spec.observation_dtype(name))
            for name, measured in spec.statistics.items()
        )
        self.extractor = spec.extractor
        self.layers = spec.layers
        for name, values in spec.head.bounds.items():
            self.register_buffer(name, torch.from_numpy(values))
        self.eval()

    def forward(
        self, observation: Any, action_masks: Bool[Tensor, "batch choices"] | None = None
    ) -> Shaped[Tensor, " batch *action"]:
        """Act."""
        return self.action(self.features(observation), action_masks)

    def features(self, observation: Any) -> Float[Tensor, "batch features"]:
        """Return what the extractor makes of raw observations."""
        for name, normalize in zip(self.spec.statistics, self.normalizers, strict=True):
            if name is None:
                observation = normalize(observation)
            else:
                observation = {**observation, name: normalize(observation[name])}
        space = self.spec.observation_space
        seen = preprocess_obs(observation, space, normalize_images=self.spec.normalize_images)
        features: Tensor = self.extractor(seen)
        return features

    def action(
        self,
        features: Float[Tensor, "batch features"],
        action_masks: Bool[Tensor, "batch choices"] | None = None,
    ) -> Shaped[Tensor, " batch *action"]:
        """Return the actions that follow from what the first layer reads."""
        output = self.layers(features)
        if action_masks is not None:
            output = output.masked_fill(~action_masks, NEVER)
        return self.spec.head.torch(output, dict(self.named_buffers(recurse=False)))

    def act(self, observation: Any) -> np.ndarray[Any, Any]:
        """Return the action for one observation, all choices allowed."""

        def tensor(values: Any, name: str | None = None) -> Tensor:
            return torch.from_numpy(np.asarray(values, self.spec.observation_dtype(name))[None])

        if isinstance(self.spec.observation_space, spaces.Dict):
            seen: Any = {name: tensor(values, name) for name, values in observation.items()}
        else:
            seen = tensor(observation)
        with torch.no_grad():
            return self._act(seen).numpy()[0]  # type: ignore[no-any-return]

    def _act(self, seen: Any) -> Tensor:
        action: Tensor = self(seen)
        return action


class RecurrentActor(TorchActor):
    """What a recurrent policy's ``predict(deterministic=True)`` computes, with its state.

    The state is two tensors, as SB3 has it.
    """

    memory: Memory

    def __init__(self, spec: ActorSpec) -> None:
        super().__init__(spec)
        assert spec.memory is not None
        self.memory = spec.memory

    def forward(  # type: ignore[override]
        self, observation: Any, hidden: State, cell: State, episode_start: Bool[Tensor, " batch"]
    ) -> tuple[Shaped[Tensor, " batch *action"], State, State]:
        """Act, and return the next state."""
        shown, hidden, cell = self.memory(self.features(observation), hidden, cell, episode_start)
        return self.action(shown), hidden, cell

    def start(self, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the state at the start of episodes, and that they start."""
        state = torch.zeros(self.memory.layers, batch, self.memory.hidden_size)
        return state, state.clone(), torch.ones(batch, dtype=torch.bool)

    def _act(self, seen: Any) -> Tensor:
        """Act twice on the same, so that the state has been read."""
        _, hidden, cell = self(seen, *self.start(1))
        action: Tensor = self(seen, hidden, cell, torch.zeros(1, dtype=torch.bool))[0]
        return action


def torch_actor(spec: ActorSpec) -> TorchActor:
    """Return the module of an actor, recurrent or not."""
    return TorchActor(spec) if spec.memory is None else RecurrentActor(spec)


class Normalize(nn.Module):
    """VecNormalize's normalisation of one array, computed in a type; the result is single precision."""

    mean: Tensor
    rest: Tensor
    std: Tensor

    def __init__(self, statistics: Statistics, dtype: type[np.generic]) -> None:
        super().__init__()
        for name, values in zip(("mean", "rest", "std"), statistics.parts(dtype), strict=True):
            self.register_buffer(name, torch.from_numpy(values))
        self.has_rest = bool(self.rest.any())
        self.limit = statistics.limit

    def forward(self, observation: Shaped[Tensor, " batch *shape"]) -> Float[Tensor, " batch *shape"]:
        """Normalise."""
        centred = observation.to(self.mean.dtype) - self.mean
        normalized = (centred - self.rest if self.has_rest else centred) / self.std
        if self.limit is not None:
            normalized = normalized.clamp(-self.limit, self.limit)
        return normalized.float()


def exported_program(actor: TorchActor) -> ExportedProgram:
    """Export an actor for batches of every size, without notes on the machine that does it.

    It takes action masks as a second argument where the policy does, and the state and episodes' starts
    where it is recurrent.
    """
    space, batch = actor.spec.observation_space, {0: Dim("batch", min=1)}
    shapes: Any = [dict.fromkeys(space, batch) if isinstance(space, spaces.Dict) else batch]
    arguments = [_example(actor.spec)]
    if actor.spec.maskable:
        arguments.append(torch.ones(2, actor.spec.maskable, dtype=torch.bool))
        shapes.append(batch)
    if isinstance(actor, RecurrentActor):
        arguments += actor.start(2)
        shapes += [{1: batch[0]}, {1: batch[0]}, batch]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`isinstance\\(treespec", FutureWarning)  # torch's own
        program = torch.export.export(actor, tuple(arguments), dynamic_shapes=tuple(shapes))
    for node in program.graph.nodes:
        for name in MACHINE_NOTES:
            node.meta.pop(name, None)
    return program


def export_torch(
    source: Source,
    path: Path | str,
    size: Size | None = None,
    normalize: VecNormalize | None = None,
    notes: Notes | None = None,
) -> ExportedProgram:
    """Write the deterministic actor as a ``.pt2`` file, atomically.

    ``torch.export.load(path).module()`` then takes raw observations and gives actions; where the policy
    takes action masks, they are the second argument; a recurrent one takes and gives its state as
    :class:`RecurrentActor` does. The file has its
    :class:`~sb3_integral.actor.Description` among its extra files, with the notes. The other arguments
    are as for :func:`~sb3_integral.actor.actor_spec`.

    Raises:
        ValueError: As for :func:`~sb3_integral.actor.actor_spec`, or if the file has another ending.
    """
    path = Path(path)
    if path.suffix != ".pt2":
        raise ValueError(f"torch reads programs from files that end in .pt2, got {path}")
    check_file_target(path)
    actor = torch_actor(actor_spec(source, size, normalize))
    described = describe(actor.spec, notes, actor.act)
    program = exported_program(actor)
    content = io.BytesIO()  # torch puts the name of a file that it writes itself into the file
    torch.export.save(program, content, extra_files={KEY: described.to_json()})
    with atomic_file(path) as partial:
        partial.write_bytes(content.getbuffer())
    return program


def _example(spec: ActorSpec) -> Any:
    """Return a batch of zeros, in the types that an actor takes."""

    def zeros(space: spaces.Space[Any], name: str | None = None) -> Tensor:
        return torch.from_numpy(np.zeros((2, *(space.shape or ())), spec.observation_dtype(name)))

    space = spec.observation_space
    if isinstance(space, spaces.Dict):
        return {name: zeros(inner, name) for name, inner in space.items()}
    return zeros(space)
