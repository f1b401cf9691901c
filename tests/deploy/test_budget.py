from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy

from sb3_integral import ResizablePolicy
from sb3_integral.deploy.budget import BudgetError, fit_to_budget
from sb3_integral.deploy.costs import CostModel, Costs
from sb3_integral.deploy.latency import MeasuredLatency
from sb3_integral.deploy.search import rank

FULL = (16, 12)


def microcontroller(policy: BasePolicy) -> float:
    """A latency that is the same on every machine: 0.1 µs for each weight of the actor's layers."""
    net = policy.mlp_extractor.policy_net
    layers = [m for m in (*net, policy.action_net) if isinstance(m, torch.nn.Linear)]
    return 5.0 + 0.1 * sum(layer.weight.numel() for layer in layers)


@pytest.fixture(scope="module", params=["integral", "plain"])
def policy(request: pytest.FixtureRequest, make_policy: Callable[..., Any]) -> Any:
    if request.param == "integral":
        return make_policy()
    return ResizablePolicy(make_policy(policy_class=ActorCriticPolicy), method="nearest")


def counted(policy: Any, sizes: tuple[int, ...]) -> Costs:
    """What an ordinary policy costs, counted in its own layers."""
    ordinary = policy.discretize(sizes)
    parts = (ordinary.mlp_extractor.policy_net, ordinary.action_net)
    parameters = [p for part in parts for p in part.parameters()]
    return Costs(
        sum(p.numel() for p in parameters),
        sum(p.numel() * p.element_size() for p in parameters),
        sum(p.numel() for p in parameters if p.dim() == 2),
    )


@given(
    max_parameters=st.none() | st.integers(20, 400),
    max_bytes=st.none() | st.integers(80, 1600),
    max_macs=st.none() | st.integers(20, 400),
    max_latency_us=st.none() | st.floats(7.0, 45.0),
    min_size=st.integers(1, 2),
)
def test_the_answer_is_that_of_exhaustive_search(policy, min_size, **limits):
    # Given every pair of sizes, and what it costs
    given_limits = {name: limit for name, limit in limits.items() if limit is not None}
    if not given_limits:
        return
    model = CostModel(policy)

    def meets(sizes: tuple[int, int]) -> bool:
        costs = {**model(sizes)._asdict(), "latency_us": 5.0 + 0.1 * model(sizes).macs}
        return all(costs[name.removeprefix("max_")] <= limit for name, limit in given_limits.items())

    everything = product(*(range(min_size, full + 1) for full in FULL))
    fitting = [sizes for sizes in everything if meets(sizes)]

    # When / Then
    if not fitting:
        with pytest.raises(BudgetError) as raised:
            fit_to_budget(policy, **limits, min_size=min_size, latency=microcontroller)
        assert raised.value.closest.sizes == (min_size, min_size)
        assert min(raised.value.closest.slack.values()) < 0
        return
    fitted = fit_to_budget(policy, **limits, min_size=min_size, latency=microcontroller)
    assert fitted.sizes == min(fitting, key=lambda sizes: rank(sizes, FULL))
    assert min(fitted.slack.values()) >= 0
    assert (fitted.parameters, fitted.bytes, fitted.macs) == counted(policy, fitted.sizes)
    assert bool(fitted.binding) == (fitted.sizes != FULL)
    assert set(fitted.slack) == set(given_limits)
    assert policy.sizes == FULL


@pytest.mark.parametrize("latency_limit", [None, 20.0])
def test_with_a_score_the_answer_is_the_best_of_all_that_cannot_grow(make_policy, latency_limit):
    # Given a score that has nothing to do with size
    policy = make_policy()
    model = CostModel(policy)
    values = np.random.default_rng(0).random((FULL[0] + 1, FULL[1] + 1))

    def fits(sizes: tuple[int, int]) -> bool:
        costs = model(sizes)
        slow = latency_limit is not None and 5.0 + 0.1 * costs.macs > latency_limit
        return costs.parameters <= 220 and not slow

    everything = [sizes for sizes in product(*(range(1, full + 1) for full in FULL)) if fits(sizes)]
    maximal = [
        (one, other)
        for one, other in everything
        if not ((one + 1, other) in everything or (one, other + 1) in everything)
    ]
    assert len(maximal) > 5

    # When
    fitted = fit_to_budget(
        policy.resize(3),
        max_parameters=220,
        max_latency_us=latency_limit,
        score=lambda resized: values[resized.sizes],
        latency=microcontroller,
    )

    # Then
    assert fitted.sizes == max(maximal, key=lambda sizes: values[sizes])
    assert fitted.score == values[fitted.sizes]
    assert policy.sizes == (3, 3)


def test_a_score_on_many_shapes_is_asked_of_some(make_policy):
    policy = make_policy(net_arch={"pi": [300, 300], "vf": []})
    asked = []

    def score(resized: Any) -> float:
        asked.append(resized.sizes)
        return -abs(resized.sizes[0] - 100)

    fitted = fit_to_budget(policy, max_parameters=20_000, score=score, latency=microcontroller)
    assert 20 < len(asked) <= 64
    assert abs(fitted.sizes[0] - 100) < 4
    assert fitted.parameters <= 20_000


def test_three_layers_of_other_widths_equal_exhaustive_search(make_policy):
    policy = make_policy(net_arch={"pi": [9, 14, 5], "vf": []})
    model = CostModel(policy)
    for limit in (60, 100, 150, 200, 260):
        everything = product(range(1, 10), range(1, 15), range(1, 6))
        fitting = [sizes for sizes in everything if model(sizes).parameters <= limit]
        fitted = fit_to_budget(policy, max_parameters=limit, latency=microcontroller)
        assert fitted.sizes == min(fitting, key=lambda sizes: rank(sizes, (9, 14, 5)))


def test_layers_are_balanced_where_parameters_alone_would_make_a_bottleneck(make_policy):
    policy = make_policy(net_arch={"pi": [100, 100], "vf": []})
    fitted = fit_to_budget(policy, max_parameters=1000, latency=microcontroller)
    assert 0.7 < fitted.sizes[0] / fitted.sizes[1] < 1.4
    assert fitted.parameters > 950


def test_what_fits_whole_stays_whole(policy):
    fitted = fit_to_budget(policy, max_parameters=10**6, latency=microcontroller)
    assert fitted.sizes == FULL
    assert fitted.binding == ()


def test_the_limit_that_binds_is_named_with_what_is_left(policy):
    fitted = fit_to_budget(policy, max_macs=100, max_bytes=10**6, latency=microcontroller)
    assert fitted.binding == ("max_macs",)
    assert 0 <= fitted.slack["max_macs"] == 100 - fitted.macs
    assert fitted.slack["max_bytes"] == 10**6 - fitted.bytes
    slow = fit_to_budget(policy, max_latency_us=20.0, max_bytes=10**6, latency=microcontroller)
    assert slow.binding == ("max_latency_us",)
    assert "max_latency_us: " in str(slow)
    assert "binding" in str(slow)


def test_an_impossible_budget_is_refused_with_the_closest_that_exists(policy):
    with pytest.raises(BudgetError, match=r"closest that exists is 2 x 2: 27 parameters") as raised:
        fit_to_budget(policy, max_parameters=10, min_size=2, latency=microcontroller)
    assert raised.value.closest.slack == {"max_parameters": -17}
    assert raised.value.closest.binding == ("max_parameters",)
    assert isinstance(raised.value, ValueError)


def test_latency_is_measured_of_what_a_factory_makes(make_policy):
    # Given a factory such as an exporter to another runtime
    made: list[BasePolicy] = []

    def factory(policy: BasePolicy) -> Callable[[Any], object]:
        made.append(policy)
        return lambda observation: policy.predict(observation, deterministic=True)

    # When
    fitted = fit_to_budget(make_policy(), max_parameters=200, latency=MeasuredLatency(factory, calls=5))
    # Then
    assert len(made) == 1
    assert 0 < fitted.latency_us < math.inf


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "at least one of max_parameters"),
        ({"max_parameters": 0}, "max_parameters must be a positive number, got 0"),
        ({"max_bytes": -3}, "max_bytes must be a positive number, got -3"),
        ({"max_macs": True}, "max_macs must be a positive number, got True"),
        ({"max_latency_us": math.nan}, "max_latency_us must be a positive number, got nan"),
        ({"max_macs": 100, "min_size": 0}, "min_size must be an integer of at least 1, got 0"),
        ({"max_macs": 100, "min_size": (17, 1)}, r"above the full size \(16, 12\), got \(17, 1\)"),
        ({"max_macs": 100, "score": lambda _: math.nan}, "score is NaN"),
    ],
)
def test_wrong_arguments_are_refused(policy, arguments, said):
    with pytest.raises(ValueError, match=said):
        fit_to_budget(policy, latency=microcontroller, **arguments)


def test_a_policy_that_cannot_be_resized_is_refused(make_policy):
    plain = make_policy(policy_class=ActorCriticPolicy)
    with pytest.raises(ValueError, match="ActorCriticPolicy cannot be resized"):
        fit_to_budget(plain, max_parameters=100)


def test_a_policy_without_hidden_layers_fits_as_it_is(make_policy):
    policy = make_policy(net_arch=[])
    fitted = fit_to_budget(policy, max_parameters=10_000, latency=lambda _: 1.0)
    assert fitted.sizes == ()
    assert fitted.binding == ()
    found = fit_to_budget(policy, max_parameters=10_000, score=lambda _: 3.0, latency=lambda _: 1.0)
    assert (found.sizes, found.score) == ((), 3.0)
    with pytest.raises(BudgetError):
        fit_to_budget(policy, max_parameters=1, latency=lambda _: 1.0)
