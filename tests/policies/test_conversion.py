from __future__ import annotations

import pytest
import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_integral import IntegralActorCriticPolicy
from sb3_integral.policies import make_integral


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
    flat = make_policy(policy_class=ActorCriticPolicy, net_arch={"pi": [], "vf": [4]})
    with pytest.raises(ValueError, match="at least two"):
        make_integral(flat)
