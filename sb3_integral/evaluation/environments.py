"""Environments for evaluation, with the wrappers of the training environment."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.env_util import is_wrapped, unwrap_wrapper
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecEnv,
    VecEnvWrapper,
    VecNormalize,
    VecTransposeImage,
)

from sb3_integral.mujoco_warnings import show_mujoco_warnings_once
from sb3_integral.policies import Resizable
from sb3_integral.policies.masking import action_masks, check_action_masks, has_action_masks
from sb3_integral.policies.vec_wrappers import OBSERVERS, WrapperMaker, vec_wrappers, wrapper_maker

Env = gym.Env[Any, Any]
EnvFactory = Callable[[], Env]
"""What makes an environment, called once for each copy."""


def evaluation_env(
    policy: Resizable,
    env: GymEnv | str | EnvFactory,
    training_env: VecEnv | None = None,
    use_masking: bool = True,
) -> VecEnv | EnvFactory:
    """Give an evaluation environment the wrappers of the training environment.

    It gets a monitor, and the vectorised wrappers of the training environment that it lacks: frame
    stack, image transposition, normalisation, one entry of a dictionary. VecNormalize has the training
    statistics and does not update them. Without a training environment, images are transposed if the
    policy expects their channels first.

    Args:
        policy: The policy that will be evaluated.
        env: The id of an environment, a function that makes one, an environment or a vectorised one.
        training_env: The training environment, as ``model.get_env()`` returns it.
        use_masking: Whether a policy that takes action masks needs an environment that has them.

    Returns:
        A vectorised environment; for an id or a function, a function that makes one wrapped environment.

    Raises:
        ValueError: If the environment can't be made, has other spaces than the policy, lacks action
            masks, or can't get a wrapper of the training environment.
    """
    if isinstance(env, VecEnv | gym.Env):
        venv = env if isinstance(env, VecEnv) else DummyVecEnv([lambda: _monitored(env)])
        venv, _ = _wrapped_like(training_env, venv, policy)
        _check(policy, venv, use_masking)
        return venv
    factory = env_factory(env)
    with open_environments(factory, 1) as (made,):
        venv, makers = _wrapped_like(training_env, DummyVecEnv([lambda: made]), policy)
        _check(policy, venv, use_masking)
    return WrappedFactory(factory, tuple(makers)) if makers else factory


def without_normalization(factory: EnvFactory, training_env: VecEnv) -> EnvFactory:
    """Return what makes an environment with the training environment's wrappers but VecNormalize.

    Args:
        factory: Makes the bare environment.
        training_env: The training environment.

    Raises:
        ValueError: If a wrapper can't be put around another environment.
    """
    wrappers = [wrapper for wrapper in vec_wrappers(training_env) if _matters(wrapper)]
    makers = [_maker(wrapper) for wrapper in wrappers if not isinstance(wrapper, VecNormalize)]
    return WrappedFactory(factory, makers) if makers else factory


def _wrapped_like(
    training_env: VecEnv | None, venv: VecEnv, policy: Resizable
) -> tuple[VecEnv, list[WrapperMaker]]:
    """Return the environment with its wrappers, and the functions that made them."""
    wanted, there = (list(filter(_matters, vec_wrappers(one))) for one in (training_env, venv))
    normalizations = [[w for w in chain if isinstance(w, VecNormalize)] for chain in (there, wanted)]
    makers: list[WrapperMaker] = []
    if list(map(type, there)) == list(map(type, wanted[: len(there)])):
        makers = [_maker(wrapper) for wrapper in wanted[len(there) :]]
    elif training_env is not None and not (
        venv.observation_space == policy.observation_space
        and len(normalizations[0]) == len(normalizations[1])
    ):
        names = [[type(one).__name__ for one in chain] or "nothing" for chain in (there, wanted)]
        raise ValueError(
            f"the evaluation environment is wrapped in {names[0]}, expected the training environment's "
            f"wrappers or the first of them, the innermost first: {names[1]}"
        )
    for evaluated, trained in zip(*normalizations, strict=False):
        if evaluated is not trained:
            evaluated.obs_rms, evaluated.ret_rms = copy.deepcopy((trained.obs_rms, trained.ret_rms))
    for make in makers:
        venv = make(venv)
    if venv.observation_space != policy.observation_space and _has_channels_last(venv.observation_space):
        makers.append(VecTransposeImage)
        venv = VecTransposeImage(venv)
    return venv, makers


def _matters(wrapper: VecEnvWrapper) -> bool:
    """Return whether a wrapper may change observations; evaluation does not need the others."""
    if isinstance(wrapper, VecNormalize):
        return wrapper.norm_obs
    return not isinstance(wrapper, OBSERVERS)


def _maker(wrapper: VecEnvWrapper) -> WrapperMaker:
    make = wrapper_maker(wrapper)
    if make is None:
        raise ValueError(
            f"the training environment is wrapped in {type(wrapper).__name__}, which can't be put "
            f"around another one automatically, expected a vectorised evaluation environment that "
            f"already has it"
        )
    return make


def _has_channels_last(space: gym.Space[Any]) -> bool:
    parts: list[Any] = list(space.values()) if isinstance(space, gym.spaces.Dict) else [space]
    return any(is_image_space(one) and not is_image_space_channels_first(one) for one in parts)


def _check(policy: Resizable, venv: VecEnv, use_masking: bool) -> None:
    for name in ("observation_space", "action_space"):
        expected, got = getattr(policy, name), getattr(venv, name)
        if expected != got:
            raise ValueError(f"the environment's {name} is {got}, expected the policy's {expected}")
    if use_masking:
        check_action_masks(policy, venv)


def _monitored(env: Env) -> Env:
    return env if is_wrapped(env, Monitor) else Monitor(env)


def env_factory(env: str | EnvFactory) -> EnvFactory:
    """Return a function that makes an environment in any process, of an id or such a function.

    Raises:
        ValueError: If the id is unknown, or ``env`` is neither an id nor a function.
    """
    if callable(env):
        return env
    try:
        module, _, name = env.rpartition(":")
        if module:
            importlib.import_module(module)
        return FromSpec(gym.spec(name))
    except (AttributeError, ImportError, gym.error.Error) as error:
        raise ValueError(
            f"env must be an environment, its id or what makes one, got {env!r} ({error})"
        ) from error


@dataclass(frozen=True)
class FromSpec:
    """Makes a registered environment, even in processes that have not registered it."""

    spec: EnvSpec

    def __call__(self) -> Env:
        """Make one."""
        show_mujoco_warnings_once()
        try:
            return gym.make(self.spec, disable_env_checker=True)
        except Exception as error:  # its constructor may raise anything
            raise ValueError(f"cannot make the environment {self.spec.id!r}: {error}") from error


@dataclass(frozen=True)
class WrappedFactory:
    """Makes an environment inside vectorised wrappers, whose makers are given from the inside out."""

    factory: EnvFactory
    makers: Sequence[WrapperMaker]

    def __call__(self) -> Env:
        """Make one."""
        venv: VecEnv = DummyVecEnv([self.factory])
        for make in self.makers:
            venv = make(venv)
        return OneOfVec(venv)


class OneOfVec(gym.Env[Any, Any]):
    """A ``DummyVecEnv`` of one environment, with any wrappers, as an ordinary environment."""

    def __init__(self, venv: VecEnv) -> None:
        self.venv = venv
        self.inner: Env = venv.unwrapped.envs[0]  # type: ignore[attr-defined]
        self.observation_space, self.action_space = venv.observation_space, venv.action_space
        if has_action_masks(venv):
            self.action_masks = lambda: action_masks(venv)[0]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode. Shape of the observation: the wrapped space's."""
        if seed is not None:
            self.venv.seed(seed)
        return _first(self.venv.reset()), dict(self.venv.reset_infos[0])

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take a step; the observation at the end of an episode is the episode's last one."""
        observations, rewards, dones, infos = self.venv.step(np.asarray(action)[None])
        info, done = infos[0], bool(dones[0])
        observation = info["terminal_observation"] if done else _first(observations)
        truncated = done and bool(info.get("TimeLimit.truncated", False))
        return observation, float(rewards[0]), done and not truncated, truncated, info

    def close(self) -> None:
        """Close it."""
        self.venv.close()


def _first(observations: Any) -> Any:
    if isinstance(observations, dict):
        return {name: values[0] for name, values in observations.items()}
    return observations[0]


def monitor_of(env: Env) -> Monitor[Any, Any] | None:
    """Return the monitor of an environment, if it has one."""
    found = unwrap_wrapper(env.inner if isinstance(env, OneOfVec) else env, Monitor)
    return found if isinstance(found, Monitor) else None


@contextmanager
def open_environments(factory: EnvFactory, count: int) -> Iterator[list[Env]]:
    """Make environments, and close them at the end of the block.

    Raises:
        ValueError: If the factory makes something else.
    """
    show_mujoco_warnings_once()
    envs: list[Env] = []
    try:
        for _ in range(count):
            env = factory()
            if not isinstance(env, gym.Env):
                raise ValueError(f"expected a function that makes an environment, got {env!r} from it")
            envs.append(env)
        yield envs
    finally:
        for env in envs:
            env.close()
