"""Original observations and rewards of an environment that normalises them for its expert."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn
from stable_baselines3.common.vec_env.stacked_observations import StackedObservations

from sb3_integral.policies.vec_wrappers import OBSERVERS, vec_wrappers, wrapper_maker


class OriginalEnv(VecEnvWrapper):
    """Steps an environment, and returns observations and rewards as they were before normalisation.

    Without a ``VecNormalize`` among the wrappers of ``venv`` everything passes through. It is stepped
    inside :meth:`frozen`.

    Args:
        venv: The environment in which the expert was trained.
        normalized: Whether to return observations as the expert sees them all the same. Rewards are
            the original ones in any case.
        frames: How many of the last observations are returned as one, as ``VecFrameStack`` does it.

    Attributes:
        seen: The newest observations as ``venv`` returned them, which the expert expects.

    Raises:
        ValueError: If it does not follow from the wrappers what the original observations are.
    """

    def __init__(self, venv: VecEnv, normalized: bool = False, frames: int = 1) -> None:
        for kind in (gym.wrappers.NormalizeObservation, gym.wrappers.NormalizeReward):
            if any(venv.env_is_wrapped(kind)):
                raise ValueError(
                    f"the environment is wrapped in Gymnasium's {kind.__name__}, which changes with "
                    f"every step, expected original numbers, or VecNormalize, of which the original "
                    f"ones are known"
                )
        wrappers = vec_wrappers(venv)
        self._normalizers = [each for each in wrappers if isinstance(each, VecNormalize)]
        self._original: VecEnv | None = None
        if self._normalizers:
            innermost = self._normalizers[0]
            self._recorder = _Recorder(innermost.venv)
            if not normalized and any(each.norm_obs for each in self._normalizers):
                self._original = _wrapped(
                    _Replayed(self._recorder), wrappers[wrappers.index(innermost) :]
                )
        space: Any = (self._original or venv).observation_space
        self._stack: Any = StackedObservations(venv.num_envs, frames, space) if frames > 1 else None
        super().__init__(venv, space if self._stack is None else self._stack.stacked_observation_space)
        self.seen: Any = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Keep every ``VecNormalize`` as it is while the block rolls out episodes."""
        with ExitStack() as stack:
            for normalizer in self._normalizers:
                stack.callback(vars(normalizer).update, dict(vars(normalizer)))
                stack.callback(vars(normalizer).clear)
                normalizer.training = False
            if self._normalizers:
                self._normalizers[0].venv = self._recorder
            yield

    def reset(self) -> VecEnvObs:
        """Reset the environment and return original observations."""
        self.seen = self.venv.reset()
        observations = self.seen if self._original is None else self._original.reset()
        if self._stack is not None:
            observations = self._stack.reset(observations)
        return observations

    def step_wait(self) -> VecEnvStepReturn:
        """Return original observations and rewards."""
        self.seen, rewards, dones, infos = self.venv.step_wait()
        observations, last = self.seen, infos
        if self._original is not None:
            observations, rewards, _, last = self._original.step_wait()
        elif self._normalizers:
            rewards = self._recorder.newest[1]
        kept = [_with_last(info, original) for info, original in zip(infos, last, strict=True)]
        if self._stack is not None:
            observations, kept = self._stack.update(observations, dones, [dict(info) for info in kept])
        return observations, rewards, dones, kept


class _Recorder(VecEnvWrapper):
    """Wrapper inside a ``VecNormalize`` that records unnormalised observations and rewards."""

    newest: VecEnvStepReturn

    def reset(self) -> VecEnvObs:
        observations = self.venv.reset()
        self.newest = observations, np.zeros(0), np.zeros(0), []
        return observations

    def step_wait(self) -> VecEnvStepReturn:
        observations, rewards, dones, infos = self.venv.step_wait()
        self.newest = observations, rewards, dones, [dict(info) for info in infos]
        return observations, rewards, dones, infos


class _Replayed(VecEnvWrapper):
    """Returns once more what was recorded."""

    venv: _Recorder

    def reset(self) -> VecEnvObs:
        return self.venv.newest[0]

    def step_wait(self) -> VecEnvStepReturn:
        return self.venv.newest


def _wrapped(venv: VecEnv, wrappers: list[VecEnvWrapper]) -> VecEnv:
    """Put the wrappers around an environment that normalise nothing."""
    for wrapper in wrappers:
        if isinstance(wrapper, (VecNormalize, *OBSERVERS)):
            continue
        make = wrapper_maker(wrapper)
        if make is None:
            raise ValueError(
                f"{type(wrapper).__name__} is wrapped around VecNormalize, so that the original "
                f"observations are unknown; expected it below VecNormalize, or an environment without "
                f"VecNormalize"
            )
        venv = make(venv)
    return venv


def _with_last(info: dict[str, Any], original: dict[str, Any]) -> dict[str, Any]:
    """Return an info with the original last observation of an episode that has ended."""
    last = original.get("terminal_observation")
    if isinstance(last, np.generic | int):
        last = np.asarray(last)  # imitation takes no plain number of a discrete space
    return info if last is None else info | {"terminal_observation": last}
