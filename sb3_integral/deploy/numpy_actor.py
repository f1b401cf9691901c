"""The deterministic actor of a policy, with nothing around it: one observation in, one action out."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

Array: TypeAlias = np.ndarray[Any, Any]
Actor: TypeAlias = Callable[[Array], Array]
"""From raw observations (one, or a batch of them) to deterministic actions."""


def _relu(x: Array) -> Array:
    return np.maximum(x, 0.0, out=x)


def _tanh(x: Array) -> Array:
    return np.tanh(x, out=x)


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _silu(x: Array) -> Array:
    return x * _sigmoid(x)


IN_NUMPY: dict[type[nn.Module], Callable[[Array], Array]] = {
    nn.ReLU: _relu,
    nn.Tanh: _tanh,
    nn.Sigmoid: _sigmoid,
    nn.SiLU: _silu,
}
"""Activations that :class:`NumpyActor` computes as torch does, beside ``Hardtanh``; they may change
their argument."""


def _in_numpy(module: nn.Module) -> Callable[[Array], Array] | None:
    if isinstance(module, nn.Hardtanh):  # what SAC with use_sde puts behind its mean
        low, high = module.min_val, module.max_val
        return lambda x: np.minimum(np.maximum(x, low, out=x), high, out=x)
    return IN_NUMPY.get(type(module))


class _Layer(NamedTuple):
    weight: Array  # (in, out)
    bias: Array | None
    activation: Callable[[Array], Array] | None


class NumpyActor:
    """A dense actor as NumPy arrays in single precision: half of the time that torch takes for one.

    Weights are copied, transposed and contiguous; the policy is not needed any more. Actions are those
    of ``policy.predict(observation, deterministic=True)``, up to rounding.

    Args:
        policy: An ordinary policy, such as ``policy.discretize(30)``: dense layers behind a
            ``FlattenExtractor``, activations of :data:`IN_NUMPY`.

    Raises:
        ValueError: If the policy is of another kind; :func:`quickest_actor` takes it.
    """

    def __init__(self, policy: BasePolicy) -> None:
        space = policy.observation_space
        if not isinstance(space, spaces.Box) or is_image_space(space):
            raise ValueError(f"expected observations in a Box and no images, got {space}")
        self._shape = space.shape
        self._layers: list[_Layer] = []
        for module in _dense_layers(policy):
            if isinstance(module, nn.Linear):
                weight = module.weight.detach().cpu().numpy().T.copy()
                bias = None if module.bias is None else module.bias.detach().cpu().numpy().copy()
                self._layers.append(_Layer(weight, bias, None))
                continue
            activation = _in_numpy(module)
            if activation is None or not self._layers:
                raise ValueError(f"expected dense layers and known activations, got {module!r}")
            last = self._layers.pop()
            self._layers.append(last._replace(activation=_chained(last.activation, activation)))
        self._finish = _finish(policy)

    def __call__(self, observation: Array) -> Array:
        """Return the action. Shapes: (*observation) or (batch, *observation), and likewise."""
        x = np.asarray(observation, dtype=np.float32)
        if len(self._shape) != 1:
            x = x.reshape(*x.shape[: x.ndim - len(self._shape)], -1)
        for weight, bias, activation in self._layers:
            x = np.dot(x, weight)
            if bias is not None:
                x += bias
            if activation is not None:
                x = activation(x)
        return self._finish(x)


def _chained(
    first: Callable[[Array], Array] | None, second: Callable[[Array], Array]
) -> Callable[[Array], Array]:
    return second if first is None else lambda x: second(first(x))


def quickest_actor(policy: BasePolicy) -> Actor:
    """Return the quickest deterministic actor there is for a policy.

    Args:
        policy: An ordinary policy without memory, such as ``policy.discretize(30)``.

    Returns:
        A :class:`NumpyActor`, or SB3's own ``predict`` where the policy is no dense one.

    Raises:
        ValueError: If the policy is recurrent: its action depends on more than the observation.
    """
    if hasattr(policy, "lstm_actor"):
        raise ValueError(f"{type(policy).__name__} is recurrent, expected a policy without memory")
    try:
        return NumpyActor(policy)
    except ValueError:
        return lambda observation: policy.predict(observation, deterministic=True)[0]


def _dense_layers(policy: BasePolicy) -> list[nn.Module]:
    """Return what stands between observation and action, in order.

    Raises:
        ValueError: If the observation is not simply flattened, or the policy's kind is unknown.
    """
    owner: Any
    if hasattr(policy, "mlp_extractor"):
        owner = policy
        parts = [owner.mlp_extractor.policy_net, owner.action_net]
        extractor = owner.pi_features_extractor
    elif hasattr(policy, "actor"):
        owner = policy.actor
        latent = [owner.latent_pi] if hasattr(owner, "latent_pi") else []
        parts = [*latent, owner.mu, *([nn.Tanh()] if latent else [])]
        extractor = owner.features_extractor
    elif hasattr(policy, "q_net"):
        owner = policy.q_net
        parts, extractor = [owner.q_net], owner.features_extractor
    else:
        raise ValueError(f"{type(policy).__name__} is no policy whose dense layers are known here")
    if type(extractor) is not FlattenExtractor:
        raise ValueError(f"expected a FlattenExtractor, got a {type(extractor).__name__}")
    flat = [module for part in parts for module in part.modules() if not any(module.children())]
    # An nn.Sequential without layers has no children either.
    return [module for module in flat if not isinstance(module, nn.Sequential)]


def _finish(policy: BasePolicy) -> Callable[[Array], Array]:
    """Return what makes an action of the last layer's output, as SB3's ``predict`` does."""
    space = policy.action_space
    if isinstance(space, spaces.Box):
        low, high, shape = space.low.ravel(), space.high.ravel(), space.shape
        if hasattr(policy, "mlp_extractor") and policy.squash_output:
            half = 0.5 * (high - low)
            return lambda x: _shaped(low + half * (1.0 + np.tanh(x)), shape)
        if policy.squash_output:
            half = 0.5 * (high - low)
            return lambda x: _shaped(low + half * (1.0 + x), shape)
        return lambda x: _shaped(np.minimum(np.maximum(x, low, out=x), high, out=x), shape)
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        if start:
            raise ValueError(f"SB3's policies count actions from 0, got {space}")
        return lambda x: np.asarray(x.argmax(axis=-1))
    if isinstance(space, spaces.MultiDiscrete):
        cuts = np.cumsum(space.nvec)[:-1]
        return lambda x: np.stack([part.argmax(axis=-1) for part in np.split(x, cuts, axis=-1)], axis=-1)
    if isinstance(space, spaces.MultiBinary):
        return lambda x: (x > 0).astype(np.float32)
    raise ValueError(f"no deterministic action is known for {space}")


def _shaped(x: Array, shape: tuple[int, ...]) -> Array:
    return x if len(shape) == 1 else x.reshape(*x.shape[:-1], *shape)


def example_observation(space: spaces.Space[Any]) -> Any:
    """Return one observation of a space, always the same, for measuring."""
    drawn_from = copy.deepcopy(space)
    drawn_from.seed(0)
    return drawn_from.sample()
