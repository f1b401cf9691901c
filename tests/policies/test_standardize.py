from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import Tensor

from sb3_integral import IntegralActorCriticPolicy, ResizablePolicy
from sb3_integral.policies import StandardizeExtractor

MakePolicy = Callable[..., Any]
Outputs = Callable[[ActorCriticPolicy, Tensor], Tensor]


def extractor(*shape: int) -> StandardizeExtractor:
    return StandardizeExtractor(spaces.Box(-1e3, 1e3, shape, np.float32))


def fitted(policy: ActorCriticPolicy) -> Any:
    """Give each of a policy's extractors statistics of its own."""
    for i, module in enumerate(m for m in policy.modules() if isinstance(m, StandardizeExtractor)):
        generator = torch.Generator().manual_seed(i)
        module.fit(3.0 * torch.randn(50, 5, generator=generator) + torch.arange(5.0) * (i + 1))
    return policy


@given(
    mean=st.lists(st.floats(-100, 100), min_size=3, max_size=3),
    std=st.lists(st.floats(0.01, 100), min_size=3, max_size=3),
)
def test_fitted_features_have_zero_mean_and_unit_variance(mean: list[float], std: list[float]) -> None:
    # given
    noise = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    samples = noise * torch.tensor(std) + torch.tensor(mean)
    module = extractor(3)
    # when
    module.fit(samples)
    # then
    features = module(samples)
    torch.testing.assert_close(features.mean(dim=0), torch.zeros(3), atol=1e-2, rtol=0.0)
    torch.testing.assert_close(features.std(dim=0, correction=0), torch.ones(3), atol=1e-2, rtol=0.0)


def test_standardisation_by_hand() -> None:
    # given
    module = extractor(2)
    # when: means 2 and 10, standard deviations 1 and 5
    module.fit(torch.tensor([[1.0, 5.0], [3.0, 15.0]]))
    # then
    expected = torch.tensor([[0.0, 0.0], [-2.0, 1.0]])
    torch.testing.assert_close(module(torch.tensor([[2.0, 10.0], [0.0, 15.0]])), expected)


def test_a_constant_feature_is_centred_and_not_scaled() -> None:
    # given
    module = extractor(2)
    # when
    module.fit(torch.tensor([[1.0, 7.0], [3.0, 7.0]]))
    # then
    torch.testing.assert_close(module(torch.tensor([[2.0, 9.0]])), torch.tensor([[0.0, 2.0]]))


def test_until_it_is_fitted_it_flattens_only(observations: Tensor) -> None:
    # given
    stacked = observations[:30].reshape(6, 5, 5)
    # then
    assert extractor(5, 5).features_dim == 25
    assert torch.equal(extractor(5, 5)(stacked), stacked.reshape(6, 25))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_refused_and_changes_nothing(value: float) -> None:
    # given
    module = extractor(2)
    module.fit(torch.tensor([[1.0, 5.0], [3.0, 15.0]]))
    before = module(torch.ones(1, 2))
    # when / then
    with pytest.raises(ValueError, match="NaN or infinity"):
        module.fit(torch.tensor([[1.0, value], [3.0, 15.0]]))
    assert torch.equal(module(torch.ones(1, 2)), before)


def test_the_statistics_are_saved_and_not_trained() -> None:
    # given
    module, other = extractor(2), extractor(2)
    module.fit(torch.tensor([[1.0, 5.0], [3.0, 15.0]]))
    # when
    other.load_state_dict(module.state_dict())
    # then
    assert list(module.parameters()) == []
    assert torch.equal(other(torch.ones(1, 2)), module(torch.ones(1, 2)))
    assert not torch.equal(other(torch.ones(1, 2)), torch.ones(1, 2))


def test_a_model_learns_on_them_and_brings_them_back(outputs: Outputs, tmp_path: Path) -> None:
    # given
    model = PPO(
        "IntegralMlpPolicy",
        "Pendulum-v1",
        n_steps=128,
        seed=0,
        device="cpu",
        policy_kwargs={"net_arch": [8], "features_extractor_class": StandardizeExtractor},
    )
    samples = torch.as_tensor(np.stack([model.observation_space.sample() for _ in range(16)]))
    model.policy.features_extractor.fit(samples)
    statistics = model.policy.features_extractor.scale.clone()
    # when
    model.learn(128)
    model.save(tmp_path / "model")
    loaded = PPO.load(tmp_path / "model", device="cpu")
    # then
    assert torch.equal(model.policy.features_extractor.scale, statistics)
    assert torch.equal(loaded.policy.features_extractor.scale, statistics)
    assert torch.equal(outputs(loaded.policy, samples), outputs(model.policy, samples))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("actions", ["discrete", "box"])
@given(sizes=st.tuples(st.integers(1, 24), st.integers(1, 24)))
def test_a_discretized_policy_has_them_folded_into_its_first_layers(
    make_policy: MakePolicy,
    outputs: Outputs,
    observations: Tensor,
    actions: str,
    shared: bool,
    sizes: tuple[int, int],
) -> None:
    # given: statistics that matter, of the actor's own where nothing is shared
    kwargs = {"features_extractor_class": StandardizeExtractor, "share_features_extractor": shared}
    policy = fitted(make_policy(actions, **kwargs))
    # when
    plain = policy.discretize(sizes)
    # then
    assert type(plain) is ActorCriticPolicy
    assert plain.features_extractor_class is FlattenExtractor
    homes = {type(module).__module__ for module in plain.modules()}
    assert not any(home.startswith("sb3_integral") for home in homes)
    assert policy.sizes == (16, 12)
    torch.testing.assert_close(
        outputs(plain, observations), outputs(policy.resize(sizes), observations), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("method", ["bicubic", "bicubic-rescaled", "integral"])
def test_a_resizable_policy_at_full_size_is_the_policy_with_them_folded(
    make_policy: MakePolicy, outputs: Outputs, observations: Tensor, method: str
) -> None:
    # given
    policy = fitted(make_policy("box", ActorCriticPolicy, features_extractor_class=StandardizeExtractor))
    # when
    plain = ResizablePolicy(policy, method).policy
    # then
    assert not any(isinstance(module, StandardizeExtractor) for module in plain.modules())
    torch.testing.assert_close(
        outputs(plain, observations), outputs(policy, observations), rtol=1e-5, atol=1e-5
    )


def test_observations_of_more_dimensions_are_folded_too(outputs: Outputs) -> None:
    # given
    policy = IntegralActorCriticPolicy(
        spaces.Box(-1, 1, (2, 3)),
        spaces.Discrete(2),
        lambda _: 1e-3,
        net_arch=[8],
        features_extractor_class=StandardizeExtractor,
    )
    samples = torch.randn(20, 2, 3, generator=torch.Generator().manual_seed(0)) + 2.0
    policy.features_extractor.fit(samples)
    # when
    plain = policy.discretize(5)
    # then
    torch.testing.assert_close(
        outputs(plain, samples), outputs(policy.resize(5), samples), rtol=1e-5, atol=1e-5
    )
