"""One table of heads: how the last layer's output becomes an action, in NumPy, torch and C.

The rule for NaN is that of ``predict``: a continuous action or a bit of a NaN output is NaN, and the
first NaN counts as the largest of several choices. Bits in C are integers, and 0 then.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from operator import methodcaller
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float, Shaped
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    DiagGaussianDistribution,
    MultiCategoricalDistribution,
)
from torch import Tensor

Array = np.ndarray[Any, Any]
Outputs = Float[np.ndarray, "*batch outputs"]
Actions = Shaped[np.ndarray, "*batch_and_action"]

NEVER = -1e8
"""The logit of a masked choice, as in sb3-contrib."""


class Head(ABC):
    """Makes actions of the last layer's output, as ``predict(deterministic=True)`` does.

    Attributes:
        shape: The shape of an action.
        c_type: The type of an action's entries in C.
        described: What it does, for people.
    """

    shape: tuple[int, ...]
    c_type: ClassVar[Literal["float", "int"]]
    described: ClassVar[str]

    @property
    def bounds(self) -> Mapping[str, Array]:
        """The lowest and highest actions where there are such, as ``low`` and ``high``."""
        return {}

    @abstractmethod
    def numpy(self, output: Outputs) -> Actions:
        """Return actions. The output may be overwritten."""

    @abstractmethod
    def torch(
        self, output: Float[Tensor, "batch outputs"], bounds: Mapping[str, Tensor]
    ) -> Shaped[Tensor, " batch *action"]:
        """Return actions; the bounds are the head's."""

    @abstractmethod
    def c(self, name: str, output: str, width: int) -> Iterator[str]:
        """Yield C statements that write ``action``, or return the only choice.

        The names of the header begin with a name; the last layer gives an output of such a width.
        """


@dataclass(frozen=True)
class Clip(Head):
    """Clip the output to the bounds of the action space, which have the type and shape of an action."""

    shape: tuple[int, ...]
    low: Array
    high: Array
    c_type: ClassVar[Literal["float", "int"]] = "float"
    c_action: ClassVar[str] = "x < low ? low : x > high ? high : x"
    described: ClassVar[str] = "actions are clipped to their bounds"

    @property
    def bounds(self) -> Mapping[str, Array]:
        """See :class:`Head`."""
        return {"low": self.low, "high": self.high}

    def numpy(self, output: Outputs) -> Actions:
        """See :class:`Head`."""
        clipped: Array = np.minimum(np.maximum(_shaped(output, self.shape), self.low), self.high)
        return clipped

    def torch(
        self, output: Float[Tensor, "batch outputs"], bounds: Mapping[str, Tensor]
    ) -> Shaped[Tensor, " batch *action"]:
        """See :class:`Head`."""
        low, high = bounds["low"], bounds["high"]
        return output.to(low).reshape(-1, *self.shape).clamp(low, high)

    def c(self, name: str, output: str, width: int) -> Iterator[str]:
        """See :class:`Head`. The bounds are rounded into the action space."""
        yield f"    for (j = 0; j < {width}; ++j) {{\n        const float x = {output}[j];"
        yield f"        const float low = {name}_low[j], high = {name}_high[j];"
        yield f"        action[j] = {self.c_action};\n    }}"


class Unscale(Clip):
    """Bring a squashed output from [-1, 1] to the action space."""

    c_action = "low + 0.5f * (x + 1.0f) * (high - low)"
    described = "actions are brought from [-1, 1] to their bounds"

    def numpy(self, output: Outputs) -> Actions:
        """See :class:`Head`."""
        unscaled: Array = self.low + 0.5 * (_shaped(output, self.shape) + 1.0) * (self.high - self.low)
        return unscaled

    def torch(
        self, output: Float[Tensor, "batch outputs"], bounds: Mapping[str, Tensor]
    ) -> Shaped[Tensor, " batch *action"]:
        """See :class:`Head`."""
        low, high = bounds["low"], bounds["high"]
        return low + 0.5 * (output.to(low).reshape(-1, *self.shape) + 1.0) * (high - low)


@dataclass(frozen=True)
class Argmax(Head):
    """Take the largest of one action's choices, or of each of several actions' choices.

    Two logits for each bit, as MaskablePPO has them, are several actions of two choices. The logits of
    an action's choices follow each other.
    """

    choices: tuple[int, ...]
    shape: tuple[int, ...]
    c_type: ClassVar[Literal["float", "int"]] = "int"
    described: ClassVar[str] = "the largest output is the choice"

    def numpy(self, output: Outputs) -> Actions:
        """See :class:`Head`."""
        if not self.shape:
            return np.asarray(output.argmax(axis=-1))
        parts = np.split(output, np.cumsum(self.choices)[:-1], axis=-1)
        return _shaped(np.stack([part.argmax(axis=-1) for part in parts], axis=-1), self.shape)

    def torch(
        self, output: Float[Tensor, "batch outputs"], bounds: Mapping[str, Tensor]
    ) -> Shaped[Tensor, " batch *action"]:
        """See :class:`Head`."""
        # onnxruntime's argmax passes over NaN, torch's does not.
        output = output.masked_fill(output.isnan(), math.inf)
        best = [part.argmax(dim=1) for part in output.split(self.choices, dim=1)]
        return torch.stack(best, dim=1).reshape(-1, *self.shape)

    def c(self, name: str, output: str, width: int) -> Iterator[str]:
        """See :class:`Head`."""
        start = 0
        for index, choices in enumerate(self.choices):
            yield f"    i = {start};\n    for (j = {start + 1}; j < {start + choices}; ++j)"
            # True where j is larger, and where j is the first NaN.
            yield f"        if (!({output}[j] <= {output}[i]) && {output}[i] == {output}[i])"
            yield "            i = j;"
            yield f"    action[{index}] = i - {start};" if self.shape else "    return i;"
            start += choices


@dataclass(frozen=True)
class Threshold(Head):
    """Set each bit whose logit is positive."""

    shape: tuple[int, ...]
    c_type: ClassVar[Literal["float", "int"]] = "int"
    described: ClassVar[str] = "the bits of positive outputs are set"

    def numpy(self, output: Outputs) -> Actions:
        """See :class:`Head`."""
        return _shaped(np.heaviside(output, np.float32(0.0)), self.shape)

    def torch(
        self, output: Float[Tensor, "batch outputs"], bounds: Mapping[str, Tensor]
    ) -> Shaped[Tensor, " batch *action"]:
        """See :class:`Head`."""
        bits = torch.where(output.isnan(), output, (output > 0).to(output.dtype))
        return bits.reshape(-1, *self.shape)

    def c(self, name: str, output: str, width: int) -> Iterator[str]:
        """See :class:`Head`."""
        yield "    (void)i;"
        yield f"    for (j = 0; j < {width}; ++j)\n        action[j] = {output}[j] > 0.0f;"


def masked(output: Array, action_masks: Array) -> Array:
    """Lower the logits of forbidden choices; the masks have their shape, or that of one row."""
    allowed = np.asarray(action_masks, bool).reshape(-1, output.shape[-1])
    return np.where(allowed if output.ndim > 1 else allowed[0], output, np.float32(NEVER))


def make_head(space: spaces.Space[Any], outputs: int | None, is_squashed: bool) -> Head:
    """Return the head of a policy for an action space, and for the number of outputs if it is known.

    Outputs that are squashed are in [-1, 1], and the action space's bounds are meant.

    Raises:
        ValueError: If SB3 has no policies for such actions.
    """
    for kind, make in HEADS.items():
        if isinstance(space, kind):
            return make(space, outputs, is_squashed)
    raise ValueError(f"expected Box, Discrete, MultiDiscrete or MultiBinary actions, got {space}")


def _box(space: Any, outputs: int | None, is_squashed: bool) -> Head:
    dtype = np.result_type(np.float32, space.dtype)
    low, high = (bound.astype(dtype) for bound in (space.low, space.high))
    return (Unscale if is_squashed else Clip)(space.shape, low, high)


def _bits(space: Any, outputs: int | None, is_squashed: bool) -> Head:
    count = math.prod(space.shape)
    return Argmax((2,) * count, space.shape) if outputs == 2 * count else Threshold(space.shape)


HEADS: dict[type[spaces.Space[Any]], Callable[[Any, int | None, bool], Head]] = {
    spaces.Box: _box,
    spaces.Discrete: lambda space, *_: Argmax((int(space.n),), ()),
    spaces.MultiDiscrete: lambda space, *_: Argmax(tuple(map(int, space.nvec.ravel())), space.shape),
    spaces.MultiBinary: _bits,
}
"""The head of a policy, by the class of its action space."""


Noise = Callable[[np.random.Generator], Array]
"""Draws what is added to the last layer's output, so that its action is one of the distribution's."""


def _gaussian(std: Array, generator: np.random.Generator) -> Array:
    return std * generator.standard_normal(len(std), dtype=np.float32)


def _gumbel(policy: Any, outputs: int) -> Noise:
    """Make a logit the largest as often as the softmax says."""
    return methodcaller("gumbel", size=outputs)


NOISE: dict[type[Any], Callable[[Any, int], Noise]] = {
    DiagGaussianDistribution: lambda policy, outputs: partial(
        _gaussian, policy.log_std.detach().exp().cpu().numpy().astype(np.float32)
    ),
    CategoricalDistribution: _gumbel,
    MultiCategoricalDistribution: _gumbel,
    # Makes a logit positive as often as the sigmoid says.
    BernoulliDistribution: lambda policy, outputs: methodcaller("logistic", size=outputs),
}
"""Makes the noise of a policy, by the class of its distribution."""


def _shaped(flat: Array, shape: tuple[int, ...]) -> Array:
    return flat if len(shape) == 1 else flat.reshape((*flat.shape[:-1], *shape))
