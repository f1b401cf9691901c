"""Callbacks that change an integral policy for the length of each step of learning."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from sb3_integral.policies.integral import IntegralPolicy
from sb3_integral.policies.kinds import integral_policy

STEPS_OF_LEARNING = ("collect_rollouts", "train", "_do_one_update")
"""Methods that do all the work of ``learn()``: those of most algorithms, and that of ARS."""

ORIGINAL = "_class_before_callback"


class StepsOfLearningCallback(BaseCallback):
    """Has an algorithm's steps of learning run inside a context, also when they are interrupted.

    SB3 tells a callback when learning ends, but not when it is interrupted.
    """

    steps: tuple[str, ...] = STEPS_OF_LEARNING

    def _on_training_start(self) -> None:
        self.model.__class__ = self._class_with_contexts(type(self.model))

    @abstractmethod
    def _around(self, step: str) -> AbstractContextManager[Any]:
        """Return the context of a step of learning."""

    def _policy(self) -> IntegralPolicy:
        return integral_policy(self.model.policy, "random sizes")

    def _class_with_contexts(self, algorithm: type[BaseAlgorithm]) -> type[BaseAlgorithm]:
        steps = {
            name: self._in_context(name, getattr(algorithm, name))
            for name in self.steps
            if hasattr(algorithm, name)
        }
        namespace = {"__module__": algorithm.__module__, ORIGINAL: algorithm, **steps}
        return type(algorithm.__name__, (algorithm,), namespace)

    def _in_context(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def step(model: BaseAlgorithm, *args: Any, **kwargs: Any) -> Any:
            try:
                with self._around(name):
                    return method(model, *args, **kwargs)
            except BaseException:
                self._on_training_end()
                raise

        return step

    def _on_training_end(self) -> None:
        while ORIGINAL in vars(type(self.model)):
            self.model.__class__ = getattr(type(self.model), ORIGINAL)
