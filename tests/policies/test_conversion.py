from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_integral import IntegralActorCriticPolicy
from sb3_integral.imitation import StudentArchitecture
from sb3_integral.policies import init_from, make_integral

IMAGES = spaces.Box(0, 255, (3, 40, 40), np.uint8)


def variation(policy: ActorCriticPolicy) -> float:
    weight = policy.mlp_extractor.policy_net[2].weight.detach()
    return float(weight.diff(dim=0).abs().sum() + weight.diff(dim=1).abs().sum())


@pytest.mark.parametrize("actions", ["discrete", "box"])
@pytest.mark.parametrize("permute", [True, False])
def test_at_full_size_it_acts_as_the_policy(make_policy, observations, outputs, actions, permute):
    if permute:
        pytest.importorskip("fast_tsp")
    plain = make_policy(actions, policy_class=ActorCriticPolicy)
    integral = make_integral(plain, permute=permute)
    assert type(integral) is IntegralActorCriticPolicy
    assert integral.sizes == (16, 12)
    torch.testing.assert_close(outputs(integral, observations), outputs(plain, observations))
    if permute:
        assert variation(integral) < variation(plain)
    assert integral.resize(5).predict(observations.numpy())[0].shape[0] == len(observations)


def test_the_policy_keeps_its_weights(make_policy):
    plain = make_policy(policy_class=ActorCriticPolicy)
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    integral = make_integral(plain, permute=False)
    with torch.no_grad():
        for parameter in integral.parameters():
            parameter.zero_()
    for name, value in plain.state_dict().items():
        assert torch.equal(value, before[name])


def test_what_cannot_be_converted_is_refused(make_policy):
    with pytest.raises(ValueError, match="got IntegralActorCriticPolicy"):
        make_integral(make_policy())
    noisy = make_policy("box", policy_class=ActorCriticPolicy, use_sde=True)
    with pytest.raises(ValueError, match="use_sde=True"):
        make_integral(noisy)


def test_a_policy_without_hidden_layers_has_no_size_to_choose(make_policy):
    flat = make_policy(policy_class=ActorCriticPolicy, net_arch={"pi": [], "vf": [4]})
    assert make_integral(flat).sizes == ()


@pytest.mark.parametrize("actions", ["discrete", "box"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"nested": True},
        {"nested": True, "scale_levels": 4},
        {},
        {"grid_size": 20},
        {"kernel": "b-spline", "quadrature": "midpoint"},
    ],
    ids=str,
)
def test_it_begins_at_a_trained_policy_and_acts_as_that(
    make_policy, observations, outputs, actions, arguments
):
    pytest.importorskip("fast_tsp")
    plain = make_policy(actions, policy_class=ActorCriticPolicy)
    integral = make_policy(actions, seed=1, **arguments)
    assert init_from(integral, plain) is integral
    torch.testing.assert_close(outputs(integral, observations), outputs(plain, observations))


@pytest.mark.parametrize(
    "space",
    [spaces.Dict({"a": spaces.Box(-1, 1, (3,)), "b": spaces.Discrete(2)}), IMAGES],
    ids=["dictionaries", "images"],
)
def test_it_begins_at_a_policy_of_dictionaries_or_images(space):
    pytest.importorskip("fast_tsp")
    # given policies with other weights
    integral, plain = (
        StudentArchitecture(kind, (16, 12), nested=False).build(space, spaces.Discrete(3), seed)
        for seed, kind in enumerate(("integral", "plain"))
    )
    # when
    init_from(integral, plain)
    # then
    observations, _ = plain.obs_to_tensor(batch_space(space, 2).sample())
    with torch.no_grad():
        got, expected = (
            policy.get_distribution(observations).distribution.logits for policy in (integral, plain)
        )
    torch.testing.assert_close(got, expected)
    assert variation(integral) < variation(plain)


def test_channels_that_nest_are_refused():
    integral, plain = (
        StudentArchitecture(kind, (16, 12)).build(IMAGES, spaces.Discrete(3), 0)
        for kind in ("integral", "plain")
    )
    with pytest.raises(ValueError, match="channels keep their order"):
        init_from(integral, plain)


def test_neurons_that_are_alike_lie_side_by_side_where_partitions_nest(make_policy):
    """Half of the nodes of a nested axis are every second one of the path, as of an even one."""
    pytest.importorskip("fast_tsp")
    plain = make_policy(policy_class=ActorCriticPolicy, net_arch=[16, 16])
    first, second, last = *plain.mlp_extractor.policy_net[::2], plain.action_net
    with torch.no_grad():  # each neuron twice
        for layer in (first, second):
            layer.weight[8:] = layer.weight[:8]
            layer.bias[8:] = layer.bias[:8]
        for layer in (second, last):
            layer.weight[:, 8:] = layer.weight[:, :8]
    integral = init_from(make_policy(net_arch=[16, 16], nested=True), plain).resize(8)
    weight, _ = integral.mlp_extractor.policy_net[0].discrete_parameters()
    assert len(torch.unique(weight, dim=0)) == 8


def test_what_it_cannot_start_from_is_refused(make_policy):
    plain = make_policy(policy_class=ActorCriticPolicy)
    other = make_policy(policy_class=ActorCriticPolicy, net_arch=[16, 13])
    relu = make_policy(policy_class=ActorCriticPolicy, activation_fn=torch.nn.ReLU)
    for policy, got in ((other, r"\[16, 13\] and Tanh"), (relu, r"\[16, 12\] and ReLU")):
        with pytest.raises(ValueError, match=rf"expected .* \[16, 12\] and Tanh, got {got}"):
            init_from(make_policy(), policy)
    with pytest.raises(ValueError, match="expected no grid_size"):
        init_from(make_policy(nested=True, grid_size=20), plain)
    integral = make_policy(net_arch={"pi": [16, 12], "vf": [7, 7]})
    before = {name: value.clone() for name, value in integral.state_dict().items()}
    for critic, message in (
        ([5, 7], r"value_net\.0\.weight of shape \(7, 5\), got \(5, 5\)"),
        ([7], r"value_net\.2\..* of shape \(7,.*\), got none"),
        ([7, 7, 7], r"value_net\.4\.weight of shape none, got \(7, 7\)"),
    ):
        plain = make_policy(policy_class=ActorCriticPolicy, net_arch={"pi": [16, 12], "vf": critic})
        with pytest.raises(ValueError, match=rf"expected mlp_extractor\.{message}"):
            init_from(integral, plain, permute=False)
    for name, value in integral.state_dict().items():
        assert torch.equal(value, before[name])
