"""Original observations and rewards of an environment that normalises them for its expert."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import (
    VecCheckNan,
    VecEnv,
    VecEnvWrapper,
    VecExtractDictObs,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
    VecVideoRecorder,
)
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn
from stable_baselines3.common.vec_env.stacked_observations import StackedObservations

Infos = list[dict[str, Any]]
Replay = Callable[[Any, np.ndarray | None, Infos], tuple[Any, Infos]]
"""Applies a wrapper to original observations: (observations, dones or None at a reset, infos)."""

STATE = ("training", "returns", "old_obs", "old_reward", "venv")
"""What rollouts change in a ``VecNormalize``, and what is put back after them."""


class OriginalEnv(VecEnvWrapper):
    """Steps an environment, and returns observations and rewards as they were before normalisation.

    Without a ``VecNormalize`` among the wrappers of ``venv`` everything passes through.

    Args:
        venv: The environment in which the expert was trained.
        normalized: Whether to return observations as the expert sees them all the same. Rewards are
            the original ones in any case.

    Attributes:
        seen: The newest observations as ``venv`` returned them, which the expert expects.

    Raises:
        ValueError: If it does not follow from the wrappers what the original observations are.
    """

    def __init__(self, venv: VecEnv, normalized: bool = False) -> None:
        _refuse_gymnasium_normalization(venv)
        wrappers = list(_wrappers(venv))
        self._normalizers = [layer for layer in wrappers if isinstance(layer, VecNormalize)]
        self._replays: list[Replay] | None = None
        self._terminal = _TerminalObservations(self._normalizers[-1].venv) if self._normalizers else None
        space = venv.observation_space
        if not normalized and any(normalizer.norm_obs for normalizer in self._normalizers):
            innermost = wrappers.index(self._normalizers[-1])
            space, self._replays = self._normalizers[-1].venv.observation_space, []
            for wrapper in reversed(wrappers[:innermost]):
                space, replay = _replay(wrapper, space)
                self._replays.append(replay)
        super().__init__(venv, observation_space=space)
        self.seen: Any = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Keep every ``VecNormalize`` as it is while the block rolls out episodes."""
        with ExitStack() as stack:
            for normalizer in self._normalizers:
                stack.callback(_restore, normalizer, _state(normalizer))
                normalizer.training = False
            if self._terminal is not None:
                self._normalizers[-1].venv = self._terminal
            yield

    def reset(self) -> VecEnvObs:
        """Reset the environment and return original observations."""
        self.seen = self.venv.reset()
        observations: VecEnvObs = self._original(self.seen, None, [])[0]
        return observations

    def step_wait(self) -> VecEnvStepReturn:
        """Return original observations and rewards."""
        self.seen, rewards, dones, infos = self.venv.step_wait()
        observations, infos = self._original(self.seen, dones, infos)
        if self._normalizers:
            rewards = self._normalizers[-1].get_original_reward()
        return observations, rewards, dones, [_with_terminal_array(info) for info in infos]

    def _original(self, seen: Any, dones: np.ndarray | None, infos: Infos) -> tuple[Any, Infos]:
        if self._replays is None:
            return seen, infos
        assert self._terminal is not None
        observations: Any = self._normalizers[-1].get_original_obs()
        originals: Infos = [{} for _ in infos]
        for index, terminal in self._terminal.newest.items():
            originals[index]["terminal_observation"] = terminal
        for replay in self._replays:
            observations, originals = replay(observations, dones, originals)
        return observations, [info | own for info, own in zip(infos, originals, strict=True)]


def _with_terminal_array(info: dict[str, Any]) -> dict[str, Any]:
    # imitation does not take the plain number that is the last observation of a discrete space.
    terminal = info.get("terminal_observation")
    if isinstance(terminal, np.generic | int):
        return info | {"terminal_observation": np.asarray(terminal)}
    return info


class _TerminalObservations(VecEnvWrapper):
    """Below a ``VecNormalize``: keeps the last observations of episodes, which that overwrites."""

    newest: dict[int, Any]

    def reset(self) -> VecEnvObs:
        self.newest = {}
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        observations, rewards, dones, infos = self.venv.step_wait()
        self.newest = {
            index: info["terminal_observation"]
            for index, (info, done) in enumerate(zip(infos, dones, strict=True))
            if done and "terminal_observation" in info
        }
        return observations, rewards, dones, infos


def _state(normalizer: VecNormalize) -> dict[str, Any]:
    return {name: value for name, value in vars(normalizer).items() if name in STATE}


def _restore(normalizer: VecNormalize, state: dict[str, Any]) -> None:
    for name in _state(normalizer).keys() - state.keys():
        delattr(normalizer, name)
    vars(normalizer).update(state)


def _wrappers(venv: VecEnv) -> Iterator[VecEnvWrapper]:
    """Iterate over the wrappers of a vectorised environment, the outermost first."""
    while isinstance(venv, VecEnvWrapper):
        yield venv
        venv = venv.venv


def _replay(wrapper: VecEnvWrapper, space: spaces.Space[Any]) -> tuple[spaces.Space[Any], Replay]:
    """Return the space of original observations above a wrapper, and what it does to them."""

    def stack(observations: Any, dones: np.ndarray | None, infos: Infos) -> tuple[Any, Infos]:
        if dones is None:
            return stacked.reset(observations), infos
        return stacked.update(observations, dones, infos)

    def each(change: Callable[[Any], Any]) -> Replay:
        return lambda observations, dones, infos: (
            change(observations),
            [{name: change(terminal) for name, terminal in info.items()} for info in infos],
        )

    if isinstance(wrapper, VecFrameStack):
        assert isinstance(space, spaces.Box | spaces.Dict)
        stacked: StackedObservations[Any] = StackedObservations(
            wrapper.num_envs,
            wrapper.stacked_obs.n_stack,
            space,
            _channels_order(wrapper.stacked_obs),
        )
        return stacked.stacked_observation_space, stack
    if isinstance(wrapper, VecTransposeImage):
        return wrapper.observation_space, each(wrapper.transpose_observations)
    if isinstance(wrapper, VecExtractDictObs) and isinstance(space, spaces.Dict):
        return space[wrapper.key], each(lambda observations: observations[wrapper.key])
    if isinstance(wrapper, VecMonitor | VecCheckNan | VecVideoRecorder | VecNormalize):
        return space, each(lambda observations: observations)
    raise ValueError(
        f"{type(wrapper).__name__} is wrapped around VecNormalize, so that the original observations "
        f"are unknown; expected it below VecNormalize, or an environment without VecNormalize"
    )


def _channels_order(stacked: StackedObservations[Any]) -> Any:
    if isinstance(stacked.observation_space, spaces.Dict):
        return {key: _channels_order(part) for key, part in stacked.sub_stacked_observations.items()}
    return "first" if stacked.channels_first else "last"


def _refuse_gymnasium_normalization(venv: VecEnv) -> None:
    for kind in (gym.wrappers.NormalizeObservation, gym.wrappers.NormalizeReward):
        if any(venv.env_is_wrapped(kind)):
            raise ValueError(
                f"the environment is wrapped in Gymnasium's {kind.__name__}, which changes with every "
                f"step, expected original numbers, or VecNormalize, of which the original ones are known"
            )
