from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from imitation.algorithms.bc import BC, BehaviorCloningLossCalculator
from imitation.data import rollout
from imitation.util.logger import HierarchicalLogger
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from torch.nn import functional as F

from sb3_integral.imitation import (
    LOSSES,
    AtRandomSizes,
    CrossEntropy,
    DistributionDivergence,
    GivenSizes,
    LogUniformSizes,
    MeanSquaredError,
    Penalized,
    Sandwich,
    StudentArchitecture,
    UniformSizes,
    clipped_loss,
    paper_loss,
)
from sb3_integral.imitation.losses import actor_output
from sb3_integral.nn import IntegralLayer, SmoothnessPenalty

KINDS = ("plain", "integral")


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def build(task, kind, seed=0, **arguments):
    architecture = StudentArchitecture(kind, (16, 16), **arguments)
    return architecture.build(task.observation_space, task.action_space, seed)


def batch(task, n=64):
    return task.demonstrations.observations[:n], task.demonstrations.actions[:n]


def loss_at(policy, loss, size, obs, acts) -> float:
    with policy.actor_axes.resized(size):
        return float(loss(policy, obs, acts).loss.detach())


def test_cross_entropy_is_that_of_torch_on_the_logits(cart_pole, kind):
    # given
    policy = build(cart_pole, kind)
    obs, acts = batch(cart_pole)

    # when
    loss = CrossEntropy()(policy, obs, acts).loss

    # then
    logits = policy.get_distribution(obs).distribution.logits
    torch.testing.assert_close(loss, F.cross_entropy(logits, acts))
    log_prob = policy.get_distribution(obs).log_prob(acts)
    torch.testing.assert_close(loss, -log_prob.mean())


def test_mean_squared_error_is_that_of_the_mean_action(pendulum, kind):
    # given
    policy = build(pendulum, kind)
    obs, acts = batch(pendulum)

    # when
    loss = MeanSquaredError()(policy, obs, acts).loss

    # then
    mean = policy.get_distribution(obs).distribution.mean
    torch.testing.assert_close(loss, ((mean - acts) ** 2).mean())


def test_mean_squared_error_takes_actions_of_several_dimensions():
    # given actions that are matrices, which SB3 flattens
    observation_space, action_space = spaces.Box(-1.0, 1.0, (3,)), spaces.Box(-1.0, 1.0, (2, 2))
    policy = StudentArchitecture("plain", (8,)).build(observation_space, action_space, seed=0)
    obs, acts = torch.randn(5, 3), torch.randn(5, 2, 2)

    # when
    loss = MeanSquaredError()(policy, obs, acts).loss

    # then
    mean = policy.get_distribution(obs).distribution.mean.view(5, 2, 2)
    torch.testing.assert_close(loss, ((mean - acts) ** 2).mean())


def test_clipped_squared_error_counts_what_clipping_leaves():
    # given mean actions of 0.9, -1.5 and 1.5, whatever is observed
    action_space = spaces.Box(-1.0, 1.0, (3,))
    policy = StudentArchitecture("plain", (8,)).build(spaces.Box(-1.0, 1.0, (2,)), action_space, seed=0)
    torch.nn.init.zeros_(policy.action_net.weight)
    policy.action_net.bias.data = torch.tensor([0.9, -1.5, 1.5])
    obs, acts = torch.randn(1, 2), torch.tensor([[1.0, -1.0, -1.0]])

    # when
    loss = clipped_loss(action_space)(policy, obs, acts).loss
    loss.backward()

    # then the first is short of its bound, the second beyond it, the third beyond the wrong one
    torch.testing.assert_close(loss.detach(), torch.tensor((0.1**2 + 0.0 + 2.5**2) / 3))
    expected = torch.tensor([2 * -0.1, 0.0, 2 * 2.5]) / 3
    torch.testing.assert_close(policy.action_net.bias.grad, expected)


@given(arrays(np.float32, (4, 2), elements=st.floats(-0.75, 0.75, width=32)))
@settings(max_examples=25, deadline=None)
def test_clipped_squared_error_is_the_paper_s_within_the_bounds(actions):
    # given
    action_space = spaces.Box(-1.0, 1.0, (2,))
    policy = StudentArchitecture("plain", (8,)).build(spaces.Box(-1.0, 1.0, (3,)), action_space, seed=0)
    obs, acts = torch.randn(4, 3), torch.from_numpy(actions)

    # when
    clipped, paper = (loss(action_space)(policy, obs, acts).loss for loss in (clipped_loss, paper_loss))

    # then
    torch.testing.assert_close(clipped, paper)


def test_losses_take_the_policy_of_an_sb3_model(cart_pole):
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, seed=0, device="cpu")
    obs, acts = batch(cart_pole)
    loss = CrossEntropy()(model.policy, obs, acts).loss
    logits = model.policy.get_distribution(obs).distribution.logits
    torch.testing.assert_close(loss, F.cross_entropy(logits, acts))


# imitation's own loss calculator draws this warning as well: BC logs the loss without detaching it.
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True:UserWarning")
def test_losses_are_loss_calculators_of_imitation(task, kind):
    # given imitation's trainer on imitation's transitions, with one of our losses
    policy = build(task, kind)
    transitions = rollout.flatten_trajectories(task.episodes)
    trainer = BC(
        observation_space=task.observation_space,
        action_space=task.action_space,
        rng=np.random.default_rng(0),
        policy=policy,
        demonstrations=transitions,
        device="cpu",
        custom_logger=HierarchicalLogger(Logger(folder=None, output_formats=[])),
    )
    loss = paper_loss(task.action_space)
    trainer.loss_calculator = loss
    if kind == "integral":
        trainer.loss_calculator = AtRandomSizes(loss, UniformSizes(4, 16), np.random.default_rng(0))
    obs, acts = batch(task, 400)
    before = float(loss(policy, obs, acts).loss.detach())

    # when
    trainer.train(n_epochs=8, progress_bar=False)

    # then
    assert float(loss(policy, obs, acts).loss.detach()) < 0.9 * before


def test_random_sizes_are_drawn_from_the_given_generator(task):
    # given
    policy = build(task, "integral")
    obs, acts = batch(task)
    loss, sizes = paper_loss(task.action_space), UniformSizes(4, 16)

    # when
    at_random = AtRandomSizes(loss, sizes, np.random.default_rng(7))
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
    at_random = AtRandomSizes(CrossEntropy(), LogUniformSizes(2, 8), np.random.default_rng(0))
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
    loss = AtRandomSizes(paper_loss(task.action_space), UniformSizes(4, 4), np.random.default_rng(0))

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
    loss = AtRandomSizes(CrossEntropy(), UniformSizes(4, 16), np.random.default_rng(0))
    expected = "random sizes need an integral policy, got ActorCriticPolicy"
    with pytest.raises(ValueError, match=expected):
        loss(build(cart_pole, "plain"), *batch(cart_pole))


@pytest.mark.parametrize(
    ("space", "loss"),
    [
        (spaces.Discrete(3), CrossEntropy),
        (spaces.Box(-1.0, 1.0, (2,)), MeanSquaredError),
        (spaces.MultiDiscrete([2, 3]), BehaviorCloningLossCalculator),
        (spaces.MultiBinary(3), BehaviorCloningLossCalculator),
    ],
)
def test_the_loss_is_chosen_by_the_action_space(space, loss):
    assert type(paper_loss(space)) is loss


def test_several_discrete_actions_have_the_sum_of_their_cross_entropies():
    # given
    space = spaces.MultiDiscrete([2, 3])
    policy = StudentArchitecture("plain", (8,)).build(spaces.Box(-1.0, 1.0, (4,)), space, seed=0)
    obs, acts = torch.randn(16, 4), torch.randint(0, 2, (16, 2))

    # when
    loss = paper_loss(space)(policy, obs, acts).loss

    # then
    first, second = (each.logits for each in policy.get_distribution(obs).distribution)
    expected = F.cross_entropy(first, acts[:, 0]) + F.cross_entropy(second, acts[:, 1])
    torch.testing.assert_close(loss, expected)


def test_a_space_without_a_loss_is_an_error_that_names_it():
    space = spaces.Dict({"a": spaces.Discrete(2)})
    with pytest.raises(ValueError, match=r"no loss for Dict\('a': Discrete\(2\)\), expected"):
        paper_loss(space)


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
    total = Sandwich(loss, sizes, rng, n_random=1, distill=distill)(policy, obs, acts).loss

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

    Sandwich(paper_loss(cart_pole.action_space), sizes, np.random.default_rng(0), 0)(
        policy, obs, acts
    ).loss.backward()

    together = policy.action_net.weight.grad[:, 8:].clone()
    policy.zero_grad()
    with policy.actor_axes.resized(16):
        paper_loss(cart_pole.action_space)(policy, obs, acts).loss.backward()
    # What only the largest has, is taught by the expert alone.
    torch.testing.assert_close(policy.action_net.weight.grad[:, 8:], together)


def test_a_sandwich_refuses_a_plain_policy(cart_pole):
    loss = Sandwich(CrossEntropy(), UniformSizes(4, 16), np.random.default_rng(0))
    with pytest.raises(ValueError, match="need an integral policy, got ActorCriticPolicy"):
        loss(build(cart_pole, "plain"), *batch(cart_pole))


def test_a_sandwich_takes_a_loss_of_ones_own(pendulum):
    # given a loss that is no more than a function
    policy = build(pendulum, "integral")
    obs, acts = batch(pendulum)
    known = paper_loss(pendulum.action_space)

    # when
    losses = [
        Sandwich(loss, UniformSizes(4, 16), np.random.default_rng(0))(policy, obs, acts).loss
        for loss in (known, lambda *arguments: known(*arguments))
    ]

    # then
    torch.testing.assert_close(*losses)


def test_small_sizes_are_of_those_that_are_given(task):
    # given sizes of which two are at most a fifth of the largest
    policy, (obs, acts) = build(task, "integral"), batch(task)
    loss = paper_loss(task.action_space)
    at_random = AtRandomSizes(loss, GivenSizes((16, 9, 3, 2)), np.random.default_rng(0), small_sizes=2)
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


def test_the_divergence_of_gaussians_is_that_of_torch(pendulum, kind):
    # given
    policy, (obs, acts) = build(pendulum, kind), batch(pendulum)
    std = torch.full_like(acts, 0.7)
    # when
    divergence = DistributionDivergence(discrete=False)(policy, obs, torch.stack([acts, std], dim=1))
    # then
    expert = torch.distributions.Normal(acts, std)
    student = torch.distributions.Normal(actor_output(policy, obs), std)
    expected = torch.distributions.kl_divergence(expert, student).mean()
    torch.testing.assert_close(divergence.loss, expected)


def test_the_divergence_of_discrete_actions_is_torch_s_and_the_expert_s_entropy(cart_pole, kind):
    policy, (obs, _) = build(cart_pole, kind), batch(cart_pole)
    probabilities = torch.rand(len(obs), 2, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    divergence = DistributionDivergence(discrete=True)(policy, obs, probabilities)
    expert = torch.distributions.Categorical(probabilities)
    student = torch.distributions.Categorical(logits=actor_output(policy, obs))
    expected = (torch.distributions.kl_divergence(expert, student) + expert.entropy()).mean()
    torch.testing.assert_close(divergence.loss, expected)


@pytest.mark.parametrize("name", ["clipped", "paper"])
def test_a_named_loss_is_made_for_several_actions(name):
    LOSSES[name](spaces.MultiBinary(2))


def test_actions_are_no_distributions(task):
    policy, (obs, acts) = build(task, "integral"), batch(task)
    with pytest.raises(
        ValueError, match=r"expected the expert's action distributions, .*, got a tensor"
    ):
        LOSSES["distribution"](task.action_space)(policy, obs, acts)


def test_several_discrete_actions_have_no_divergence():
    with pytest.raises(ValueError, match=r"no loss for MultiBinary\(2\)"):
        LOSSES["distribution"](spaces.MultiBinary(2))
