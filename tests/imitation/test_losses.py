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
    BinaryCrossEntropy,
    CrossEntropy,
    DistributionDivergence,
    LossAtSizes,
    MeanSquaredError,
    RandomSizes,
    StudentArchitecture,
    UniformSizes,
    clipped_loss,
    paper_loss,
)
from sb3_integral.imitation.losses import actor_output

KINDS = ("plain", "integral")


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def build(task, kind, seed=0, **arguments):
    architecture = StudentArchitecture(kind, (16, 16), **arguments)
    return architecture.build(task.observation_space, task.action_space, seed)


def batch(task, n=64):
    return task.demonstrations.observations[:n], task.demonstrations.actions[:n]


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
        trainer.loss_calculator = LossAtSizes(
            loss, RandomSizes(UniformSizes(4, 16)), np.random.default_rng(0)
        )
    obs, acts = batch(task, 400)
    before = float(loss(policy, obs, acts).loss.detach())

    # when
    trainer.train(n_epochs=8, progress_bar=False)

    # then
    assert float(loss(policy, obs, acts).loss.detach()) < 0.9 * before


@pytest.mark.parametrize(
    ("space", "loss"),
    [
        (spaces.Discrete(3), CrossEntropy),
        (spaces.Box(-1.0, 1.0, (2,)), MeanSquaredError),
        (spaces.MultiDiscrete([2, 3]), CrossEntropy),
        (spaces.MultiBinary(3), BinaryCrossEntropy),
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
@pytest.mark.parametrize("space", [spaces.MultiBinary(2), spaces.MultiDiscrete([2, 4])], ids=str)
def test_several_actions_have_imitation_s_own_loss_by_either_name(name, space, kind):
    # given imitation's own loss, for which torch wants bits as floats
    policy = StudentArchitecture(kind, (8,)).build(spaces.Box(-1.0, 1.0, (4,)), space, seed=0)
    obs, acts = torch.randn(16, 4), torch.randint(0, 2, (16, 2))
    # when
    metrics = [
        loss(policy, obs, acts.float())
        for loss in (LOSSES[name](space), BehaviorCloningLossCalculator(0.0, 0.0))
    ]
    # then
    ours, imitation_s = metrics
    torch.testing.assert_close(ours.loss, imitation_s.loss)
    torch.testing.assert_close(ours.neglogp, imitation_s.neglogp)


def test_actions_are_no_distributions(task):
    policy, (obs, acts) = build(task, "integral"), batch(task)
    with pytest.raises(
        ValueError, match=r"expected the expert's action distributions, .*, got a tensor"
    ):
        LOSSES["distribution"](task.action_space)(policy, obs, acts)


def test_several_discrete_actions_have_no_divergence():
    with pytest.raises(ValueError, match=r"no loss for MultiBinary\(2\)"):
        LOSSES["distribution"](spaces.MultiBinary(2))


@pytest.mark.parametrize(
    ("taught", "output", "expected"),
    [
        (3.0, 2.0, 0.0),  # both act at the bound
        (3.0, 0.5, 0.25),  # as far from the bound as from what is taught after clipping
        (3.0, -2.0, 9.0),  # beyond the wrong bound: the whole error
        (0.5, 0.25, 0.0625),
    ],
)
def test_what_is_distilled_is_clipped_as_the_environment_does_it(taught, output, expected):
    loss = clipped_loss(spaces.Box(-1.0, 1.0, (1,)))
    error = loss.distillation(torch.tensor([[output]]), torch.tensor([[taught]]))
    assert error.item() == pytest.approx(expected)
