from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch import Tensor, nn
from torch.nn import functional as F

from sb3_integral import ResizablePolicy
from sb3_integral.policies import Resizable
from sb3_integral.policies.anatomy import dense, dissect
from sb3_integral.resize import RESIZE_METHODS, DenseLayer

MakePolicy = Callable[..., Any]
Outputs = Callable[[ActorCriticPolicy, Tensor], Tensor]

METHODS = sorted(RESIZE_METHODS)


def actor_modules(policy: BasePolicy) -> list[nn.Linear]:
    """Return the actor's dense layers, first to last, its heads at the end."""
    net = dissect(policy).actors[0]
    return [dense(policy, name) for name in (*net.hidden, *net.heads)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("actions", ["discrete", "box"])
def test_at_full_size_it_is_the_policy(
    make_policy: MakePolicy, outputs: Outputs, observations: Tensor, method: str, actions: str
) -> None:
    # given
    policy = make_policy(actions, ActorCriticPolicy)
    # when
    resizable = ResizablePolicy(policy, method)
    # then
    assert resizable.sizes == resizable.max_sizes == (16, 12)
    assert torch.equal(outputs(resizable.policy, observations), outputs(policy, observations))
    actions_, _ = resizable.predict(observations.numpy(), deterministic=True)
    np.testing.assert_array_equal(actions_, policy.predict(observations.numpy(), deterministic=True)[0])


@pytest.mark.parametrize("method", METHODS)
@given(sizes=st.tuples(st.integers(1, 24), st.integers(1, 24)))
def test_each_size_is_made_anew_and_the_policy_never_changes(
    make_policy: MakePolicy,
    outputs: Outputs,
    observations: Tensor,
    method: str,
    sizes: tuple[int, int],
) -> None:
    # given
    policy = make_policy("box", ActorCriticPolicy)
    state = {key: value.clone() for key, value in policy.state_dict().items()}
    resizable = ResizablePolicy(policy, method)
    random_state = torch.get_rng_state()
    # when
    returned = resizable.resize([2, 3]).resize(sizes)
    # then
    assert returned is resizable
    assert (resizable.sizes, resizable.max_sizes) == (sizes, (16, 12))
    assert tuple(m.out_features for m in actor_modules(resizable.policy)[:-1]) == sizes
    direct = ResizablePolicy(policy, method).discretize(sizes)
    assert torch.equal(outputs(resizable.policy, observations), outputs(direct, observations))
    # and back
    resizable.resize([16, 12])
    assert torch.equal(outputs(resizable.policy, observations), outputs(policy, observations))
    # and the policy is as it was
    assert resizable.full_policy is policy
    assert all(torch.equal(value, state[key]) for key, value in policy.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_done_to_the_resized_policy_does_not_reach_the_wrapped_one(
    make_policy: MakePolicy, outputs: Outputs, observations: Tensor, method: str
) -> None:
    # given
    policy = make_policy("box", ActorCriticPolicy)
    policy.set_training_mode(True)
    before = outputs(policy, observations)
    # when
    resizable = ResizablePolicy(policy, method)
    with torch.no_grad():
        for parameter in resizable.policy.parameters():
            parameter.zero_()
    # then
    assert torch.equal(outputs(policy, observations), before)
    assert policy.training
    assert not resizable.policy.training


def test_the_critic_stays_at_full_size(
    make_policy: MakePolicy, outputs: Outputs, observations: Tensor
) -> None:
    # given
    policy = make_policy("discrete", ActorCriticPolicy)
    # when
    small = ResizablePolicy(policy).discretize(4)
    # then
    assert torch.equal(outputs(small, observations)[:, -1], outputs(policy, observations)[:, -1])
    assert not torch.allclose(outputs(small, observations)[:, 0], outputs(policy, observations)[:, 0])


@pytest.mark.parametrize(("method", "rescaled"), [("bicubic", False), ("bicubic-rescaled", True)])
def test_bicubic_is_torchs_and_rescaling_is_by_the_inputs_that_are_left(
    make_policy: MakePolicy, method: str, rescaled: bool
) -> None:
    # given
    policy = make_policy("discrete", ActorCriticPolicy)
    features = (5, 8, 3, 3)
    # when
    resized = actor_modules(ResizablePolicy(policy, method).discretize([8, 3]))
    # then
    factors = (1.0, 16 / 8, 12 / 3) if rescaled else (1.0, 1.0, 1.0)
    for i, (layer, new) in enumerate(zip(actor_modules(policy), resized, strict=True)):
        shape = (features[i + 1], features[i])
        image = layer.weight.detach()[None, None]
        expected = F.interpolate(image, shape, mode="bicubic", antialias=True)[0, 0]
        torch.testing.assert_close(new.weight.detach(), expected * factors[i])


@given(sizes=st.tuples(st.integers(1, 24), st.integers(1, 24)))
def test_integral_is_what_an_integral_policy_of_these_weights_does(
    make_policy: MakePolicy, outputs: Outputs, observations: Tensor, sizes: tuple[int, int]
) -> None:
    # given: of the same seed, and so of the same weights
    plain, integral = make_policy("box", ActorCriticPolicy), make_policy("box")
    # when
    resized = ResizablePolicy(plain, "integral").resize(sizes)
    # then
    torch.testing.assert_close(
        outputs(resized.policy, observations), outputs(integral.resize(sizes), observations)
    )


def test_a_method_of_ones_own_can_be_passed(make_policy: MakePolicy) -> None:
    # given
    def first_neurons(layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        features = [layers[0].weight.shape[1], *sizes, layers[-1].weight.shape[0]]
        return [
            DenseLayer(weight[: features[i + 1], : features[i]], bias[: features[i + 1]])
            for i, (weight, bias) in enumerate(layers)
        ]

    policy = make_policy("discrete", ActorCriticPolicy)
    # when
    small = ResizablePolicy(policy, first_neurons).discretize([4, 3])
    # then
    weights = [m.weight for m in actor_modules(policy)]
    for module, expected in zip(
        actor_modules(small), [weights[0][:4], weights[1][:3, :4], weights[2][:, :3]], strict=True
    ):
        assert torch.equal(module.weight, expected)


def test_discretize_gives_an_ordinary_policy_and_keeps_the_size(
    make_policy: MakePolicy, outputs: Outputs, observations: Tensor
) -> None:
    # given
    resizable = ResizablePolicy(make_policy("box", ActorCriticPolicy)).resize([5, 7])
    # when
    other, same = resizable.discretize(3), resizable.discretize()
    # then
    assert type(other) is type(same) is ActorCriticPolicy
    assert resizable.sizes == (5, 7)
    assert [m.out_features for m in actor_modules(other)] == [3, 3, 2]
    assert torch.equal(outputs(same, observations), outputs(resizable.policy, observations))


def test_compression_is_that_of_an_integral_policy_of_the_same_sizes(make_policy: MakePolicy) -> None:
    # given
    resizable = ResizablePolicy(make_policy("box", ActorCriticPolicy))
    integral = make_policy("box")
    # then
    assert resizable.compression() == 0.0
    assert resizable.compression([4, 3]) == integral.compression([4, 3]) > 0.0
    assert resizable.resize([4, 3]).compression() == integral.compression([4, 3])


def test_a_bad_size_is_refused_and_the_size_stays(
    make_policy: MakePolicy, bad_size: tuple[Any, str, str]
) -> None:
    # given
    size, value, expected = bad_size
    resizable = ResizablePolicy(make_policy("discrete", ActorCriticPolicy)).resize([5, 6])
    in_force = resizable.policy
    # when / then
    for change in (resizable.resize, resizable.discretize, resizable.compression):
        with pytest.raises(ValueError, match="got") as caught:
            change(size)
        assert value in str(caught.value)
        assert expected in str(caught.value)
    assert resizable.sizes == (5, 6)
    assert resizable.policy is in_force


def test_a_method_that_fails_leaves_size_and_policy_as_they_were(make_policy: MakePolicy) -> None:
    # given
    def only_full(layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        if sizes[0] != 16:
            raise RuntimeError("cannot do that")
        return list(layers)

    resizable = ResizablePolicy(make_policy("discrete", ActorCriticPolicy), only_full)
    in_force = resizable.policy
    # when / then
    with pytest.raises(RuntimeError, match="cannot do that"):
        resizable.resize(4)
    assert resizable.sizes == (16, 12)
    assert resizable.policy is in_force


def test_an_unknown_method_is_named_with_the_known_ones(make_policy: MakePolicy) -> None:
    with pytest.raises(ValueError, match="'nearest'") as caught:
        ResizablePolicy(make_policy("discrete", ActorCriticPolicy), "nearest")
    assert all(name in str(caught.value) for name in METHODS)


def test_an_integral_policy_is_refused(make_policy: MakePolicy) -> None:
    with pytest.raises(ValueError, match="IntegralActorCriticPolicy resizes itself"):
        ResizablePolicy(make_policy())


def test_a_model_in_place_of_its_policy_is_refused() -> None:
    model = PPO("MlpPolicy", "CartPole-v1", device="cpu")
    with pytest.raises(ValueError, match=r"model\.policy.*got PPO"):
        ResizablePolicy(model)


def test_a_policy_without_hidden_layers_is_refused(make_policy: MakePolicy) -> None:
    policy = make_policy("discrete", ActorCriticPolicy, net_arch=[])
    with pytest.raises(ValueError, match="no hidden layer"):
        ResizablePolicy(policy)


def test_a_policy_with_noise_as_wide_as_its_last_layer_is_refused(make_policy: MakePolicy) -> None:
    policy = make_policy("box", ActorCriticPolicy, use_sde=True, net_arch=[8])
    with pytest.raises(ValueError, match="use_sde=True"):
        ResizablePolicy(policy)


def test_what_can_be_resized_is_told_from_what_cannot(make_policy: MakePolicy) -> None:
    # given
    plain = make_policy("discrete", ActorCriticPolicy)
    # then
    assert isinstance(make_policy(), Resizable)
    assert isinstance(ResizablePolicy(plain), Resizable)
    assert not isinstance(plain, Resizable)
    assert not isinstance(nn.Linear(2, 2), Resizable)
