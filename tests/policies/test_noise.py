"""State-dependent exploration (gSDE) on an axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sb3_contrib import TQC, TRPO, CrossQ, RecurrentPPO
from stable_baselines3 import A2C, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.distributions import StateDependentNoiseDistribution
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch import Tensor

from sb3_integral.nn import Axis
from sb3_integral.policies.layout import find_gsde
from sb3_integral.policies.noise import AxisNoise

MakeModel = Callable[..., Any]

ON_POLICY: list[dict[str, Any]] = [
    {},
    {"use_expln": True},
    {"full_std": False},
    {"squash_output": True},
    {"use_expln": True, "full_std": False, "log_std_init": -0.5},
]
OFF_POLICY: list[dict[str, Any]] = [{}, {"use_expln": True, "log_std_init": 0.5}, {"clip_mean": 0.0}]
CASES = [
    pytest.param(algorithm, kwargs, id="-".join([algorithm.__name__, *map(str, kwargs)]))
    for algorithms, options in (
        ((PPO, A2C), ON_POLICY),
        ((SAC, TQC), OFF_POLICY),
        ((TRPO, RecurrentPPO), ON_POLICY[:1]),
        ((CrossQ,), OFF_POLICY[:1]),
    )
    for algorithm in algorithms
    for kwargs in options
]


def noisy(make_model: MakeModel, algorithm: type[BaseAlgorithm], kind: str, **kwargs: Any) -> Any:
    if algorithm is RecurrentPPO:
        kwargs["lstm_hidden_size"] = 8
    arguments = {"use_sde": True, "sde_sample_freq": 4}
    if algorithm is CrossQ:
        del arguments["sde_sample_freq"]
    return make_model(algorithm, kind, arguments=arguments, **{"net_arch": [16, 12], **kwargs})


def log_std_of(policy: BasePolicy) -> Tensor:
    gsde = find_gsde(policy)
    assert gsde is not None
    parameters: dict[str, Tensor] = dict(policy.named_parameters())
    return parameters[gsde.log_std].detach()


def std_of(policy: Any, observations: Tensor) -> Tensor:
    with torch.no_grad():
        std: Tensor = policy.get_distribution(observations).distribution.stddev
    return std


def of_grid(
    grid_size: int, *, log_std_init: float = -1.0, full_std: bool = True, use_expln: bool = False
) -> tuple[AxisNoise, Axis, Tensor]:
    """Return noise on an axis, the axis, and a log-std in which each feature has its own."""
    axis = Axis(grid_size)
    plain = StateDependentNoiseDistribution(2, full_std=full_std, use_expln=use_expln)
    _, log_std = plain.proba_distribution_net(grid_size, log_std_init)
    spread = torch.linspace(-0.5, 0.5, log_std.numel()).view(log_std.shape)
    return AxisNoise.from_plain(plain, axis), axis, log_std.detach() + spread


# ---------------------------------------------------------------- at full size


@pytest.mark.parametrize(("algorithm", "kwargs"), CASES)
def test_at_full_size_it_takes_the_steps_of_the_plain_policy(
    make_model: MakeModel,
    stock: Callable[..., str],
    algorithm: type[BaseAlgorithm],
    kwargs: dict[str, Any],
) -> None:
    # when
    states = []
    for kind in (stock(algorithm, "IntegralMlpPolicy"), "IntegralMlpPolicy"):
        state = noisy(make_model, algorithm, kind, **kwargs).learn(40).policy.state_dict()
        states.append(state)
    # then
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(states[1][name], value), name


def test_at_full_size_the_latent_is_not_touched() -> None:
    # given
    noise, _, log_std = of_grid(9)
    plain = StateDependentNoiseDistribution(2)
    plain.proba_distribution_net(9)
    mean, latent = torch.zeros(4, 2), torch.randn(4, 9, generator=torch.Generator().manual_seed(0))
    # then
    ours, theirs = (d.proba_distribution(mean, log_std, latent) for d in (noise, plain))
    assert torch.equal(ours.distribution.stddev, theirs.distribution.stddev)
    assert noise.discrete_log_std(log_std) is log_std


# ---------------------------------------------------------------- at another


@pytest.mark.parametrize(("algorithm", "kwargs"), CASES)
def test_at_another_size_it_trains_and_says_how_likely_an_action_is(
    make_model: MakeModel, algorithm: type[BaseAlgorithm], kwargs: dict[str, Any]
) -> None:
    # given
    model = noisy(make_model, algorithm, "IntegralMlpPolicy", **kwargs)
    policy = model.policy.resize([7, 5])
    before = log_std_of(policy).clone()
    # when
    model.learn(40)
    # then
    assert policy.sizes == (7, 5)
    assert all(parameter.isfinite().all() for parameter in policy.parameters())
    # and has learned how much to explore
    assert not torch.equal(log_std_of(policy), before)
    # and a sampled action has a likelihood
    if hasattr(policy, "actor"):
        with torch.no_grad():
            _, log_prob = policy.actor.action_log_prob(torch.zeros(6, 4))
        assert log_prob.shape == (6,)
        assert log_prob.isfinite().all()
    elif algorithm is not RecurrentPPO:
        with torch.no_grad():
            actions, _, log_prob = policy(torch.zeros(6, 4))
            _, again, _ = policy.evaluate_actions(torch.zeros(6, 4), actions)
        assert log_prob.isfinite().all()
        torch.testing.assert_close(again, log_prob, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [5, 12, 30])
def test_what_is_drawn_varies_as_the_distribution_says(make_policy: Any, size: int) -> None:
    # given: an exploration matrix for each of many copies of one observation
    policy = make_policy("box", use_sde=True, log_std_init=-1.5).resize([16, size])
    observations = torch.ones(4000, 5)
    generator = torch.random.get_rng_state()
    torch.manual_seed(0)
    policy.reset_noise(len(observations))
    # when
    with torch.no_grad():
        distribution = policy.get_distribution(observations)
        drawn = distribution.sample() - distribution.mode()
    torch.random.set_rng_state(generator)
    # then
    expected = distribution.distribution.stddev[0]
    torch.testing.assert_close(drawn.std(dim=0), expected, rtol=0.05, atol=0.0)
    torch.testing.assert_close(
        drawn.mean(dim=0), torch.zeros(2), rtol=0.0, atol=float(expected.max()) / 15
    )


@given(size=st.integers(2, 40))
def test_how_much_it_varies_is_continuous_in_the_size(
    make_policy: Any, observations: Tensor, size: int
) -> None:
    # given
    policy = make_policy("box", use_sde=True, log_std_init=-1.0, net_arch=[16])
    full = std_of(policy, observations)
    # when
    smaller = std_of(policy.resize(size - 1), observations)
    std = std_of(policy.resize(size), observations)
    # then: from one size to the next
    if size > 8:
        assert (std.mean() / smaller.mean()).log().abs() < math.log(1.3)
    # and it stays in the range of an integral of noise that is independent from node to node
    aliasing = max(1.0, math.sqrt(16 / size))
    assert 0.5 * full.mean() < std.mean() < 2.0 * aliasing * full.mean()


@given(size=st.integers(9, 60))
def test_noise_over_equal_neurons_is_the_same_at_every_size_above_the_grid(size: int) -> None:
    # given: a latent that is one function, sampled
    noise, axis, log_std = of_grid(9)
    mean = torch.zeros(1, 2)
    full = noise.proba_distribution(mean, log_std, torch.ones(1, 9)).distribution.stddev
    # when
    axis.resize(size)
    std = noise.proba_distribution(mean, log_std, torch.ones(1, size)).distribution.stddev
    # then
    torch.testing.assert_close(std, full, rtol=0.1, atol=0.0)


def test_the_noise_learns_at_every_node(make_policy: Any, observations: Tensor) -> None:
    # given
    policy = make_policy("box", use_sde=True).resize([5, 7])
    # when
    _, log_prob, entropy = policy.evaluate_actions(observations, torch.zeros(len(observations), 2))
    (log_prob.sum() + entropy.sum()).backward()
    # then
    assert policy.log_std.shape == (12, 2)
    assert (policy.log_std.grad.abs() > 0).all()


def test_another_grid_has_as_many_rows_of_noise(make_policy: Any, observations: Tensor) -> None:
    # given
    policy = make_policy("box", use_sde=True, grid_size=[9, 20])
    # then
    assert policy.log_std.shape == (20, 2)
    for size in (12, 5, 20, 33):
        assert std_of(policy.resize([16, size]), observations).isfinite().all()


def test_where_nothing_is_hidden_the_noise_reads_the_features(make_model: MakeModel) -> None:
    # given
    model = make_model(
        PPO,
        "IntegralCnnPolicy",
        arguments={"use_sde": True},
        net_arch=[],
        features_extractor_kwargs={"features_dim": 16},
    )
    # when
    model.policy.resize([16, 16, 16, 5])
    model.learn(16)
    # then
    assert model.policy.log_std.shape == (16, 2)
    assert model.policy.discretize().log_std.shape == (5, 2)


def test_without_gsde_there_is_no_noise_to_find(make_policy: Any) -> None:
    assert find_gsde(make_policy("box")) is None
    assert find_gsde(make_policy("discrete")) is None
    gsde = find_gsde(make_policy("box", use_sde=True))
    assert gsde is not None
    assert isinstance(gsde.distribution, AxisNoise)


# ---------------------------------------------------------------- leaving the axis


@pytest.mark.parametrize("full_std", [True, False])
@pytest.mark.parametrize("use_expln", [True, False])
@pytest.mark.parametrize("log_std_init", [-2.0, 0.5])
def test_where_samples_are_nodes_the_discrete_noise_is_the_same_by_hand(
    log_std_init: float, use_expln: bool, full_std: bool
) -> None:
    # given: every second of 17 nodes, each of which stands for the next one too, but for the last
    noise, axis, log_std = of_grid(17, log_std_init=log_std_init, full_std=full_std, use_expln=use_expln)
    axis.resize(9)
    # when
    discrete = noise.discrete_log_std(log_std)
    # then
    assert discrete.shape == (9, log_std.shape[1])
    columns = log_std.shape[1]
    variance = noise.get_std(log_std)[:, :columns].square()
    expected = torch.cat([variance[:-1:2] + variance[1::2], variance[-1:]]).sqrt()
    plain = StateDependentNoiseDistribution(2, full_std=full_std, use_expln=use_expln)
    plain.proba_distribution_net(9)
    torch.testing.assert_close(plain.get_std(discrete)[:, :columns], expected, rtol=1e-4, atol=1e-5)
    if not use_expln:
        torch.testing.assert_close(discrete, expected.log())
    # and so is the distribution
    latent = torch.randn(4, 9, generator=torch.Generator().manual_seed(0))
    ours = noise.proba_distribution(torch.zeros(4, 2), log_std, latent).distribution.stddev
    theirs = plain.proba_distribution(torch.zeros(4, 2), discrete, latent).distribution.stddev
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kwargs", ON_POLICY, ids=str)
@given(sizes=st.tuples(st.integers(1, 24), st.integers(4, 12)))
def test_a_discretized_policy_acts_the_same_and_explores_as_much(
    make_policy: Any, observations: Tensor, kwargs: dict[str, Any], sizes: tuple[int, int]
) -> None:
    # given
    policy = make_policy("box", use_sde=True, **{"log_std_init": -1.0, **kwargs}).resize([3, 20])
    # when
    plain = policy.discretize(sizes)
    policy.resize(sizes)
    # then
    assert type(plain) is ActorCriticPolicy
    assert type(plain.action_dist) is StateDependentNoiseDistribution
    assert plain.use_sde
    assert plain.action_dist.full_std == kwargs.get("full_std", True)
    assert plain.action_dist.use_expln == kwargs.get("use_expln", False)
    assert plain.log_std.shape == (sizes[1], 2 if kwargs.get("full_std", True) else 1)
    assert plain.log_std.isfinite().all()
    ours, _ = policy.predict(observations.numpy(), deterministic=True)
    theirs, _ = plain.predict(observations.numpy(), deterministic=True)
    np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        std_of(plain, observations), std_of(policy, observations), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("use_expln", [False, True])
def test_however_small_the_discrete_noise_is_finite(
    make_policy: Any, observations: Tensor, use_expln: bool
) -> None:
    # given
    policy = make_policy("box", use_sde=True, use_expln=use_expln, net_arch=[32], log_std_init=0.0)
    # when
    plain = policy.discretize(2)
    # then
    assert std_of(plain, observations).isfinite().all()


@pytest.mark.parametrize(("algorithm", "kwargs"), CASES)
def test_it_comes_back_from_a_file_as_it_was(
    make_model: MakeModel,
    act: Callable[..., Any],
    tmp_path: Path,
    algorithm: type[BaseAlgorithm],
    kwargs: dict[str, Any],
) -> None:
    # given
    model = noisy(make_model, algorithm, "IntegralMlpPolicy", **kwargs).learn(20)
    policy = model.policy.resize([7, 5])
    # when
    model.save(tmp_path / "model")
    loaded: Any = algorithm.load(tmp_path / "model", env=model.get_env(), device="cpu")
    policy.save(str(tmp_path / "policy"))
    again = type(policy).load(str(tmp_path / "policy"), device="cpu")
    # then
    for other in (loaded.policy, again):
        gsde = find_gsde(other)
        assert gsde is not None
        assert isinstance(gsde.distribution, AxisNoise)
        assert other.sizes == (7, 5)
        assert torch.equal(log_std_of(other), log_std_of(policy))
        np.testing.assert_array_equal(act(other, model), act(policy, model))
    # and goes on learning, noise included
    loaded.learn(20)
    assert not torch.equal(log_std_of(loaded.policy), log_std_of(policy))


@pytest.mark.parametrize(
    ("algorithm", "kwargs"), [case for case in CASES if case.values[0] is not RecurrentPPO]
)  # sb3-contrib does not save how large an LSTM is
def test_its_plain_policy_comes_back_too(
    make_model: MakeModel,
    act: Callable[..., Any],
    tmp_path: Path,
    algorithm: type[BaseAlgorithm],
    kwargs: dict[str, Any],
) -> None:
    # given
    model = noisy(make_model, algorithm, "IntegralMlpPolicy", **kwargs)
    plain = model.policy.resize([7, 5]).discretize()
    # when
    plain.save(str(tmp_path / "plain"))
    loaded = type(plain).load(str(tmp_path / "plain"), device="cpu")
    # then
    assert log_std_of(plain).shape[0] == 5
    assert torch.equal(log_std_of(loaded), log_std_of(plain))
    np.testing.assert_allclose(act(loaded, model), act(model.policy, model), rtol=1e-5, atol=1e-5)
