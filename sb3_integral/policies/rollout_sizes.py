"""Online training at many sizes: another size of the actor for each rollout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from sb3_integral.nn import Size
from sb3_integral.policies.integral import IntegralPolicy
from sb3_integral.policies.kinds import integral_policy
from sb3_integral.policies.random_sizes import SizeDistribution

STEPS_OF_LEARNING = ("collect_rollouts", "train", "_do_one_update")
"""Methods that do all the work of ``learn()``: those of most algorithms, and that of ARS."""

ORIGINAL = "_class_without_random_sizes"


class RandomSizeCallback(BaseCallback):
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
        self.model.__class__ = self._sized_algorithm(type(self.model))

    def _policy(self) -> IntegralPolicy:
        return integral_policy(self.model.policy, "random sizes")

    def _sized_algorithm(self, algorithm: type[BaseAlgorithm]) -> type[BaseAlgorithm]:
        """Return an algorithm's class whose steps of learning leave the policy's size as it was.

        SB3 tells a callback when learning ends, but not when it is interrupted.
        """
        steps = {
            name: self._sized_step(name, getattr(algorithm, name))
            for name in STEPS_OF_LEARNING
            if hasattr(algorithm, name)
        }
        namespace = {"__module__": algorithm.__module__, ORIGINAL: algorithm, **steps}
        return type(algorithm.__name__, (algorithm,), namespace)

    def _sized_step(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def step(model: BaseAlgorithm, *args: Any, **kwargs: Any) -> Any:
            try:
                policy = self._policy()
                with policy.resized(policy.sizes), ExitStack() as self._step:
                    if name != "train":
                        self._drawn = None
                    elif self._drawn is not None:
                        self._step.enter_context(policy.resized(self._drawn))
                    return method(model, *args, **kwargs)
            except BaseException:
                self._on_training_end()
                raise

        return step

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

    def _on_training_end(self) -> None:
        while ORIGINAL in vars(type(self.model)):
            self.model.__class__ = getattr(type(self.model), ORIGINAL)
