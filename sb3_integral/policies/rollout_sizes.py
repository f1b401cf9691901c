"""Online training at many sizes: another size of the actor for each rollout."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from sb3_integral.nn import Size
from sb3_integral.policies.integral import IntegralPolicy
from sb3_integral.policies.random_sizes import SizeDistribution


class RandomSizeCallback(BaseCallback):
    """Draws the actor's size before each rollout, and keeps it for the training on that rollout.

    On-policy ratios are right therefore: actions are drawn, and their probabilities compared, by the
    same network. When ``learn()`` ends the policy has its own size again. What is saved or evaluated
    by other callbacks meanwhile has the size of the rollout.

    Args:
        sizes: A distribution, or a list whose entries are equally likely: each an integer, or one
            integer per axis.
        seed: Of the generator that draws.
        verbose: As for SB3's callbacks.

    Raises:
        ValueError: When training starts, if the policy is not integral, or if a size is wrong for it.
    """

    def __init__(
        self, sizes: SizeDistribution | Sequence[Size], seed: int | None = None, verbose: int = 0
    ) -> None:
        super().__init__(verbose)
        self.sizes = sizes
        self.seed = seed
        if not isinstance(sizes, SizeDistribution) and not len(sizes):
            raise ValueError("expected at least one size to draw from, got none")

    def _on_training_start(self) -> None:
        policy = self.model.policy
        if not isinstance(policy, IntegralPolicy):
            raise ValueError(f"random sizes need an integral policy, got {type(policy).__name__}")
        self._rng = np.random.default_rng(self.seed)
        self._before = ExitStack()
        kept: AbstractContextManager[None] = policy.actor_axes.resized(policy.sizes)
        if not isinstance(self.sizes, SizeDistribution):
            for size in self.sizes:
                with policy.actor_axes.resized(size):
                    pass
        self._before.enter_context(kept)

    def _draw(self) -> Size:
        if isinstance(self.sizes, SizeDistribution):
            return self.sizes.draw(self._rng)
        return self.sizes[int(self._rng.integers(len(self.sizes)))]

    def _on_rollout_start(self) -> None:
        policy = self.model.policy
        assert isinstance(policy, IntegralPolicy)
        policy.resize(self._draw())
        for index, size in enumerate(policy.sizes):
            self.logger.record(f"train/actor_size_{index}", size)

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self._before.close()
