"""The agent that is compressed, and the environments in which it and its student act."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecFrameStack, VecNormalize

from sb3_integral.deploy.environment import make_environment
from sb3_integral.deploy.sources import read_source
from sb3_integral.evaluation import EnvFactory, evaluation_env
from sb3_integral.evaluation.actors import ROWS, Actor, make_actor
from sb3_integral.evaluation.environments import (
    Env,
    WrappedFactory,
    env_factory,
    without_normalization,
)
from sb3_integral.evaluation.episodes import EpisodeRules
from sb3_integral.evaluation.sweep import play_all
from sb3_integral.imitation.observations import check_student_spaces
from sb3_integral.imitation.original_env import OriginalEnv
from sb3_integral.nn.sizes import as_size
from sb3_integral.policies.layout import policy_of
from sb3_integral.policies.masking import takes_action_masks
from sb3_integral.policies.vec_wrappers import WrapperMaker


@dataclass(frozen=True)
class Teacher:
    """An agent and what its student has to do.

    Attributes:
        source: The agent: a model, or a policy alone.
        env_name: The environment, for people.
        make_env: Makes an environment that gives what the agent was trained on.
        make_student_env: Makes the same with the original observations.
        observation_space: The original observations.
        action_space: The actions.
        frames: How many of the last original observations the student sees as one.
        files: What the agent was read from.
    """

    source: BaseAlgorithm | BasePolicy
    env_name: str
    make_env: EnvFactory
    make_student_env: EnvFactory
    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    frames: int = 1
    files: tuple[Path, ...] = ()

    @property
    def policy(self) -> BasePolicy:
        """The agent's policy."""
        policy: BasePolicy = policy_of(self.source)
        return policy

    def environment(self, n_envs: int, seed: int) -> OriginalEnv:
        """Make environments that show the student's observations, stepped as one batch."""
        bare, makers = self.make_env, tuple[WrapperMaker, ...]()
        if isinstance(self.make_env, WrappedFactory):
            bare, makers = self.make_env.factory, tuple(self.make_env.makers)
        venv: VecEnv = DummyVecEnv([partial(_monitored, bare)] * n_envs)
        for make in makers:
            venv = make(venv)
        venv.seed(seed)
        return OriginalEnv(venv, frames=self.frames)

    def agent_returns(self, seeds: Sequence[int], max_episode_steps: int) -> list[float]:
        """Return the agent's return in the episode of each seed."""
        rules = EpisodeRules(True, max_episode_steps, takes_action_masks(self.policy))
        return _returns(make_actor(self.policy), self.make_env, seeds, rules)

    def student_returns(
        self, student: BasePolicy | Actor, seeds: Sequence[int], max_episode_steps: int
    ) -> list[float]:
        """Return the returns of what acts on original observations, in the same episodes."""
        rules = EpisodeRules(True, max_episode_steps)
        actor = student if isinstance(student, Actor) else make_actor(student)
        return _returns(actor, self.make_student_env, seeds, rules)

    def random_returns(self, seeds: Sequence[int], max_episode_steps: int) -> list[float]:
        """Return what random actions earn in the same episodes."""
        rules = EpisodeRules(True, max_episode_steps)
        return _returns(RandomActor(self.action_space), self.make_student_env, seeds, rules)


class RandomActor(Actor):
    """Takes random actions; see :class:`~sb3_integral.evaluation.actors.Actor`.

    Args:
        space: The actions.
    """

    def __init__(self, space: spaces.Space[Any]) -> None:
        self._space = space

    def playing(self, seeds: Sequence[int]) -> Any:
        """Begin episodes."""
        self._space.seed(seeds[0])
        return nullcontext()

    def observe(self, row: int, observation: Any) -> None:
        """Take an observation, which does not matter."""

    def act(self, action_masks: np.ndarray[Any, Any] | None = None) -> np.ndarray[Any, Any]:
        """Return an action for each row."""
        return np.stack([self._space.sample() for _ in range(ROWS)])


def read_teacher(
    agent: BaseAlgorithm | BasePolicy | Path | str,
    env: str | EnvFactory | Env | None = None,
    frames: int = 1,
) -> Teacher:
    """Return the agent with its environments.

    Args:
        agent: A model of SB3 or sb3-contrib, a policy, or the file or rl-zoo3's folder of one. Zip files
            are pickles, which can run code: give only those that you trust.
        env: The environment: an id, what makes one, or a registered environment. By default the one
            that a model in memory was trained in, or that a folder names.
        frames: How many of the last original observations the student sees as one.

    Raises:
        ValueError: If there is no such file, no environment is known or it is not the agent's, its
            observations cannot be stacked, or no student can be built for it.
    """
    normalize: VecNormalize | None = None
    training_env: VecEnv | None = None
    files: tuple[Path, ...] = ()
    if isinstance(agent, Path | str):
        loaded = read_source(Path(agent))
        source: Any = loaded.source
        files = loaded.files
        normalize, env = loaded.normalize, loaded.env_id if env is None else env
    else:
        source = agent
        training_env = agent.get_env() if isinstance(agent, BaseAlgorithm) else None
        if env is None and training_env is not None:
            env = training_env.get_attr("spec", 0)[0]
    factory, name = _factory(env)
    policy = policy_of(source)
    if training_env is None:
        training_env = make_environment(policy, factory, normalize)
    made = evaluation_env(policy, factory, training_env)
    assert not isinstance(made, VecEnv)
    raw = _stacked(without_normalization(factory, training_env), frames)
    with_raw = raw()
    observation_space = with_raw.observation_space
    with_raw.close()
    check_student_spaces(observation_space, policy.action_space)
    return Teacher(source, name, made, raw, observation_space, policy.action_space, frames, files)


def _stacked(factory: EnvFactory, frames: int) -> EnvFactory:
    if as_size(frames, "frames") == 1:
        return factory
    env = factory()
    env.close()
    inner = env.observation_space
    for space in inner.values() if isinstance(inner, spaces.Dict) else (inner,):
        if not isinstance(space, spaces.Box):
            raise ValueError(f"only Box observations can be stacked, got {inner} and frames={frames}")
    bare, makers = factory, tuple[WrapperMaker, ...]()
    if isinstance(factory, WrappedFactory):
        bare, makers = factory.factory, tuple(factory.makers)
    return WrappedFactory(bare, (*makers, partial(VecFrameStack, n_stack=frames)))


def _factory(env: Any) -> tuple[EnvFactory, str]:
    if env is None:
        raise ValueError("the environment of the agent is not known, expected env")
    if isinstance(env, VecEnv):
        raise ValueError(
            "expected an environment's id or a function that makes one, got a vectorised environment"
        )
    spec = env if isinstance(env, gym.envs.registration.EnvSpec) else getattr(env, "spec", None)
    if isinstance(env, gym.Env) and spec is None:
        raise ValueError(
            f"{env} is not registered, expected a function that makes it: "
            f"episodes are played in several copies"
        )
    if spec is not None:
        # SB3 puts a Monitor around what it makes itself, which Gymnasium can't make again.
        wrappers = tuple(
            wrapper for wrapper in spec.additional_wrappers if wrapper.name != Monitor.__name__
        )
        return partial(gym.make, replace(spec, additional_wrappers=wrappers)), str(spec.id)
    return env_factory(env), env if isinstance(env, str) else getattr(env, "__name__", "environment")


def _monitored(factory: EnvFactory) -> Env:
    return Monitor(factory())


def _returns(
    actor: Actor, factory: EnvFactory, seeds: Sequence[int], rules: EpisodeRules
) -> list[float]:
    (episodes,) = play_all([actor], factory, seeds, 1, rules)
    return [episode.episode_return for episode in episodes]
