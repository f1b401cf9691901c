"""What the file of an actor says of itself: made in one place, the same in every format."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from torch import nn

from sb3_integral._version import __version__
from sb3_integral.actor.examples import example_observation
from sb3_integral.actor.quantized import Weights
from sb3_integral.actor.spec import ActorSpec
from sb3_integral.policies.standardize import StandardizeExtractor

KEY = "sb3_integral"
"""Under this name ONNX and torch.export files have their description, as JSON."""


@dataclass(frozen=True)
class Notes:
    """What a policy does not know of itself, for the file that it becomes.

    Args:
        env_id: The environment.
        observation_names: A name for each number that is observed, a dictionary's parts in their order.
        action_names: A name for each number of an action, or for each choice of a single one.
        meta: Anything else, by its name.
    """

    env_id: str | None = None
    observation_names: Sequence[str] = ()
    action_names: Sequence[str] = ()
    meta: Mapping[str, str] = field(default_factory=dict)

    def named(
        self, observations: spaces.Space[Any], actions: spaces.Space[Any]
    ) -> tuple[tuple[Numbers, ...], tuple[Numbers, ...]]:
        """Return the numbers of two spaces with their names.

        Raises:
            ValueError: If there are not as many names as numbers.
        """
        choices = _choices_or_numbers(actions, self.action_names)
        return (
            _named(_numbers("observation", observations), self.observation_names, "observation"),
            _named(choices, self.action_names, "action"),
        )


@dataclass(frozen=True)
class Numbers:
    """One number of an array, or several beside each other that have the same bounds and no names.

    Attributes:
        place: The array and the indices, such as ``observation[0..3]``; in C's order.
        name: What people call it.
        low: Its lower bound.
        high: Its upper bound.
    """

    place: str
    name: str | None
    low: float
    high: float

    def __str__(self) -> str:
        shown = f"{self.place}: {self.low:.9g} to {self.high:.9g}"
        return shown if self.name is None else f"{shown}, {self.name}"


@dataclass(frozen=True)
class Description:
    """What the file of an actor says of itself.

    Attributes:
        library: What wrote it.
        sha256: Of the weights; see :func:`weights_sha256`.
        weights: How the weights are kept.
        sizes: How many features the first dense layer reads, and how many outputs each layer has.
        environment: The environment's id, where it is known.
        observations: The bounds and names of what is observed.
        actions: Those of actions; of a single choice, its choices.
        folded: What is inside the file that was around the policy.
        example_observation: An observation, in C's order; by the names of a dictionary's parts.
        example_action: The file's action on it.
        meta: What users add.
    """

    library: str
    sha256: str
    weights: Weights
    sizes: tuple[int, ...]
    environment: str | None
    observations: tuple[Numbers, ...]
    actions: tuple[Numbers, ...]
    folded: tuple[str, ...]
    example_observation: Any
    example_action: Any
    meta: Mapping[str, str]

    def to_json(self) -> str:
        """Return it as JSON in ASCII; arrays are nested lists, and infinite bounds are text."""
        return json.dumps(_plain(asdict(self)), allow_nan=False)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield each point with its heading, for people; the example apart, which formats show."""
        yield "written by", self.library
        yield "weights", f"{self.weights}, SHA-256 {self.sha256}"
        yield "sizes", " - ".join(map(str, self.sizes))
        if self.environment is not None:
            yield "environment", self.environment
        for heading in ("observations", "actions", "folded"):
            for entry in getattr(self, heading):
                yield heading, str(entry)
        yield from self.meta.items()


def describe(
    spec: ActorSpec,
    notes: Notes | None,
    act: Callable[[Any], Any],
    weights: Weights = "float32",
) -> Description:
    """Describe the file of an actor.

    Args:
        spec: The actor.
        notes: What it does not know of itself.
        act: What the file does with one raw observation.
        weights: How the file keeps the weights.

    Raises:
        ValueError: If there are not as many names as numbers.
    """
    notes = notes or Notes()
    example = example_observation(spec.observation_space, spec.statistics)
    linears = [layer for layer in spec.layers if isinstance(layer, nn.Linear)]
    sizes = [layer.in_features for layer in linears[:1]] + [layer.out_features for layer in linears]
    return Description(
        f"sb3-integral {__version__}",
        weights_sha256(spec),
        weights,
        tuple(sizes),
        notes.env_id,
        *notes.named(spec.observation_space, spec.action_space),
        tuple(_folded(spec)),
        example,
        np.asarray(act(example)),
        {str(key): str(value) for key, value in notes.meta.items()},
    )


def weights_sha256(spec: ActorSpec) -> str:
    """Return the SHA-256 of an actor's parameters and statistics, one behind the other.

    They are the extractor's and the layers' in the order of their ``state_dict``, then mean and standard
    deviation of each normalised array; in C's order, little-endian, of their own types.
    """
    found = hashlib.sha256()
    arrays = [
        tensor.detach().cpu().numpy()
        for part in (spec.extractor, spec.memory or nn.Identity(), spec.layers)
        for tensor in part.state_dict().values()
    ]
    arrays += [
        values for statistics in spec.statistics.values() for values in (statistics.mean, statistics.std)
    ]
    for array in arrays:
        found.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return found.hexdigest()


Number = tuple[str, int, float, float]
"""The name of an array, an index, and bounds."""


def _numbers(array: str, space: Any) -> Iterator[Number]:
    if isinstance(space, spaces.Dict):
        for name, inner in space.items():
            yield from _numbers(f"{array} {name}", inner)
        return
    if isinstance(space, spaces.Box):
        low, high = space.low, space.high
    elif isinstance(space, spaces.MultiBinary):
        low, high = np.zeros(space.shape), np.ones(space.shape)
    else:
        low = np.asarray(space.start)
        high = low + (space.n if isinstance(space, spaces.Discrete) else space.nvec) - 1
    for index, (lowest, highest) in enumerate(zip(low.ravel(), high.ravel(), strict=True)):
        yield array, index, float(lowest), float(highest)


def _choices_or_numbers(space: Any, names: Sequence[str]) -> Iterator[Number]:
    """Yield the choices of a single action that has names for them, else an action's numbers."""
    if not (isinstance(space, spaces.Discrete) and names):
        yield from _numbers("action", space)
        return
    for index in range(int(space.n)):
        yield "choice", index, float(space.start + index), float(space.start + index)


def _named(numbers: Iterator[Number], names: Sequence[str], what: str) -> tuple[Numbers, ...]:
    known = list(numbers)
    if names and len(names) != len(known):
        raise ValueError(f"expected {len(known)} {what} names, got {len(names)}: {', '.join(names)}")
    if names:
        return tuple(
            Numbers(f"{array}[{index}]", str(name), low, high)
            for (array, index, low, high), name in zip(known, names, strict=True)
        )
    found = []
    for (array, low, high), group in groupby(known, lambda entry: (entry[0], entry[2], entry[3])):
        indices = [entry[1] for entry in group]
        last = f"..{indices[-1]}" if len(indices) > 1 else ""
        found.append(Numbers(f"{array}[{indices[0]}{last}]", None, low, high))
    return tuple(found)


def _folded(spec: ActorSpec) -> Iterator[str]:
    for name, measured in spec.statistics.items():
        clipped = "" if measured.limit is None else f", clipped to {measured.limit:.9g}"
        array = "observations" if name is None else f"observations {name}"
        yield f"{array} are normalised by their mean and standard deviation{clipped}"
    if isinstance(spec.extractor, StandardizeExtractor):
        yield "observations are standardised"
    space = spec.observation_space
    parts = space.values() if isinstance(space, spaces.Dict) else [space]
    if spec.normalize_images and any(is_image_space(part) for part in parts):
        yield "images are divided by 255"
    if spec.memory is not None:
        yield "the policy is recurrent; the example's action is that of its second step from the start"
    yield spec.head.described


def _plain(value: Any) -> Any:
    """Return a value as what JSON can hold."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
