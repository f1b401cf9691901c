"""Online training at many sizes at once: each environment, and each sample of a batch, has its own."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.utils import obs_as_tensor
from torch import Tensor

from sb3_integral.nn import as_size
from sb3_integral.policies.layout import is_recurrent
from sb3_integral.policies.sized_batches import SizedReplay, sized_rollouts
from sb3_integral.policies.steps_of_learning import StepsOfLearningCallback

GOLDEN_RATIO = (math.sqrt(5.0) - 1.0) / 2.0
SIZES_PER_ROLLOUT = 8
SHORTEST_SEGMENT = 32


class SizeSequence:
    """Sizes as evenly spread as they can be: each next few of them cover the whole range.

    They are log-uniform, so small sizes are more frequent, but for a share of each end: full size is
    what everybody looks at, and nothing smaller teaches the smallest. They follow the golden ratio's
    low-discrepancy sequence, whose state is a number of draws.

    Args:
        smallest: The smallest size.
        largest: Full size.
        end_share: The share of full size, and that of the smallest size.
        n_drawn: How many sizes were drawn before.
    """

    def __init__(self, smallest: int, largest: int, end_share: float, n_drawn: int = 0) -> None:
        self.smallest = smallest
        self.largest = largest
        self.end_share = end_share
        self.n_drawn = n_drawn

    def draw(self, count: int) -> Int[Tensor, " {count}"]:
        """Return the next sizes."""
        numbers = np.arange(self.n_drawn, self.n_drawn + count, dtype=np.float64)
        self.n_drawn += count
        uniform = (numbers * GOLDEN_RATIO) % 1.0
        spread = np.clip((uniform - self.end_share) / (1.0 - 2.0 * self.end_share), 0.0, 1.0)
        low, high = math.log(self.smallest), math.log(self.largest + 1)
        sizes = np.exp(high - spread * (high - low)).astype(np.int64).clip(self.smallest, self.largest)
        sizes[uniform < self.end_share] = self.largest
        sizes[uniform >= 1.0 - self.end_share] = self.smallest
        return torch.as_tensor(sizes)


class AnySizeCallback(StepsOfLearningCallback):
    """Trains an integral policy at many sizes at once, so that it is good at each of them.

    It is the one change that a training needs::

        PPO("IntegralMlpPolicy", env).learn(1_000_000, callback=AnySizeCallback())

    Each environment acts at a size of its own, and each sample of a batch is computed at the size at
    which it was taken (on-policy), or at one that is drawn (off-policy, where any size learns from any
    sample). A batch of mixed sizes is one pass of the full network. Critics are told the size, and a
    Gaussian policy has a standard deviation for each; see ``any_size`` of
    :class:`~sb3_integral.IntegralPolicy`, which the callback turns on. Other callbacks see the policy
    at full size.

    A policy that was not trained yet starts with all sizes alike: the neurons that a larger size has
    beside the smallest one count for nothing at first. A trained one goes on from what it is.

    What was drawn so far is saved with the model, so training goes on after ``load`` as if it had not
    been interrupted.

    Args:
        smallest: The smallest size to train at; by default an eighth of the largest layer.
        end_share: The share of the samples at full size, and that at the smallest one.
        verbose: As for SB3's callbacks.

    Raises:
        ValueError: When training starts, if the policy is not integral, explores with gSDE or has a
            memory, if its partitions can't nest, or if the algorithm (ARS) has no batches; here, if a
            number is out of range.
    """

    steps = ("collect_rollouts", "train", "_sample_action")

    def __init__(self, smallest: int | None = None, end_share: float = 0.125, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.smallest = None if smallest is None else as_size(smallest, "smallest")
        if not 0.0 <= end_share < 0.5:
            raise ValueError(f"end_share must be at least 0 and below 0.5, got {end_share!r}")
        self.end_share = end_share

    def _on_training_start(self) -> None:
        policy, model = self._policy(), self._model()
        self._is_on_policy = hasattr(model, "rollout_buffer")
        if is_recurrent(policy) or not (self._is_on_policy or hasattr(model, "replay_buffer")):
            raise ValueError(
                f"{type(model).__name__} does not train at many sizes at once, expected an algorithm "
                f"with batches of independent samples, such as PPO, TRPO, SAC or DQN"
            )
        largest = max(policy.max_sizes, default=1)
        smallest = max(1, largest // 8) if self.smallest is None else self.smallest
        if smallest > largest:
            raise ValueError(f"smallest must be at most the largest layer, {largest}, got {smallest}")
        policy.make_any_size()
        model.policy_kwargs = {**(model.policy_kwargs or {}), "any_size": True}
        policy.start_alike(smallest)
        n_drawn = getattr(model, "n_sizes_drawn", 0)
        self._sequence = SizeSequence(smallest, largest, self.end_share, n_drawn)
        self._env_sizes: Tensor | None = None
        if self._is_on_policy:
            self._buffer_class: type[RolloutBuffer] = type(model.rollout_buffer)
            model.rollout_buffer.__class__ = sized_rollouts(self._buffer_class)
            model.rollout_buffer.sub_sampling = getattr(model, "sub_sampling_factor", 1)
            self._n_segments = self._segments()
        super()._on_training_start()

    def _model(self) -> Any:
        return self.model

    def _segments(self) -> int:
        """Return how many sizes each environment has in a rollout, so that each update sees several."""
        wanted = math.ceil(SIZES_PER_ROLLOUT / self.training_env.num_envs)
        return max(1, min(wanted, int(self._model().n_steps) // SHORTEST_SEGMENT))

    def _draw(self, count: int) -> Tensor:
        sizes = self._sequence.draw(count)
        self._model().n_sizes_drawn = self._sequence.n_drawn
        return sizes

    @contextmanager
    def _around(self, step: str) -> Iterator[None]:
        model = self._model()
        if step == "_sample_action":
            with self._policy().acting_at(self._env_sizes):
                yield
            return
        with self._policy().mixed() as self._mixed:
            if step == "train" and not self._is_on_policy:
                buffer = model.replay_buffer
                model.replay_buffer = SizedReplay(buffer, self._mixed, self._draw)
                try:
                    yield
                finally:
                    model.replay_buffer = buffer
            else:
                if step == "train":
                    model.rollout_buffer.mixed = self._mixed
                yield

    def _on_rollout_start(self) -> None:
        n_envs = self.training_env.num_envs
        if self._is_on_policy:
            self._n_steps = 0
            self._model().rollout_buffer.begin(self._mixed, self._draw(n_envs))
        elif self._env_sizes is None:
            self._env_sizes = self._draw(n_envs)

    def _on_step(self) -> bool:
        dones = self.locals["dones"]
        if self._is_on_policy:
            self._n_steps += 1
            n_steps = self._model().n_steps
            length = n_steps // self._n_segments
            if self._n_steps % length == 0 and self._n_steps + length <= n_steps:
                self._end_segment(dones)
            self._await_terminal_values(dones)
        elif dones.any():
            assert self._env_sizes is not None
            self._env_sizes[dones] = self._draw(int(dones.sum()))
        return True

    def _await_terminal_values(self, dones: np.ndarray[Any, Any]) -> None:
        """Note the sizes of the single observations whose values SB3 asks for next.

        Where episodes were cut off it adds the value of their last observation to the reward.
        """
        self._model().policy.single_sizes = deque(
            int(size)
            for size, is_done, info in zip(
                self._model().rollout_buffer.env_sizes, dones, self.locals["infos"], strict=True
            )
            if is_done
            and info.get("terminal_observation") is not None
            and info.get("TimeLimit.truncated", False)
        )

    def _end_segment(self, dones: np.ndarray[Any, Any]) -> None:
        """Have environments go on at other sizes after this step.

        To the actor of the old size this is where the episode is cut off.
        """
        model = self._model()
        observations = obs_as_tensor(self.locals["new_obs"], model.device)
        with torch.no_grad():
            values = model.policy.predict_values(observations).flatten().cpu().numpy()
        cut_off = np.where(dones, 0.0, model.gamma * values)
        model.rollout_buffer.change_sizes(self._draw(len(dones)), cut_off)

    def _on_training_end(self) -> None:
        super()._on_training_end()
        if self._is_on_policy:
            self._model().policy.single_sizes.clear()  # where training was stopped within a step
            self._model().rollout_buffer.__class__ = self._buffer_class
