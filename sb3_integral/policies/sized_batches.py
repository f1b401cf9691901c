"""Buffers whose batches come with the sizes at which their samples are to be computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer
from torch import Tensor

from sb3_integral.nn.mixed import MixedSizes


class SizedRollouts(RolloutBuffer):
    """Mixin for rollout buffers: it records at which size each action was taken.

    Attributes:
        mixed: What is told the sizes of each batch.
        env_sizes: The size of each environment's actor now. Shape: (n_envs,).
        sub_sampling: TRPO takes each so many samples of a rollout only.
    """

    mixed: MixedSizes
    env_sizes: Int[Tensor, " n_envs"]
    sub_sampling: int = 1

    def begin(self, mixed: MixedSizes, sizes: Int[Tensor, " n_envs"]) -> None:
        """Begin a rollout with an actor of some size in each environment."""
        self.mixed = mixed
        self.sizes = np.zeros((self.buffer_size, self.n_envs), dtype=np.int64)
        self._is_cut_off = False
        self._next_sizes: Tensor | None = None
        self._set_sizes(sizes)

    def _set_sizes(self, sizes: Int[Tensor, " n_envs"]) -> None:
        self.env_sizes = sizes
        self.mixed.set(sizes)

    def change_sizes(self, sizes: Int[Tensor, " n_envs"], values: np.ndarray[Any, Any]) -> None:
        """Have the environments go on at other sizes once the current step is added.

        Args:
            sizes: The new sizes.
            values: Added to the step's rewards: the discounted values of what follows for the actors
                of the old sizes. Shape: (n_envs,).
        """
        self._next_sizes, self._values = sizes, values

    def add(
        self,
        obs: np.ndarray[Any, Any] | dict[str, np.ndarray[Any, Any]],
        action: np.ndarray[Any, Any],
        reward: np.ndarray[Any, Any],
        episode_start: np.ndarray[Any, Any],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """See SB3."""
        self.sizes[self.pos] = self.env_sizes
        if self._is_cut_off:
            episode_start = np.ones_like(episode_start)
        self._is_cut_off = self._next_sizes is not None
        if self._next_sizes is not None:
            reward = reward + self._values
            self._set_sizes(self._next_sizes)
            self._next_sizes = None
        super().add(obs, action, reward, episode_start, *args, **kwargs)  # type: ignore[arg-type]

    def get(self, batch_size: int | None = None) -> Iterator[Any]:  # type: ignore[override]
        """See SB3."""
        if not self.generator_ready:
            self.flat_sizes = torch.as_tensor(self.swap_and_flatten(self.sizes)).flatten()
        self._step = self.sub_sampling if batch_size is None else 1
        return super().get(batch_size)

    def _get_samples(self, batch_inds: np.ndarray[Any, Any], env: Any = None) -> Any:
        self.mixed.set(self.flat_sizes[batch_inds[:: self._step]])
        return super()._get_samples(batch_inds, env)


def sized_rollouts(buffer_class: type[RolloutBuffer]) -> type[SizedRollouts]:
    """Return a subclass of a rollout buffer's class that records sizes."""
    return type(buffer_class.__name__, (SizedRollouts, buffer_class), {})


class SizedReplay:
    """A replay buffer that draws a size for each sample that it gives out.

    Args:
        buffer: The buffer; its samples do not depend on the size that they were taken at.
        mixed: What is told the sizes of each batch.
        draw: Draws that many sizes.
    """

    def __init__(self, buffer: ReplayBuffer, mixed: MixedSizes, draw: Callable[[int], Tensor]) -> None:
        self._buffer = buffer
        self._mixed = mixed
        self._draw = draw

    def sample(self, *args: Any, **kwargs: Any) -> Any:
        """See SB3."""
        batch = self._buffer.sample(*args, **kwargs)
        self._mixed.set(self._draw(len(batch.rewards)))
        return batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._buffer, name)
