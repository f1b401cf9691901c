"""The actor in NumPy: half of the time that torch takes for a single observation."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from stable_baselines3.common.policies import BasePolicy

from sb3_integral.actor.activations import Elementwise, numpy_activation
from sb3_integral.actor.extract import actor_spec, ordinary_policy
from sb3_integral.actor.flattening import flattened
from sb3_integral.actor.heads import masked
from sb3_integral.actor.quantized import Weights, check_weights, rounded_weights
from sb3_integral.actor.spec import ActorSpec
from sb3_integral.policies.layout import is_recurrent

Array = np.ndarray[Any, Any]


class Actor(Protocol):
    """From raw observations, one or a batch of them, to deterministic actions."""

    def __call__(self, observation: Any, action_masks: Array | None = None) -> Array:
        """Act, with masks as for sb3-contrib's MaskablePPO. Shape: (*observation) or (batch, ...)."""
        ...


class NumpyActor:
    """An actor of dense layers as NumPy arrays in single precision.

    Weights are copies; neither the policy nor torch is needed any more. Actions are those of
    ``predict(observation, deterministic=True)``, up to rounding.

    Args:
        spec: The actor, such as ``actor_spec(policy, 30)``.
        weights: Other than float32, it computes what a C header with such weights does.

    Raises:
        ValueError: If it is anything else than a perceptron of known activations;
            :func:`quickest_actor` takes every policy.
    """

    def __init__(self, spec: ActorSpec, weights: Weights = "float32") -> None:
        check_weights(weights)
        if spec.memory is not None:
            raise ValueError("the policy is recurrent, expected a policy without memory")
        perceptron = spec.perceptron(folded=weights == "float32")
        self._head = spec.head
        self._space = spec.observation_space
        self._statistics = perceptron.statistics
        self._layers = [
            _Layer(_sums(weight, weights), bias, tuple(map(numpy_activation, activations)))
            for weight, bias, activations in perceptron.layers
        ]

    def __call__(self, observation: Any, action_masks: Array | None = None) -> Array:
        """See :class:`Actor`."""
        return self.act(self.outputs(observation), action_masks)

    def outputs(self, observation: Any) -> Array:
        """Return what the last layer gives. Shape: (outputs) or (batch, outputs), float32."""
        if self._statistics is not None:
            observation = self._statistics.apply(np.asarray(observation))
        x = flattened(self._space, observation)
        for sums, bias, activations in self._layers:
            x = sums(x)
            x += bias
            for activation in activations:
                x = activation(x)
        return x

    def act(self, outputs: Array, action_masks: Array | None = None) -> Array:
        """Return the actions that follow from what the last layer gives, which may be overwritten."""
        return self._head.numpy(outputs if action_masks is None else masked(outputs, action_masks))


def _sums(weight: Array, weights: Weights) -> Elementwise:
    """Return a function from a layer's inputs to its outputs without the bias, in new memory."""
    if weights != "float32":
        return rounded_weights(weight, weights).sums
    return partial(np.dot, b=np.ascontiguousarray(weight.T))


class _Layer(NamedTuple):
    sums: Elementwise
    bias: Array
    activations: tuple[Elementwise, ...]


def quickest_actor(policy: BasePolicy) -> Actor:
    """Return the quickest deterministic actor there is for a policy, such as ``policy.discretize(30)``.

    It is a :class:`NumpyActor`, or SB3's own ``predict`` where the policy is no perceptron.

    Raises:
        ValueError: If the policy is recurrent: its action depends on more than the observation.
    """
    if is_recurrent(policy):
        raise ValueError(f"{type(policy).__name__} is recurrent, expected a policy without memory")
    try:
        return NumpyActor(actor_spec(policy))
    except ValueError:
        ordinary: Any = ordinary_policy(policy)

    def predict(observation: Any, action_masks: Array | None = None) -> Array:
        masks = {} if action_masks is None else {"action_masks": action_masks}
        actions: Array = ordinary.predict(observation, deterministic=True, **masks)[0]
        return actions

    return predict
