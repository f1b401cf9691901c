"""Batch renormalisation along an axis, alone and in CrossQ."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sb3_contrib import CrossQ
from sb3_contrib.common.torch_layers import BatchRenorm1d
from torch import Tensor

from sb3_integral.nn import Axis
from sb3_integral.policies.contrib import FUNCTIONS, IntegralBatchRenorm1d

MakeModel = Callable[..., Any]


def trained_norm(features: int, warmup_steps: int = 2) -> BatchRenorm1d:
    """Return a layer whose scale, bias and statistics are smooth functions of the feature."""
    norm = BatchRenorm1d(features, warmup_steps=warmup_steps)
    position = torch.linspace(0.0, 1.0, features)
    with torch.no_grad():
        norm.scale.copy_(1.0 + position)
        norm.bias.copy_(position.square())
        norm.get_buffer("ra_mean").copy_(torch.sin(3.0 * position))
        norm.get_buffer("ra_var").copy_(0.5 + position)
    return norm


def inputs(size: int, seed: int = 0) -> Tensor:
    return 2.0 * torch.randn(6, size, generator=torch.Generator().manual_seed(seed)) + 1.0


def state_of(norm: BatchRenorm1d) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in norm.state_dict().items()}


# ---------------------------------------------------------------- the layer


def test_it_shares_parameters_and_statistics_of_the_layer_that_it_adopts() -> None:
    # given
    plain = trained_norm(9)
    # when
    layer = IntegralBatchRenorm1d.from_plain(plain, Axis(9))
    # then
    assert list(layer.state_dict()) == list(plain.state_dict())
    assert layer.scale is plain.scale
    assert all(getattr(layer, name) is getattr(plain, name) for name in FUNCTIONS)


@pytest.mark.parametrize("training", [True, False])
def test_at_full_size_it_is_that_layer(training: bool) -> None:
    # given
    plain = trained_norm(9).train(training)
    layer = IntegralBatchRenorm1d.from_plain(copy.deepcopy(plain), Axis(9)).train(training)
    before = state_of(plain)
    # when: into the time after the warm-up
    outputs = [(layer(inputs(9, seed)), plain(inputs(9, seed))) for seed in range(5)]
    # then
    assert all(torch.equal(ours, theirs) for ours, theirs in outputs)
    after = state_of(layer)
    assert all(torch.equal(value, after[name]) for name, value in state_of(plain).items())
    assert torch.equal(after["ra_mean"], before["ra_mean"]) != training
    assert int(after["steps"]) == (5 if training else 0)


@pytest.mark.parametrize("training", [True, False])
@given(size=st.integers(1, 20).filter(lambda size: size != 9))
def test_at_any_other_size_it_normalises_by_the_sampled_statistics(size: int, training: bool) -> None:
    # given
    axis = Axis(9)
    layer = IntegralBatchRenorm1d.from_plain(trained_norm(9), axis).train(training)
    before = state_of(layer)
    axis.resize(size)
    # when
    outputs = layer(inputs(size))
    # then
    sampling = axis.matrices(outputs).sampling
    assert sampling is not None
    scale, bias, mean, variance = (sampling @ before[name] for name in FUNCTIONS)
    expected = scale * (inputs(size) - mean) / (variance + layer.eps).sqrt() + bias
    torch.testing.assert_close(outputs, expected)
    # and the statistics are those of full size
    after = state_of(layer)
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("size", [4, 9, 20])
def test_scale_and_bias_learn_at_every_size(size: int) -> None:
    # given
    axis = Axis(9)
    layer = IntegralBatchRenorm1d.from_plain(trained_norm(9), axis)
    axis.resize(size)
    # when
    layer(inputs(size)).square().sum().backward()
    # then
    for parameter in (layer.scale, layer.bias):
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


def test_an_undershoot_of_the_kernel_does_not_make_a_variance_negative() -> None:
    # given: a single peak, beside which a cubic kernel goes below zero
    axis = Axis(9)
    layer = IntegralBatchRenorm1d.from_plain(trained_norm(9), axis).eval()
    variance = layer.get_buffer("ra_var")
    variance.zero_()
    variance[4] = 100.0
    axis.resize(17)
    sampling = axis.matrices(variance).sampling
    assert sampling is not None
    assert (sampling @ variance).min() < -layer.eps
    # then
    assert (layer.discrete_functions()["ra_var"] >= 0).all()
    assert layer(inputs(17)).isfinite().all()


@pytest.mark.parametrize("size", [4, 9, 20])
def test_a_plain_layer_with_the_discrete_functions_computes_the_same(size: int) -> None:
    # given
    axis = Axis(9)
    layer = IntegralBatchRenorm1d.from_plain(trained_norm(9), axis).eval()
    axis.resize(size)
    plain = BatchRenorm1d(size).eval()
    # when
    with torch.no_grad():
        for name, value in layer.discrete_functions().items():
            assert value.shape == (size,)
            getattr(plain, name).copy_(value)
    # then
    torch.testing.assert_close(layer(inputs(size)), plain(inputs(size)))


# ---------------------------------------------------------------- CrossQ


def crossq(make_model: MakeModel, kind: str = "IntegralMlpPolicy", **kwargs: Any) -> Any:
    return make_model(CrossQ, kind, **{"net_arch": [16, 12], "renorm_warmup_steps": 5, **kwargs})


def statistics(policy: Any) -> dict[str, Tensor]:
    return {
        name: value.clone()
        for name, value in policy.actor.named_buffers()
        if name.rpartition(".")[2] in ("ra_mean", "ra_var", "steps")
        and not name.startswith("latent_pi.0.")
    }


@pytest.mark.parametrize("kwargs", [{}, {"batch_norm": False}, {"batch_norm_momentum": 0.1}], ids=str)
def test_crossq_takes_the_steps_of_the_plain_policy(
    make_model: MakeModel, kwargs: dict[str, Any]
) -> None:
    # when: past the warm-up
    states = []
    for kind in ("MlpPolicy", "IntegralMlpPolicy"):
        state = crossq(make_model, kind, **kwargs).learn(50).policy.state_dict()
        states.append(state)
    # then
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(states[1][name], value), name


def test_crossq_keeps_its_statistics_while_it_trains_at_another_size(make_model: MakeModel) -> None:
    # given
    model = crossq(make_model).learn(30)
    policy = model.policy
    before = statistics(policy)
    weights = policy.actor.latent_pi[1].weight.detach().clone()
    # when
    policy.resize([7, 5])
    model.learn(30)
    # then
    assert len(before) == 6
    assert all(steps > 0 for name, steps in before.items() if name.endswith("steps"))
    assert all(torch.equal(value, before[name]) for name, value in statistics(policy).items())
    # but learns
    assert not torch.equal(policy.actor.latent_pi[1].weight, weights)
    assert all(parameter.isfinite().all() for parameter in policy.parameters())
    # and at full size the statistics move again
    policy.resize(policy.max_sizes)
    model.learn(30)
    assert not any(torch.equal(value, before[name]) for name, value in statistics(policy).items())


@pytest.mark.parametrize("sizes", [(16, 12), (7, 5), (20, 30), (1, 1)])
def test_crossq_discretized_has_the_layers_of_sb3_contrib_and_says_the_same(
    make_model: MakeModel, head_outputs: Callable[..., Tensor], sizes: tuple[int, int]
) -> None:
    # given
    model = crossq(make_model).learn(30)
    # when
    plain = model.policy.discretize(sizes)
    # then
    norms = [module for module in plain.actor.modules() if isinstance(module, BatchRenorm1d)]
    assert [type(norm) for norm in norms] == [BatchRenorm1d] * 3
    assert [norm.num_features for norm in norms] == [4, *sizes]
    torch.testing.assert_close(
        head_outputs(plain, model), head_outputs(model.policy.resize(sizes), model), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("grid_size", [9, 40, [16, 9]])
def test_a_grid_of_its_own_is_refused(make_model: MakeModel, grid_size: Any) -> None:
    with pytest.raises(ValueError, match=r"grid_size must be the hidden sizes, got \d+ for a layer of"):
        crossq(make_model, grid_size=grid_size)


def test_a_grid_of_the_hidden_sizes_or_without_statistics_is_not(make_model: MakeModel) -> None:
    assert crossq(make_model, grid_size=[16, 12]).policy.sizes == (16, 12)
    policy = crossq(make_model, grid_size=9, batch_norm=False).policy
    assert policy.actor.latent_pi[0].weight.shape == (9, 4)
    assert policy.sizes == (16, 12)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"kernel": "linear"},
        {"kernel": "b-spline"},
        {"quadrature": "midpoint"},
    ],
    ids=str,
)
def test_at_full_size_statistics_are_updated_or_the_option_is_refused(
    make_model: MakeModel, kwargs: dict[str, Any]
) -> None:
    # given
    try:
        model = crossq(make_model, **kwargs)
    except ValueError:
        return
    # when
    model.learn(30)
    # then
    assert all(value.any() for name, value in statistics(model.policy).items() if "mean" in name)


def test_crossq_acts_at_every_size(make_model: MakeModel, act: Callable[..., Any]) -> None:
    # given
    model = crossq(make_model).learn(30)
    full = act(model.policy, model)
    # when
    for size in (1, 3, 12, 30):
        actions = act(model.policy.resize(size), model)
        assert np.isfinite(actions).all()
        assert not np.array_equal(actions, full)
    # then
    np.testing.assert_array_equal(act(model.policy.resize([16, 12]), model), full)
