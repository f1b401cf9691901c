"""Online training at many sizes: another size of the actor for each rollout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np

from sb3_integral.nn import Size
from sb3_integral.policies.random_sizes import SizeDistribution
from sb3_integral.policies.steps_of_learning import StepsOfLearningCallback


class RandomSizeCallback(StepsOfLearningCallback):
    """Draws the actor's size before each rollout, and keeps it for the training on that rollout.

    On-policy ratios are right therefore: actions are drawn, and their probabilities compared, by the
    same network. The policy has its own size again when ``learn()`` ends, also when it is interrupted.
    What is saved or evaluated by other callbacks meanwhile has the size of the rollout.

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
        policy = self._policy()
        if not isinstance(self.sizes, SizeDistribution):
            for size in self.sizes:
                with policy.resized(size):
                    pass
        self._rng = np.random.default_rng(self.seed)
        self._drawn: Size | None = None
        super()._on_training_start()

    @contextmanager
    def _around(self, step: str) -> Iterator[None]:
        policy = self._policy()
        with policy.resized(policy.sizes), ExitStack() as self._step:
            if step != "train":
                self._drawn = None
            elif self._drawn is not None:
                self._step.enter_context(policy.resized(self._drawn))
            yield

    def _draw(self) -> Size:
        if isinstance(self.sizes, SizeDistribution):
            return self.sizes.draw(self._rng)
        return self.sizes[int(self._rng.integers(len(self.sizes)))]

    def _on_rollout_start(self) -> None:
        self._drawn = self._draw()
        policy = self._step.enter_context(self._policy().resized(self._drawn))
        for index, size in enumerate(policy.sizes):
            self.logger.record(f"train/actor_size_{index}", size)

    def _on_step(self) -> bool:
        return True
