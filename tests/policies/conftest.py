"""Small models of every algorithm, on spaces of every kind."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import sb3_contrib
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

ACTIONS: dict[str, spaces.Space[Any]] = {
    "box": spaces.Box(-2.0, 2.0, (2,)),
    "discrete": spaces.Discrete(3),
    "multi-discrete": spaces.MultiDiscrete([2, 3]),
    "multi-binary": spaces.MultiBinary(2),
}
IMAGE = spaces.Box(0, 255, (36, 36, 3), dtype=np.uint8)
VECTOR = spaces.Box(-1.0, 1.0, (4,))
OBSERVATIONS: dict[str, spaces.Space[Any]] = {
    "Mlp": VECTOR,
    "Cnn": IMAGE,
    "MultiInput": spaces.Dict({"vector": VECTOR, "image": IMAGE}),
}
DISCRETE = (DQN, sb3_contrib.QRDQN, sb3_contrib.MaskablePPO)
ROLLOUTS: dict[type[BaseAlgorithm], dict[str, Any]] = {
    A2C: {"n_steps": 16},
    PPO: {"n_steps": 16, "batch_size": 8, "n_epochs": 1},
    sb3_contrib.TRPO: {"n_steps": 16, "batch_size": 8},
    sb3_contrib.MaskablePPO: {"n_steps": 16, "batch_size": 8, "n_epochs": 1},
    sb3_contrib.RecurrentPPO: {"n_steps": 16, "batch_size": 8, "n_epochs": 1},
    # By default it starts from zeros, whose outputs say nothing.
    sb3_contrib.ARS: {"n_delta": 2, "n_top": 1, "zero_policy": False},
}
OFF_POLICY = {"learning_starts": 10, "buffer_size": 50, "batch_size": 8}
HEADS = ("action_net", "q_net.q_net", "quantile_net.quantile_net", "actor.mu")


class AnySpaces(gym.Env[Any, Any]):
    """Random observations, ten to an episode; rewards prefer one of the actions."""

    def __init__(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
        self.observation_space = copy.deepcopy(observation_space)
        self.action_space = copy.deepcopy(action_space)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        return self.observation_space.sample(), float(np.sum(action)), False, self.steps == 10, {}

    def action_masks(self) -> NDArray[np.bool_]:
        space = self.action_space
        counts = {
            spaces.Discrete: lambda: int(space.n),  # type: ignore[attr-defined]
            spaces.MultiDiscrete: lambda: int(space.nvec.sum()),  # type: ignore[attr-defined]
            spaces.MultiBinary: lambda: 2 * int(space.n),  # type: ignore[attr-defined]
        }
        return np.ones(counts[type(space)](), dtype=bool)


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Any]:
    """Make a model on random observations of the kind that its policy reads."""

    def make(
        algorithm: type[BaseAlgorithm],
        kind: str = "IntegralMlpPolicy",
        actions: str | None = None,
        seed: int = 0,
        arguments: dict[str, Any] | None = None,
        observation_space: spaces.Space[Any] | None = None,
        **policy_kwargs: Any,
    ) -> Any:
        read = kind.removeprefix("Integral").removesuffix("Policy").removesuffix("Lstm")
        actions = actions or ("discrete" if algorithm in DISCRETE else "box")
        env = AnySpaces(observation_space or OBSERVATIONS[read], ACTIONS[actions])
        arguments = {**ROLLOUTS.get(algorithm, OFF_POLICY), **(arguments or {})}
        return algorithm(kind, env, seed=seed, device="cpu", policy_kwargs=policy_kwargs, **arguments)

    return make


@pytest.fixture(scope="session")
def stock() -> Callable[[type[BaseAlgorithm], str], str]:
    """Return the alias of the plain policy of which another names the integral kind."""

    def name(algorithm: type[BaseAlgorithm], kind: str) -> str:
        lstm = "Lstm" if algorithm is sb3_contrib.RecurrentPPO else ""
        return kind.removeprefix("Integral").replace("Policy", f"{lstm}Policy")

    return name


@pytest.fixture(scope="session")
def observe() -> Callable[[Any], Any]:
    """Return some observations of a model's space, always the same."""

    def samples_of(model: Any) -> Any:
        space = copy.deepcopy(model.observation_space)
        space.seed(3)
        samples = [space.sample() for _ in range(3)]
        if isinstance(space, spaces.Dict):
            return {name: np.stack([sample[name] for sample in samples]) for name in space}
        return np.stack(samples)

    return samples_of


@pytest.fixture(scope="session")
def act(observe: Callable[[Any], Any]) -> Callable[[Any, Any], NDArray[Any]]:
    """Return the actions that a policy takes on a model's observations."""

    def actions_of(policy: Any, model: Any) -> NDArray[Any]:
        actions: NDArray[Any] = policy.predict(observe(model), deterministic=True)[0]
        return actions

    return actions_of


@pytest.fixture(scope="session")
def head_outputs(observe: Callable[[Any], Any]) -> Callable[[BasePolicy, Any], Tensor]:
    """Return what an actor computes of a model's observations before an action is taken from it."""

    def outputs_of(policy: BasePolicy, model: Any) -> Tensor:
        seen: list[Tensor] = []
        hooks = [
            module.register_forward_hook(lambda *args: seen.append(args[-1].detach()))
            for name, module in policy.named_modules()
            if name in HEADS
        ]
        with torch.no_grad():
            policy.set_training_mode(False)
            policy.predict(observe(model), deterministic=True)
        for hook in hooks:
            hook.remove()
        assert seen, "no head was run"
        return torch.cat(seen, dim=1)

    return outputs_of
