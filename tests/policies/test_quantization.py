from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib import QRDQN, TQC, CrossQ, RecurrentPPO
from stable_baselines3 import DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from sb3_integral.policies import (
    ResizablePolicy,
    StandardizeExtractor,
    WeightFormat,
    actor_bytes,
    quantized,
)
from sb3_integral.policies.layout import find_actor

INT4, INT8 = WeightFormat(4, "tensor"), WeightFormat(8, "row")
ACTOR = ("mlp_extractor.policy_net.0", "mlp_extractor.policy_net.2", "action_net")


def weights_of(policy: nn.Module, name: str) -> torch.Tensor:
    return policy.get_parameter(f"{name}.weight").detach()


@pytest.mark.parametrize("actions", ["box", "discrete"])
@pytest.mark.parametrize("weights", [INT4, INT8], ids=lambda each: each.name)
def test_the_actors_weights_are_rounded_and_nothing_else_is(
    make_policy: Any, actions: str, weights: WeightFormat
) -> None:
    # given
    policy = make_policy(actions, ActorCriticPolicy)
    before = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    # when
    rounded = quantized(policy, weights)
    # then
    assert type(rounded) is ActorCriticPolicy
    assert not rounded.training
    for name, tensor in rounded.state_dict().items():
        is_weight = name.removesuffix(".weight") in ACTOR
        expected = weights.rounded(before[name]) if is_weight else before[name]
        assert torch.equal(tensor, expected), name
        assert torch.equal(policy.state_dict()[name], before[name]), name
    levels = rounded.action_net.weight[0].unique()
    assert len(levels) <= 2 * weights.limit + 1


def test_an_integral_policy_is_sampled_and_then_rounded(make_policy: Any, observations: Any) -> None:
    # given
    policy = make_policy("box")
    for size in (None, 7, (9, 4)):
        # when
        rounded = quantized(policy, INT4, size)
        # then
        discrete = quantized(policy.discretize(size), INT4)
        assert type(rounded) is ActorCriticPolicy
        for name in ACTOR:
            assert torch.equal(weights_of(rounded, name), weights_of(discrete, name))
        seen = observations.numpy()
        wanted = discrete.predict(seen, deterministic=True)[0]
        assert np.array_equal(rounded.predict(seen, deterministic=True)[0], wanted)
    assert policy.sizes == policy.max_sizes


def test_a_wrapper_is_resized_and_then_rounded(make_policy: Any) -> None:
    wrapper = ResizablePolicy(make_policy("discrete", ActorCriticPolicy))
    rounded, discrete = quantized(wrapper, INT8, 6), quantized(wrapper.discretize(6), INT8)
    for name in ACTOR:
        assert torch.equal(weights_of(rounded, name), weights_of(discrete, name))
    with wrapper.resized(6):
        assert len(quantized(wrapper, INT8).action_net.weight[0]) == 6


def test_standardisation_stays_beside_the_whole_numbers(student: Any) -> None:
    # given a student whose features differ a hundredfold
    student.features_extractor.scale.mul_(torch.tensor([1.0, 0.01, 10.0, 1.0]))
    scale, shift = student.features_extractor.scale, student.features_extractor.shift
    first = student.mlp_extractor.policy_net[0]
    weight, bias = first.discrete_parameters()
    # when
    rounded = quantized(student, INT4)
    # then nothing of this library is left, and what is folded into the layer is not rounded
    assert not any(isinstance(part, StandardizeExtractor) for part in rounded.modules())
    folded = rounded.mlp_extractor.policy_net[0]
    torch.testing.assert_close(folded.weight, INT4.rounded(weight) * scale)
    torch.testing.assert_close(folded.bias, bias + INT4.rounded(weight) @ shift)
    # and folded before, the small features would be lost
    lossy = quantized(student.discretize(), INT4).mlp_extractor.policy_net[0]
    assert not lossy.weight[:, 1].any()
    assert folded.weight[:, 1].any()


def test_a_plain_student_keeps_its_standardisation(make_policy: Any, observations: Any) -> None:
    policy = make_policy("box", ActorCriticPolicy, features_extractor_class=StandardizeExtractor)
    policy.features_extractor.fit(observations)
    rounded = quantized(policy, INT8)
    assert torch.equal(rounded.features_extractor.scale, policy.features_extractor.scale)
    got, wanted = (each.get_distribution(observations).mode() for each in (rounded, policy))
    torch.testing.assert_close(got, wanted, rtol=0.05, atol=0.2)


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        *((each, "IntegralMlpPolicy") for each in (DQN, QRDQN, SAC, TD3, TQC, CrossQ, RecurrentPPO)),
        (PPO, "IntegralCnnPolicy"),
        (PPO, "IntegralMultiInputPolicy"),
    ],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_every_kind_of_policy_is_rounded(
    make_model: Callable[..., Any],
    act: Callable[[Any, Any], Any],
    algorithm: type[BaseAlgorithm],
    kind: str,
) -> None:
    # given
    model = make_model(algorithm, kind)
    model.policy.set_training_mode(False)
    # when
    rounded = quantized(model, WeightFormat(16))
    # then every matrix before the action has rounded rows, and the actions are nearly the same
    actor = find_actor(rounded)
    parts = [actor.extractor, *actor.layers, *([actor.memory] if actor.memory else [])]
    matrices = [
        parameter
        for part in parts
        for parameter in rounded.get_submodule(part).parameters()
        if parameter.dim() >= 2
    ]
    assert matrices
    for matrix in matrices:
        torch.testing.assert_close(WeightFormat(16).rounded(matrix), matrix, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(act(rounded, model), act(model.policy, model), atol=1e-2)
    assert actor_bytes(model, WeightFormat(16)) < actor_bytes(model) < 4 * actor_bytes(model, INT8)


def test_bytes_are_those_counted_by_hand(make_policy: Any) -> None:
    # given an actor of 5 x 16, 16 x 12 and 12 x 2 weights
    policy = make_policy("box", ActorCriticPolicy)
    n_weights, n_biases = 80 + 192 + 24, 16 + 12 + 2
    assert actor_bytes(policy) == 4 * (n_weights + n_biases)
    assert actor_bytes(policy, INT8) == n_weights + 4 * (n_biases + n_biases)
    assert actor_bytes(policy, INT4) == n_weights // 2 + 4 * (3 + n_biases)
    rows_of_int4 = 16 * 3 + 12 * 8 + 2 * 6
    assert actor_bytes(policy, WeightFormat(4)) == rows_of_int4 + 4 * (n_biases + n_biases)


def test_bytes_are_those_of_the_size(make_policy: Any) -> None:
    for policy in (make_policy("box"), ResizablePolicy(make_policy("box", ActorCriticPolicy))):
        small = policy.discretize((4, 3))
        for weights in (None, INT4, INT8):
            assert actor_bytes(policy, weights, (4, 3)) == actor_bytes(small, weights)
        assert actor_bytes(policy, INT8, (4, 3)) == (20 + 12 + 6) + 4 * 2 * (4 + 3 + 2)


def test_standardisation_takes_two_floats_a_feature(student: Any) -> None:
    small = student.discretize(5)
    assert actor_bytes(student, INT8, 5) == actor_bytes(small, INT8) + 4 * 2 * 4
    assert actor_bytes(student, None, 5) == actor_bytes(small)


def test_a_plain_policy_has_no_sizes(make_policy: Any) -> None:
    policy = make_policy("box", ActorCriticPolicy)
    with pytest.raises(ValueError, match="has one size, got size=5"):
        quantized(policy, INT8, 5)
    with pytest.raises(ValueError, match="has one size, got size=5"):
        actor_bytes(policy, INT8, 5)
    with pytest.raises(ValueError, match="expected a policy of SB3"):
        quantized(nn.Linear(2, 2), INT8)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_refused(make_policy: Any, value: float) -> None:
    policy = make_policy("box", ActorCriticPolicy)
    with torch.no_grad():
        policy.action_net.weight[1, 2] = value
    with pytest.raises(ValueError, match=r"action_net\.weight has numbers that are NaN or infinite"):
        quantized(policy, INT8)
