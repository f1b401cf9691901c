from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch.nn import functional as F

from sb3_integral.imitation import (
    CrossEntropy,
    GivenSizes,
    LogUniformSizes,
    LossAtSizes,
    Penalized,
    RandomSizes,
    Sandwich,
    StudentArchitecture,
    UniformSizes,
    paper_loss,
)
from sb3_integral.imitation.losses import actor_output
from sb3_integral.nn import IntegralLayer, SmoothnessPenalty


def build(task, kind, seed=0, **arguments):
    architecture = StudentArchitecture(kind, (16, 16), **arguments)
    return architecture.build(task.observation_space, task.action_space, seed)


def batch(task, n=64):
    return task.demonstrations.observations[:n], task.demonstrations.actions[:n]


def loss_at(policy, loss, size, obs, acts) -> float:
    with policy.actor_axes.resized(size):
        return float(loss(policy, obs, acts).loss.detach())


def test_random_sizes_are_drawn_from_the_given_generator(task):
    # given
    policy = build(task, "integral")
    obs, acts = batch(task)
    loss, sizes = paper_loss(task.action_space), UniformSizes(4, 16)

    # when
    at_random = LossAtSizes(loss, RandomSizes(sizes, small=0), np.random.default_rng(7))
    losses = [float(at_random(policy, obs, acts).loss.detach()) for _ in range(8)]

    # then each loss is the one at the size that such a generator draws
    rng = np.random.default_rng(7)
    drawn = [sizes.draw(rng) for _ in range(8)]
    assert len(set(drawn)) > 3
    assert losses == [loss_at(policy, loss, size, obs, acts) for size in drawn]
    assert len(set(losses)) == len(set(drawn))


@pytest.mark.parametrize("size", [16, 9, (5, 12)])
def test_the_policy_has_its_size_again_after_a_random_one(cart_pole, size):
    # given
    policy = build(cart_pole, "integral").resize(size)
    before = policy.sizes

    # when, then
    at_random = LossAtSizes(
        CrossEntropy(), RandomSizes(LogUniformSizes(2, 8), small=0), np.random.default_rng(0)
    )
    at_random(policy, *batch(cart_pole))
    assert policy.sizes == before

    # when the loss cannot be computed, then the same
    with pytest.raises(IndexError):
        at_random(policy, batch(cart_pole)[0], torch.full((64,), 2))
    assert policy.sizes == before


@pytest.mark.parametrize("grid_size", [None, 24])
def test_gradients_reach_every_parameter_through_a_small_size(task, grid_size):
    # given an actor at a quarter of its size
    policy = build(task, "integral", grid_size=grid_size)
    loss = LossAtSizes(
        paper_loss(task.action_space), RandomSizes(UniformSizes(4, 4), small=0), np.random.default_rng(0)
    )

    # when
    loss(policy, *batch(task)).loss.backward()

    # then
    everything = (
        *policy.mlp_extractor.policy_net.named_parameters(),
        *policy.action_net.named_parameters(),
    )
    actor = [(name, parameter) for name, parameter in everything if "corrections." not in name]
    assert len(actor) == 6
    for name, parameter in actor:
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_random_sizes_refuse_a_plain_policy(cart_pole):
    loss = LossAtSizes(CrossEntropy(), RandomSizes(UniformSizes(4, 16)), np.random.default_rng(0))
    expected = "random sizes need an integral policy, got ActorCriticPolicy"
    with pytest.raises(ValueError, match=expected):
        loss(build(cart_pole, "plain"), *batch(cart_pole))


@pytest.mark.parametrize("distill", [True, False])
def test_a_sandwich_is_the_sum_of_its_sizes(task, distill):
    # given a generator of a known seed, so that the random size is known
    policy = build(task, "integral", scale_levels=0)
    obs, acts = batch(task)
    loss = paper_loss(task.action_space)
    sizes = UniformSizes(4, 16)
    rng = np.random.default_rng(0)
    drawn = [sizes.draw(np.random.default_rng(0))]

    # when
    total = LossAtSizes(loss, Sandwich(sizes, n_random=1, distill=distill), rng)(policy, obs, acts).loss

    # then
    taught = outputs_at(policy, obs, 16)
    expected = loss_at(policy, loss, 16, obs, acts)
    for size in (4, *drawn):
        if not distill:
            expected += loss_at(policy, loss, size, obs, acts)
        elif isinstance(task.action_space, spaces.Discrete):
            expected += float(F.cross_entropy(outputs_at(policy, obs, size), taught.softmax(1)))
        else:
            expected += float(F.mse_loss(outputs_at(policy, obs, size), taught))
    assert float(total.detach()) == pytest.approx(expected, rel=1e-5)


def outputs_at(policy, obs, size):
    with policy.actor_axes.resized(size), torch.no_grad():
        return actor_output(policy, obs)


def test_nothing_is_learned_by_the_teacher_from_its_pupils(cart_pole):
    """Given in-place distillation, then the largest size's own output gets no gradient of it."""
    policy = build(cart_pole, "integral", scale_levels=1)
    obs, acts = batch(cart_pole)
    sizes = UniformSizes(8, 16)

    loss = paper_loss(cart_pole.action_space)
    LossAtSizes(loss, Sandwich(sizes, n_random=0), np.random.default_rng(0))(
        policy, obs, acts
    ).loss.backward()

    together = policy.action_net.weight.grad[:, 8:].clone()
    policy.zero_grad()
    with policy.actor_axes.resized(16):
        paper_loss(cart_pole.action_space)(policy, obs, acts).loss.backward()
    # What only the largest has, is taught by the expert alone.
    torch.testing.assert_close(policy.action_net.weight.grad[:, 8:], together)


def test_a_sandwich_refuses_a_plain_policy(cart_pole):
    loss = LossAtSizes(CrossEntropy(), Sandwich(UniformSizes(4, 16)), np.random.default_rng(0))
    with pytest.raises(ValueError, match="need an integral policy, got ActorCriticPolicy"):
        loss(build(cart_pole, "plain"), *batch(cart_pole))


def test_a_sandwich_takes_a_loss_of_ones_own(pendulum):
    # given a loss that is no more than a function
    policy = build(pendulum, "integral")
    obs, acts = batch(pendulum)
    known = paper_loss(pendulum.action_space)

    # when
    losses = [
        LossAtSizes(loss, Sandwich(UniformSizes(4, 16)), np.random.default_rng(0))(
            policy, obs, acts
        ).loss
        for loss in (known, lambda *arguments: known(*arguments))
    ]

    # then
    torch.testing.assert_close(*losses)


def test_small_sizes_are_of_those_that_are_given(task):
    # given sizes of which two are at most a fifth of the largest
    policy, (obs, acts) = build(task, "integral"), batch(task)
    loss = paper_loss(task.action_space)
    at_random = LossAtSizes(
        loss, RandomSizes(GivenSizes((16, 9, 3, 2)), small=2), np.random.default_rng(0)
    )
    at = {size: loss_at(policy, loss, size, obs, acts) for size in (16, 9, 3, 2)}
    # when
    sums = {float(at_random(policy, obs, acts).loss.detach()) for _ in range(40)}
    # then
    possible = [at[a] + at[b] + at[c] for a in at for b in (3, 2) for c in (3, 2)]
    assert len(sums) > 6
    assert all(min(abs(total - other) for other in possible) < 1e-5 for total in sums)


def test_a_penalty_is_added_to_the_loss(task):
    policy, (obs, acts) = build(task, "integral"), batch(task)
    loss, penalty = paper_loss(task.action_space), SmoothnessPenalty(0.3, 0.2)
    plain, penalized = loss(policy, obs, acts), Penalized(loss, penalty)(policy, obs, acts)
    rough = penalty([m for m in policy.modules() if isinstance(m, IntegralLayer)])
    assert rough.item() > 0.01
    torch.testing.assert_close(penalized.loss, plain.loss + rough)
    penalized.loss.backward()
    assert policy.action_net.weight.grad.abs().sum() > 0


def test_a_penalty_refuses_a_plain_policy(task):
    loss = Penalized(paper_loss(task.action_space), SmoothnessPenalty(0.1))
    with pytest.raises(
        ValueError, match="smoothness penalties need an integral policy, got ActorCriticPolicy"
    ):
        loss(build(task, "plain"), *batch(task))
