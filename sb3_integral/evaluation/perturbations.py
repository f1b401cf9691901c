"""Perturbed environments: how well does a policy hold noise, delay and another physics?

Each perturbation has a name and a strength, as a configuration has them: ``{observation_noise: 0.1}``.

- ``observation_noise``: Gaussian noise, in standard deviations of each observation;
- ``observation_dropout``: the probability that a number of an observation reads 0;
- ``observation_delay``: steps by which observations are late; the first ones are all 0;
- ``sticky_actions``: the probability that the action before is taken again;
- ``gravity``, ``mass``, ``friction``: factors on MuJoCo's own.

Noise and dropout are drawn anew from the seed of each episode, so that every policy meets the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import DelayObservation, StickyAction

from sb3_integral.evaluation.environments import Env, EnvFactory

Array = np.ndarray[Any, Any]


class _RandomObservations(gym.Wrapper[Any, Any, Any, Any]):
    """Changes observations by a generator that every seeded episode begins anew."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        _check_observations(env)
        self._rng = np.random.default_rng()

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Array, dict[str, Any]]:
        """Begin an episode. Shape of the observation: the space's."""
        if seed is not None:
            self._rng = np.random.default_rng([seed, 1])  # not the stream of the environment itself
        observation, info = self.env.reset(seed=seed, options=options)
        return self.changed(observation), info

    def step(self, action: Any) -> tuple[Array, Any, bool, bool, dict[str, Any]]:
        """Take a step. Shape of the observation: the space's."""
        observation, *rest = self.env.step(action)
        return self.changed(observation), *rest  # type: ignore[return-value]

    def changed(self, observation: Array) -> Array:
        """Return what the policy sees. Shape: as the observation."""
        raise NotImplementedError


class ObservationNoise(_RandomObservations):
    """Adds Gaussian noise to observations.

    Args:
        env: The environment, whose observations are an array of floats.
        deviation: The standard deviation of the noise, in units of ``scale``.
        scale: A scale for each number. Shape: the observation's.
    """

    def __init__(self, env: Env, deviation: float, scale: Array | float = 1.0) -> None:
        super().__init__(env)
        self._scale = np.broadcast_to(np.asarray(scale, np.float64), env.observation_space.shape or ())
        self._deviation = deviation

    def changed(self, observation: Array) -> Array:
        """Return the noisy observation."""
        noise = self._rng.standard_normal(observation.shape) * self._scale * self._deviation
        return np.asarray(observation + noise, observation.dtype)


class ObservationDropout(_RandomObservations):
    """Sets numbers of an observation to 0, each with a probability of its own."""

    def __init__(self, env: Env, probability: float) -> None:
        super().__init__(env)
        self._probability = probability

    def changed(self, observation: Array) -> Array:
        """Return what is left of the observation."""
        kept = self._rng.random(observation.shape) >= self._probability
        return np.where(kept, observation, np.zeros_like(observation))


class Physics(gym.Wrapper[Any, Any, Any, Any]):
    """Multiplies quantities of a MuJoCo model.

    Args:
        env: An environment of MuJoCo's.
        gravity: The factor on gravity.
        mass: The factor on the mass and the inertia of every body.
        friction: The factor on the sliding friction of every shape.

    Raises:
        ValueError: If the environment has no MuJoCo model.
    """

    def __init__(self, env: Env, gravity: float = 1.0, mass: float = 1.0, friction: float = 1.0) -> None:
        super().__init__(env)
        model: Any = getattr(env.unwrapped, "model", None)
        if not hasattr(model, "body_mass"):
            raise ValueError(
                f"gravity, mass and friction are those of a MuJoCo model, expected an environment "
                f"that has one, got {env}"
            )
        model.opt.gravity[:] *= gravity
        model.body_mass[:] *= mass
        model.body_inertia[:] *= mass
        model.geom_friction[:, 0] *= friction


Wrap = Callable[[Env, Any, "Array | float"], Env]

PERTURBATIONS: Mapping[str, Wrap] = {
    "observation_noise": lambda env, value, scale: ObservationNoise(env, value, scale),
    "observation_dropout": lambda env, value, _: ObservationDropout(_checked(env), value),
    "observation_delay": lambda env, value, _: DelayObservation(_checked(env), value),
    "sticky_actions": lambda env, value, _: StickyAction(env, value),
    "gravity": lambda env, value, _: Physics(env, gravity=value),
    "mass": lambda env, value, _: Physics(env, mass=value),
    "friction": lambda env, value, _: Physics(env, friction=value),
}
"""What puts a perturbation of a strength around an environment, by its name."""

PROBABILITIES = ("observation_dropout", "sticky_actions")


def check_perturbation(name: str, value: float) -> None:
    """Check the name and the strength of a perturbation.

    Raises:
        ValueError: If there is none of that name, or the strength is not one that it can have.
    """
    if name not in PERTURBATIONS:
        raise ValueError(f"unknown perturbation {name!r}; known are {', '.join(PERTURBATIONS)}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < np.inf:
        raise ValueError(f"{name} needs a strength that is a finite number from 0 up, got {value!r}")
    if name in PROBABILITIES and value >= 1.0:
        raise ValueError(f"{name} is a probability below 1, got {value!r}")
    if name == "observation_delay" and not isinstance(value, int):
        raise ValueError(f"{name} is a whole number of steps, got {value!r}")
    if name == "mass" and value == 0:
        raise ValueError("mass is a factor above 0, got 0")


@dataclass(frozen=True)
class PerturbedFactory:
    """Makes perturbed environments; ``evaluate_resize_sweep`` takes it in place of an id.

    Attributes:
        factory: Makes the environment itself.
        name: The name of the perturbation, one of :data:`PERTURBATIONS`.
        value: Its strength.
        scale: What is one standard deviation of each observation; ``observation_noise`` alone reads it.

    Raises:
        ValueError: If there is no such perturbation, or the strength is not one that it can have; when
            it is called, if the environment can't have it.
    """

    factory: EnvFactory
    name: str
    value: float
    scale: Array | float = 1.0

    def __post_init__(self) -> None:
        """Check the values."""
        check_perturbation(self.name, self.value)

    def __call__(self) -> Env:
        """Make one."""
        return PERTURBATIONS[self.name](self.factory(), self.value, self.scale)


def _checked(env: Env) -> Env:
    _check_observations(env)
    return env


def _check_observations(env: Env) -> None:
    space = env.observation_space
    if not isinstance(space, gym.spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        raise ValueError(f"expected observations that are an array of floats to perturb, got {space}")
