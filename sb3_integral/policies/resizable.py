"""Resizing for policies that are not integral, by a named method."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import preprocess_obs
from torch import Tensor

from sb3_integral.nn import Size, as_sizes
from sb3_integral.policies.kinds import Resizable, is_of_sb3, is_resizable
from sb3_integral.policies.layout import NetworkLayout, dense, find_gsde, find_layout, policy_of
from sb3_integral.policies.plain import actor_parameter_count, build_plain_policy
from sb3_integral.resize import (
    CountsParameters,
    DataResizeMethod,
    DenseLayer,
    ResizeMethod,
    resize_method,
)


class _Resized(NamedTuple):
    # One value that a resize replaces as a whole: no thread sees the sizes of another policy.
    sizes: tuple[int, ...]
    policy: BasePolicy


class ResizablePolicy:
    """A plain SB3 policy that can be resized with no retraining, by a named method.

    The policy itself is never changed: each size is made anew from its full-size weights.

    ``svd`` keeps all neurons: its policies have the full shapes, with weights of a lower rank, and
    :meth:`compression` counts the factors of which those are products.

    Args:
        policy: Any plain policy of SB3 or sb3-contrib.
        method: A method of :data:`~sb3_integral.resize.RESIZE_METHODS` by name, or one's own.
        observations: What a method looks at that is a
            :class:`~sb3_integral.resize.DataResizeMethod`, such as ``prune-activations``, which needs
            them, and ``prune-l2``, which is better with them; as the environment gives them.
            Shape: (samples, *observation).

    Attributes:
        full_policy: The policy that was passed.

    Raises:
        ValueError: If the method is unknown or lacks observations, the policy is integral (it resizes
            itself), or it explores with gSDE or normalises its hidden layers.
    """

    def __init__(
        self,
        policy: BasePolicy,
        method: ResizeMethod | str = "bicubic",
        observations: np.ndarray[Any, Any] | dict[str, np.ndarray[Any, Any]] | None = None,
    ) -> None:
        if not is_of_sb3(policy):
            raise ValueError(f"expected a policy of SB3 (model.policy), got {type(policy).__name__}")
        if is_resizable(policy):
            raise ValueError(f"{type(policy).__name__} resizes itself, expected a plain policy")
        if find_gsde(policy) is not None:
            raise ValueError("a policy with use_sde=True cannot be resized")
        net = find_layout(policy).actors[0]
        if net.norms:
            raise ValueError("an actor that normalises its hidden layers cannot be resized")
        self.method = _fitted(resize_method(method), policy, observations)
        self.full_policy = policy
        self.observation_space: spaces.Space[Any] = policy.observation_space
        self.action_space: spaces.Space[Any] = policy.action_space
        self.max_sizes: tuple[int, ...] = tuple(dense(policy, name).out_features for name in net.hidden)
        self._current = self._resized(self.max_sizes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The current hidden sizes."""
        return self._current.sizes

    @property
    def policy(self) -> BasePolicy:
        """An ordinary policy of the current size."""
        return self._current.policy

    def _resized(self, sizes: tuple[int, ...]) -> _Resized:
        state = self.discrete_state(sizes)
        return _Resized(sizes, build_plain_policy(self.full_policy, type(self.full_policy), state))

    def resize(self, size: Size) -> ResizablePolicy:
        """Change the actor's size, with no retraining, and return this wrapper.

        Args:
            size: One integer for all hidden layers, or one per hidden layer.

        Raises:
            ValueError: If a size is not a positive integer or their number is wrong.
        """
        self._current = self._resized(as_sizes(size, len(self.max_sizes)))
        return self

    @contextmanager
    def resized(self, size: Size) -> Iterator[ResizablePolicy]:
        """Have another size inside a ``with`` block, and the size from before after it.

        Args:
            size: As for :meth:`resize`.

        Raises:
            ValueError: If a size is not a positive integer or their number is wrong.
        """
        before = self._current
        self.resize(size)
        try:
            yield self
        finally:
            self._current = before

    def compression(self, size: Size | None = None) -> float:
        """Return the percentage of the actor's parameters that is gone, as the paper counts it."""
        sizes = self.sizes if size is None else as_sizes(size, len(self.max_sizes))
        kept, full = (self._parameter_count(s) for s in (sizes, self.max_sizes))
        return 100.0 * (1.0 - kept / full)

    def discretize(self, size: Size | None = None) -> BasePolicy:
        """Return an ordinary SB3 policy of a size (the current one by default)."""
        sizes = self.sizes if size is None else as_sizes(size, len(self.max_sizes))
        return self._resized(sizes).policy

    def _parameter_count(self, sizes: tuple[int, ...]) -> int:
        layers = _layers(self.full_policy, find_layout(self.full_policy).actors[0])
        others = actor_parameter_count(self.full_policy, self.full_policy.state_dict()) - sum(
            tensor.numel() for layer in layers for tensor in layer if tensor is not None
        )
        if isinstance(self.method, CountsParameters):
            return others + self.method.parameter_count(layers, sizes)
        outs = (*sizes, len(layers[-1].weight))
        ins = (layers[0].weight.shape[1], *sizes)
        return others + sum(
            n_out * (n_in + (layer.bias is not None))
            for n_in, n_out, layer in zip(ins, outs, layers, strict=True)
        )

    @torch.no_grad()
    def discrete_state(self, size: Size | None = None) -> dict[str, Tensor]:
        """Return the state dict of the policy of a size, its standardisation not folded."""
        policy = self.full_policy
        sizes = self.sizes if size is None else as_sizes(size, len(self.max_sizes))
        state = dict(policy.state_dict())
        for net in find_layout(policy).actors:
            *resized, last = self.method(_layers(policy, net), sizes)
            rows = [dense(policy, name).out_features for name in net.heads]
            weights = last.weight.split(rows)
            biases = [None] * len(rows) if last.bias is None else last.bias.split(rows)
            split = [DenseLayer(*pair) for pair in zip(weights, biases, strict=True)]
            for name, layer in zip((*net.hidden, *net.heads), (*resized, *split), strict=True):
                state[f"{name}.weight"] = layer.weight
                if layer.bias is not None:
                    state[f"{name}.bias"] = layer.bias
        return state

    def predict(
        self,
        observation: np.ndarray[Any, Any] | dict[str, np.ndarray[Any, Any]],
        state: tuple[np.ndarray[Any, Any], ...] | None = None,
        episode_start: np.ndarray[Any, Any] | None = None,
        deterministic: bool = False,
        **kwargs: Any,
    ) -> tuple[np.ndarray[Any, Any], tuple[np.ndarray[Any, Any], ...] | None]:
        """Return the actions of the policy at the current size.

        Args:
            observation: As for SB3's ``predict``, like what follows.
            state: Hidden states of a recurrent policy.
            episode_start: Where episodes start.
            deterministic: Whether the most likely action is taken, or one drawn.
            **kwargs: What the policy takes beside, such as MaskablePPO's ``action_masks``.
        """
        return self.policy.predict(observation, state, episode_start, deterministic, **kwargs)


def as_resizable(
    source: BaseAlgorithm | BasePolicy | Resizable,
    method: ResizeMethod | str | None = None,
    observations: np.ndarray[Any, Any] | dict[str, np.ndarray[Any, Any]] | None = None,
) -> Resizable:
    """Return a policy that can be resized.

    Args:
        source: An integral policy, a :class:`ResizablePolicy`, a plain policy, or a model with one.
        method: How a plain policy is resized; without a method, plain policies are refused. A policy
            that is resizable itself ignores it.
        observations: As for :class:`ResizablePolicy`.

    Raises:
        ValueError: If the source is no policy and no model, if it is plain and there is no method, or
            if it cannot be resized by the method.
    """
    policy = policy_of(source)
    if is_resizable(policy):
        return policy
    if method is None or not is_of_sb3(policy):
        raise ValueError(
            f"{type(policy).__name__} cannot be resized, expected an integral policy or "
            f"ResizablePolicy(model.policy)"
        )
    return ResizablePolicy(policy, method, observations)


def _fitted(
    method: ResizeMethod,
    policy: BasePolicy,
    observations: np.ndarray[Any, Any] | dict[str, np.ndarray[Any, Any]] | None,
) -> ResizeMethod:
    """Fit a data-dependent resize method to the inputs of the policy's first layer."""
    if observations is None or not isinstance(method, DataResizeMethod):
        return method
    net = find_layout(policy).actors[0]
    activation_fn = getattr(policy, "activation_fn", None)
    if net.reads == "memory" or activation_fn is None:
        raise ValueError(
            f"what the layers of {type(policy).__name__} read does not follow from observations alone, "
            f"expected a method that needs none"
        )
    batch, _ = policy.obs_to_tensor(observations)
    seen = preprocess_obs(batch, policy.observation_space, normalize_images=policy.normalize_images)
    with torch.no_grad():
        return method.fit(policy.get_submodule(net.extractor)(seen), activation_fn())


def _layers(policy: BasePolicy, net: NetworkLayout) -> list[DenseLayer]:
    """Return a network's dense layers, its heads as one."""
    hidden = [_parameters(policy, name) for name in net.hidden]
    return [*hidden, _stacked([_parameters(policy, name) for name in net.heads])]


def _parameters(policy: BasePolicy, name: str) -> DenseLayer:
    layer = dense(policy, name)
    return DenseLayer(layer.weight.detach(), None if layer.bias is None else layer.bias.detach())


def _stacked(heads: list[DenseLayer]) -> DenseLayer:
    """Put layers that read the same into one, the rows of each behind those of the one before."""
    biases = [head.bias for head in heads if head.bias is not None]
    return DenseLayer(torch.cat([head.weight for head in heads]), torch.cat(biases) if biases else None)
