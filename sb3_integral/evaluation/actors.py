"""What acts while episodes are evaluated: SB3's ``predict``, without its cost where that is possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import CategoricalDistribution, DiagGaussianDistribution
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

Array = np.ndarray[Any, Any]

ROWS = 16
"""Rows of a batch of observations, some of them unused where fewer episodes run.

It is always the same number, and an episode always has the same row: the last bits of a matrix product
depend on its shape, and an episode of MuJoCo depends on the last bits.
"""


class Actor(Protocol):
    """Acts in up to :data:`ROWS` episodes that run side by side, each in a row of its own."""

    def playing(self, seeds: Sequence[int]) -> AbstractContextManager[None]:
        """Return a context in which new episodes are played, in the first rows.

        Args:
            seeds: Of the random choices in each.
        """
        ...

    def observe(self, row: int, observation: Any) -> None:
        """Take the newest observation of an episode."""
        ...

    def act(self, action_masks: Array | None = None) -> Array:
        """Return an action for each row, those without an episode included.

        Args:
            action_masks: Which choices are allowed in each row. Shape: (ROWS, choices).
        """
        ...


def make_actor(policy: BasePolicy, deterministic: bool = True) -> Actor:
    """Return what acts as ``policy.predict`` does.

    A multilayer perceptron of SB3's ``ActorCriticPolicy`` is computed by NumPy, to float tolerance the
    same. Every other policy is asked by ``predict``.

    Args:
        policy: An ordinary policy of SB3 or sb3-contrib.
        deterministic: Whether the most likely action is taken, or one drawn.
    """
    layers = _dense_layers(policy)
    if layers is None:
        return PredictActor(policy, deterministic)
    assert isinstance(policy, ActorCriticPolicy)
    space = policy.action_space
    std = None if isinstance(space, spaces.Discrete) else _array(policy.log_std.exp())
    return MlpActor(layers, policy.observation_space, space, std, deterministic)


class PredictActor:
    """Asks ``policy.predict``, keeping the state of a recurrent policy.

    Args:
        policy: What to ask.
        deterministic: Whether the most likely action is taken, or one drawn.
    """

    def __init__(self, policy: BasePolicy, deterministic: bool = True) -> None:
        self._policy = policy
        self._deterministic = deterministic
        self._observations = _zeros(policy.observation_space)
        self._state: tuple[Array, ...] | None = None
        self._starts = np.ones(ROWS, dtype=bool)

    @contextmanager
    def playing(self, seeds: Sequence[int]) -> Iterator[None]:
        """See :meth:`Actor.playing`."""
        self._state = None
        self._starts = np.ones(ROWS, dtype=bool)
        with torch.random.fork_rng(devices=[], enabled=not self._deterministic):
            if not self._deterministic:
                torch.manual_seed(seeds[0])
            yield

    def observe(self, row: int, observation: Any) -> None:
        """See :meth:`Actor.observe`."""
        if isinstance(self._observations, dict):
            for name, values in self._observations.items():
                values[row] = observation[name]
        else:
            self._observations[row] = observation

    def act(self, action_masks: Array | None = None) -> Array:
        """See :meth:`Actor.act`."""
        masks: dict[str, Any] = {} if action_masks is None else {"action_masks": action_masks}
        actions, self._state = self._policy.predict(
            self._observations, self._state, self._starts, self._deterministic, **masks
        )
        self._starts = np.zeros(ROWS, dtype=bool)
        return actions


class MlpActor:
    """A multilayer perceptron in NumPy.

    Args:
        layers: Weight (inputs, outputs), bias and activation of each layer, first to last.
        observation_space: What it observes.
        action_space: What it does: a discrete space, or a Box to which actions are clipped.
        std: Standard deviation of each continuous action.
        deterministic: Whether the most likely action is taken, or one drawn.
    """

    def __init__(
        self,
        layers: Sequence[tuple[Array, Array, Activation | None]],
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        std: Array | None,
        deterministic: bool = True,
    ) -> None:
        assert observation_space.shape is not None
        self._layers = layers
        self._action_space = action_space
        self._std = std
        self._deterministic = deterministic
        self._observations = np.zeros((ROWS, *observation_space.shape), dtype=np.float32)
        self._outputs = [np.empty((ROWS, len(bias)), dtype=np.float32) for _, bias, _ in layers]
        self._generators: list[np.random.Generator] = []

    def playing(self, seeds: Sequence[int]) -> AbstractContextManager[None]:
        """See :meth:`Actor.playing`."""
        if not self._deterministic:
            # The environment draws from a generator of the seed alone.
            self._generators = [np.random.default_rng([seed, 1]) for seed in seeds]
        return nullcontext()

    def observe(self, row: int, observation: Any) -> None:
        """See :meth:`Actor.observe`."""
        self._observations[row] = observation

    def act(self, action_masks: Array | None = None) -> Array:
        """See :meth:`Actor.act`."""
        values = self._observations.reshape(ROWS, -1)
        for (weight, bias, activation), output in zip(self._layers, self._outputs, strict=True):
            np.matmul(values, weight, out=output)
            output += bias
            if activation is not None:
                activation(output)
            values = output
        if isinstance(self._action_space, spaces.Box):
            return self._continuous(values, self._action_space)
        return self._discrete(values)

    def _continuous(self, means: Array, space: spaces.Box) -> Array:
        if not self._deterministic:
            assert self._std is not None
            for row, generator in enumerate(self._generators):
                means[row] += self._std * generator.standard_normal(len(self._std), dtype=np.float32)
        actions = means.reshape(ROWS, *space.shape)
        clipped: Array = np.minimum(np.maximum(actions, space.low), space.high)
        return clipped

    def _discrete(self, logits: Array) -> Array:
        if not self._deterministic:  # the largest is then at i as often as the distribution says
            for row, generator in enumerate(self._generators):
                logits[row] += generator.gumbel(size=logits.shape[1])
        chosen: Array = logits.argmax(axis=1)
        return chosen


Activation = Callable[[Array], object]
"""Changes an array in place."""


def _relu(values: Array) -> None:
    np.maximum(values, 0.0, out=values)


def _tanh(values: Array) -> None:
    np.tanh(values, out=values)


def _elu(values: Array) -> None:
    np.copyto(values, np.expm1(np.minimum(values, 0.0)), where=values < 0.0)


def _silu(values: Array) -> None:
    values *= 0.5 + 0.5 * np.tanh(0.5 * values)  # which does not overflow


ACTIVATIONS: dict[type[nn.Module], Activation] = {
    nn.ReLU: _relu,
    nn.Tanh: _tanh,
    nn.ELU: _elu,  # SB3 makes it with alpha = 1, as any activation: without arguments
    nn.SiLU: _silu,
}


def _dense_layers(policy: BasePolicy) -> list[tuple[Array, Array, Activation | None]] | None:
    """Return the layers of a policy that is a multilayer perceptron; None if it is something else."""
    space = policy.observation_space
    if not (
        type(policy) is ActorCriticPolicy
        and isinstance(policy.action_dist, CategoricalDistribution | DiagGaussianDistribution)
        and not policy.squash_output
        and isinstance(space, spaces.Box)
        and not is_image_space(space)
        and type(policy.pi_features_extractor) is FlattenExtractor
    ):
        return None
    modules = [*policy.mlp_extractor.policy_net, policy.action_net]
    layers: list[tuple[Array, Array, Activation | None]] = []
    for index, module in enumerate(modules):
        following = modules[index + 1] if index + 1 < len(modules) else None
        if type(module) is nn.Linear and module.bias is not None:
            weight = np.ascontiguousarray(_array(module.weight).T)
            layers.append((weight, _array(module.bias), ACTIVATIONS.get(type(following))))  # type: ignore[arg-type]
        elif type(module) not in ACTIVATIONS or index == 0 or type(modules[index - 1]) is not nn.Linear:
            return None
    return layers


def _array(tensor: torch.Tensor) -> Array:
    return tensor.detach().cpu().numpy().astype(np.float32)


def _zeros(space: spaces.Space[Any]) -> Array | dict[str, Array]:
    if isinstance(space, spaces.Dict):
        return {
            name: np.zeros((ROWS, *(part.shape or ())), part.dtype)
            for name, part in space.spaces.items()
        }
    return np.zeros((ROWS, *(space.shape or ())), space.dtype)
