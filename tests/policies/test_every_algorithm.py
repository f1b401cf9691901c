"""Every algorithm, kind of policy and action space: build, train, save, load, resize, predict."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sb3_contrib
import torch
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_integral.policies import IntegralPolicy
from sb3_integral.policies.registration import KINDS, integral_policies

ACTIONS = ("box", "discrete", "multi-discrete", "multi-binary")
SUPPORTED: dict[type[BaseAlgorithm], tuple[str, ...]] = {
    **dict.fromkeys((PPO, A2C, sb3_contrib.TRPO), ACTIONS),
    # Its buffer casts the stored actions to the space's int8, which its own policies cannot read:
    # MlpLstmPolicy fails on MultiBinary too.
    sb3_contrib.RecurrentPPO: ("box", "discrete", "multi-discrete"),
    **dict.fromkeys((DQN, sb3_contrib.QRDQN), ("discrete",)),
    **dict.fromkeys((SAC, TD3, DDPG, sb3_contrib.TQC, sb3_contrib.CrossQ), ("box",)),
    sb3_contrib.MaskablePPO: ("discrete", "multi-discrete", "multi-binary"),
    sb3_contrib.ARS: ("box", "discrete"),
}
CASES = [
    pytest.param(algorithm, kind, actions, id=f"{algorithm.__name__}-{kind}-{actions}")
    for algorithm, kinds in integral_policies().items()
    for kind in KINDS[: len(kinds)]
    for actions in SUPPORTED[algorithm]
]


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


@pytest.mark.parametrize(("algorithm", "kind", "actions"), CASES)
def test_an_integral_policy_does_all_that_a_policy_does(
    make_model: Callable[..., Any],
    act: Callable[..., Any],
    head_outputs: Callable[..., torch.Tensor],
    tmp_path: Path,
    algorithm: type[BaseAlgorithm],
    kind: str,
    actions: str,
) -> None:
    # given a model that has trained a little
    model = make_model(algorithm, kind, actions, **small(kind, algorithm))
    policy = model.policy
    assert isinstance(policy, IntegralPolicy)
    before = [parameter.detach().clone() for parameter in policy.parameters()]
    model.learn(40)
    changed = [not torch.equal(old, new) for old, new in zip(before, policy.parameters(), strict=True)]
    assert any(changed)
    full = head_outputs(policy, model)
    # when it is made smaller
    smaller = tuple(max(1, size // 2) for size in policy.max_sizes)
    policy.resize(smaller)
    outputs = head_outputs(policy, model)
    # then it is a different, smaller policy, and an ordinary one computes the same
    assert policy.sizes == smaller
    assert outputs.shape == full.shape
    assert not torch.allclose(outputs, full)
    assert 0 < policy.compression() < 100
    plain = policy.discretize()
    assert type(plain) is policy.plain_class()
    assert not any("sb3_integral" in type(module).__module__ for module in plain.modules())
    torch.testing.assert_close(head_outputs(plain, model), outputs, rtol=1e-4, atol=1e-5)
    # and it comes back from a file at that size, and can learn, and grow again
    model.save(tmp_path / "model")
    loaded: Any = algorithm.load(tmp_path / "model", env=model.get_env(), device="cpu")
    assert loaded.policy.sizes == smaller
    np.testing.assert_array_equal(act(loaded.policy, model), act(policy, model))
    policy.save(str(tmp_path / "policy"))
    again = type(policy).load(str(tmp_path / "policy"), device="cpu")
    assert again.sizes == smaller
    torch.testing.assert_close(head_outputs(again, model), outputs)
    torch.testing.assert_close(
        head_outputs(loaded.policy.resize(policy.max_sizes), model), full, rtol=1e-5, atol=1e-6
    )
    loaded.policy.resize(smaller)
    loaded.learn(20)
    assert loaded.policy.sizes == smaller


@pytest.mark.parametrize(("algorithm", "kind", "actions"), CASES)
def test_at_full_size_it_takes_the_steps_of_the_plain_policy(
    make_model: Callable[..., Any],
    stock: Callable[..., str],
    algorithm: type[BaseAlgorithm],
    kind: str,
    actions: str,
) -> None:
    # when
    states = []
    for name in (
        stock(algorithm, kind),
        kind,
    ):  # one after the other: they draw from the same generators
        model = make_model(algorithm, name, actions, **small(kind, algorithm)).learn(40)
        state = model.policy.state_dict()
        states.append(state)
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
