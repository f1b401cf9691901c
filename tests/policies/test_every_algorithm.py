"""Every algorithm, kind of policy and action space: build, train, save, load, resize, predict."""

import copy
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import sb3_contrib
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from sb3_integral.policies import IntegralPolicy
from sb3_integral.policies.registration import KINDS, integral_policies

ACTIONS: dict[str, spaces.Space[Any]] = {
    "box": spaces.Box(-2.0, 2.0, (2,)),
    "discrete": spaces.Discrete(3),
    "multi-discrete": spaces.MultiDiscrete([2, 3]),
    "multi-binary": spaces.MultiBinary(2),
}
IMAGE = spaces.Box(0, 255, (36, 36, 3), dtype=np.uint8)
VECTOR = spaces.Box(-1.0, 1.0, (4,))
OBSERVATIONS: dict[str, spaces.Space[Any]] = {
    "IntegralMlpPolicy": VECTOR,
    "IntegralCnnPolicy": IMAGE,
    "IntegralMultiInputPolicy": spaces.Dict({"vector": VECTOR, "image": IMAGE}),
}
SUPPORTED: dict[type[BaseAlgorithm], tuple[str, ...]] = {
    **dict.fromkeys((PPO, A2C, sb3_contrib.TRPO), tuple(ACTIONS)),
    # Its buffer casts the stored actions to the space's int8, which its own policies cannot read:
    # MlpLstmPolicy fails on MultiBinary too.
    sb3_contrib.RecurrentPPO: ("box", "discrete", "multi-discrete"),
    **dict.fromkeys((DQN, sb3_contrib.QRDQN), ("discrete",)),
    **dict.fromkeys((SAC, TD3, DDPG, sb3_contrib.TQC, sb3_contrib.CrossQ), ("box",)),
    sb3_contrib.MaskablePPO: ("discrete", "multi-discrete", "multi-binary"),
    sb3_contrib.ARS: ("box", "discrete"),
}
ROLLOUTS: dict[type[BaseAlgorithm], dict[str, Any]] = {
    A2C: {"n_steps": 16},
    PPO: {"n_steps": 16, "batch_size": 8, "n_epochs": 1},
    sb3_contrib.TRPO: {"n_steps": 16, "batch_size": 8},
    sb3_contrib.MaskablePPO: {"n_steps": 16, "batch_size": 8, "n_epochs": 1},
    sb3_contrib.RecurrentPPO: {"n_steps": 16, "batch_size": 8, "n_epochs": 1},
    sb3_contrib.ARS: {"n_delta": 2, "n_top": 1},
}
OFF_POLICY = {"learning_starts": 10, "buffer_size": 50, "batch_size": 8}
CASES = [
    pytest.param(algorithm, kind, actions, id=f"{algorithm.__name__}-{kind}-{actions}")
    for algorithm, kinds in integral_policies().items()
    for kind in KINDS[: len(kinds)]
    for actions in SUPPORTED[algorithm]
]


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


def make(
    algorithm: type[BaseAlgorithm],
    kind: str = "IntegralMlpPolicy",
    actions: str = "box",
    observations: spaces.Space[Any] | None = None,
    **policy_kwargs: Any,
) -> Any:
    env = AnySpaces(observations or OBSERVATIONS[kind], ACTIONS[actions])
    arguments: dict[str, Any] = {**ROLLOUTS.get(algorithm, OFF_POLICY), "policy_kwargs": policy_kwargs}
    return algorithm(kind, env, seed=0, device="cpu", **arguments)  # type: ignore[arg-type]


def small(kind: str, algorithm: type[BaseAlgorithm]) -> dict[str, Any]:
    """Return arguments that keep the networks of images small."""
    arguments: dict[str, Any] = {}
    if kind == "IntegralCnnPolicy":
        arguments = {"features_extractor_kwargs": {"features_dim": 32}, "net_arch": [16]}
    if kind == "IntegralMultiInputPolicy":
        arguments = {"features_extractor_kwargs": {"cnn_output_dim": 16}, "net_arch": [16, 16]}
    if algorithm is sb3_contrib.RecurrentPPO:
        arguments["lstm_hidden_size"] = 8
    return arguments


def observations_of(model: Any) -> Any:
    space = model.observation_space
    space.seed(3)
    samples = [space.sample() for _ in range(3)]
    if isinstance(space, spaces.Dict):
        return {name: np.stack([sample[name] for sample in samples]) for name in space}
    return np.stack(samples)


def actions_of(policy: BasePolicy, model: Any) -> NDArray[Any]:
    return policy.predict(observations_of(model), deterministic=True)[0]


def outputs_of(policy: BasePolicy, model: Any) -> torch.Tensor:
    """Return what the actor computes before an action is taken from it."""
    seen: list[torch.Tensor] = []
    heads = [name for name, _ in policy.named_modules() if name in HEADS]
    hooks = [
        policy.get_submodule(name).register_forward_hook(lambda *args: seen.append(args[-1].detach()))
        for name in heads
    ]
    with torch.no_grad():
        policy.set_training_mode(False)
        policy.predict(observations_of(model), deterministic=True)
    for hook in hooks:
        hook.remove()
    assert seen, "no head was run"
    return torch.cat(seen, dim=1)


HEADS = ("action_net", "q_net.q_net", "quantile_net.quantile_net", "actor.mu")


@pytest.mark.parametrize(("algorithm", "kind", "actions"), CASES)
def test_an_integral_policy_does_all_that_a_policy_does(
    algorithm: type[BaseAlgorithm], kind: str, actions: str, tmp_path: Path
) -> None:
    # given a model that has trained a little
    model = make(algorithm, kind, actions, **small(kind, algorithm))
    policy = model.policy
    assert isinstance(policy, IntegralPolicy)
    before = [parameter.detach().clone() for parameter in policy.parameters()]
    model.learn(40)
    changed = [not torch.equal(old, new) for old, new in zip(before, policy.parameters(), strict=True)]
    assert any(changed)
    full = outputs_of(policy, model)
    # when it is made smaller
    smaller = tuple(max(1, size // 2) for size in policy.max_sizes)
    policy.resize(smaller)
    outputs = outputs_of(policy, model)
    # then it is a different, smaller policy, and an ordinary one computes the same
    assert policy.sizes == smaller
    assert outputs.shape == full.shape
    assert not torch.allclose(outputs, full)
    assert 0 < policy.compression() < 100
    plain = policy.discretize()
    assert type(plain) is policy.plain_class()
    assert not any("sb3_integral" in type(module).__module__ for module in plain.modules())
    torch.testing.assert_close(outputs_of(plain, model), outputs, rtol=1e-4, atol=1e-5)
    # and it comes back from a file at that size, and can learn, and grow again
    model.save(tmp_path / "model")
    loaded: Any = algorithm.load(tmp_path / "model", env=model.get_env(), device="cpu")
    assert loaded.policy.sizes == smaller
    np.testing.assert_array_equal(actions_of(loaded.policy, model), actions_of(policy, model))
    policy.save(tmp_path / "policy")
    again = type(policy).load(tmp_path / "policy", device="cpu")
    assert again.sizes == smaller
    torch.testing.assert_close(outputs_of(again, model), outputs)
    torch.testing.assert_close(
        outputs_of(loaded.policy.resize(policy.max_sizes), model), full, rtol=1e-5, atol=1e-6
    )
    loaded.policy.resize(smaller)
    loaded.learn(20)
    assert loaded.policy.sizes == smaller


@pytest.mark.parametrize(("algorithm", "kind", "actions"), CASES)
def test_at_full_size_it_takes_the_steps_of_the_plain_policy(
    algorithm: type[BaseAlgorithm], kind: str, actions: str
) -> None:
    # given
    lstm = "Lstm" if algorithm is sb3_contrib.RecurrentPPO else ""
    stock = kind.removeprefix("Integral").replace("Policy", f"{lstm}Policy")
    # when
    states = []
    for name in (stock, kind):  # one after the other: they draw from the same generators
        model = make(algorithm, name, actions, OBSERVATIONS[kind], **small(kind, algorithm)).learn(40)
        state = model.policy.state_dict()
        states.append({key: value for key, value in state.items() if "_extra_state" not in key})
    # then
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=0.0, atol=0.0, msg=name)


def test_every_algorithm_has_the_aliases_of_the_kinds_that_it_has() -> None:
    for algorithm, kinds in integral_policies().items():
        stock = [name for name in algorithm.policy_aliases if not name.startswith("Integral")]
        ours = [name for name in algorithm.policy_aliases if name.startswith("Integral")]
        assert len(ours) == len(kinds)
        # ARS' LinearPolicy has no hidden layer.
        assert len(ours) == len([name for name in stock if name != "LinearPolicy"])
