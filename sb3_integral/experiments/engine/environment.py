"""The environment of a stage, from Gymnasium or from a package of the user's."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator

from sb3_integral.experiments.engine.versions import local_sources, versions_of, versions_of_modules
from sb3_integral.mujoco_warnings import show_mujoco_warnings_once

SIMULATORS = {".mujoco": "mujoco", ".box2d": "box2d"}
"""Distributions behind Gymnasium's own environments, by what stands in the names of their modules."""

DEFAULT_MAX_EPISODE_STEPS = 10_000
"""The time limit of environments that have none: one whose episodes never end would never return."""


@dataclass(frozen=True)
class Environment:
    """An environment by its id, and the packages that make the id known to Gymnasium.

    Attributes:
        id: As in Gymnasium's registry.
        packages: Modules that register it, imported in this order.
        max_episode_steps: The time limit; None for the environment's own, or
            :data:`DEFAULT_MAX_EPISODE_STEPS` if it has none.
    """

    id: str
    packages: tuple[str, ...] = ()
    max_episode_steps: int | None = None

    @classmethod
    def from_name(
        cls, name: str, packages: tuple[str, ...] = (), max_episode_steps: int | None = None
    ) -> Environment:
        """Return an environment whose name may have Gymnasium's form ``module:Env-v0``."""
        module, _, env_id = name.rpartition(":")
        return cls(env_id, (*packages, module) if module else packages, max_episode_steps)

    @contextmanager
    def registered(self) -> Iterator[EnvSpec]:
        """Make the environment known to Gymnasium under its id, with the time limit, for a block.

        Raises:
            ValueError: If a package cannot be imported, or the environment is not registered.
        """
        known = self._find()
        show_mujoco_warnings_once()
        limit = self.max_episode_steps or known.max_episode_steps or DEFAULT_MAX_EPISODE_STEPS
        gym.registry[self.id] = replace(known, max_episode_steps=limit)
        try:
            yield gym.registry[self.id]
        finally:
            gym.registry[self.id] = known

    def has_time_limit(self) -> bool:
        """Return whether somebody chose a time limit, here or in the registry."""
        return bool(self.max_episode_steps or self._find().max_episode_steps)

    @cached_property
    def versions(self) -> dict[str, str]:
        """The versions of the packages, and digests of the local files, with the environment's code."""
        modules = self._modules()
        simulators = [
            simulator for part, simulator in SIMULATORS.items() if any(part in each for each in modules)
        ]
        return versions_of(["gymnasium", *simulators]) | versions_of_modules(modules)

    def local_sources(self) -> dict[str, Path]:
        """Return the files of its code that no installed distribution holds, by relative path."""
        return local_sources(self._modules())

    def _find(self) -> EnvSpec:
        for package in self.packages:
            try:
                importlib.import_module(package)
            except Exception as error:  # it is the user's own code
                raise ValueError(
                    f"the package {package!r} cannot be imported ({type(error).__name__}: {error}), "
                    f"expected a module that registers environments"
                ) from error
        spec: EnvSpec | None = gym.registry.get(self.id)
        if spec is None:
            raise ValueError(f"environment {self.id!r} is not registered with Gymnasium{self._hint()}")
        return spec

    def _hint(self) -> str:
        known = {name.lower(): name for name in gym.registry}
        similar = get_close_matches(self.id.lower(), known, n=3, cutoff=0.7)
        if similar:
            return f"; did you mean {' or '.join(known[name] for name in similar)}?"
        return "; `gym_packages: [package]` or `env: package:Env-v0` import a package that registers it"

    def _modules(self) -> list[str]:
        """Return the modules with its code: what registers it, its class and its wrappers."""
        spec = self._find()
        entry_points = [spec.entry_point, *(each.entry_point for each in spec.additional_wrappers)]
        modules = list(self.packages)
        for entry_point in entry_points:
            if isinstance(entry_point, str) and entry_point.startswith("gymnasium."):
                modules.append(entry_point.partition(":")[0])  # it needs no loading to be known
                continue
            creator: Any = entry_point
            if isinstance(entry_point, str):
                creator = load_env_creator(entry_point)
            modules += [each.__module__ for each in getattr(creator, "__mro__", [creator])]
        return sorted({*modules} - {"builtins", "typing", "abc"})


@lru_cache
def current_versions(environment: Environment) -> dict[str, str]:
    """Return the versions of an environment's code in this process."""
    return replace(environment).versions
