from __future__ import annotations

import numpy as np
import pytest
import torch

from sb3_integral.imitation import (
    FullSize,
    LossAtSizes,
    QuantizationAware,
    RandomSizes,
    StudentArchitecture,
    UniformSizes,
    clipped_loss,
    clone,
    make_trainer,
)
from sb3_integral.policies import WeightFormat, quantized

INT4 = WeightFormat(4, "tensor")


def build(task, kind, seed=0):
    policy = StudentArchitecture(kind, (16, 16)).build(task.observation_space, task.action_space, seed)
    policy.features_extractor.fit(task.demonstrations.observations)
    with torch.no_grad():  # SB3's first action layer gives next to nothing
        policy.action_net.weight.mul_(50.0)
    return policy


def loss_of(policy, task) -> torch.Tensor:
    demonstrations = task.demonstrations
    loss = clipped_loss(task.action_space)
    return loss(policy, demonstrations.observations, demonstrations.actions).loss


@pytest.mark.parametrize("kind", ["plain", "integral"])
@pytest.mark.parametrize("weights", [INT4, WeightFormat(8)], ids=lambda each: each.name)
def test_the_loss_is_that_of_the_rounded_policy(task, kind, weights):
    # given
    policy, demonstrations = build(task, kind), task.demonstrations
    before = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    aware = QuantizationAware(clipped_loss(task.action_space), weights)

    # when
    loss = aware(policy, demonstrations.observations, demonstrations.actions).loss

    # then
    torch.testing.assert_close(loss, loss_of(quantized(policy, weights), task))
    assert not torch.isclose(loss, loss_of(policy, task), rtol=1e-6)
    after = policy.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    loss.backward()
    assert policy.action_net.weight.grad.any()


@pytest.mark.parametrize("weights", [INT4, WeightFormat(4)], ids=lambda each: each.name)
def test_an_integral_student_is_rounded_at_each_size(task, weights):
    # given
    policy, sizes = build(task, "integral"), RandomSizes(UniformSizes(3, 16), small=3)
    observations, actions = task.demonstrations.observations, task.demonstrations.actions
    at_sizes = LossAtSizes(clipped_loss(task.action_space), sizes, np.random.default_rng(3))

    # when
    loss = QuantizationAware(at_sizes, weights)(policy, observations, actions).loss

    # then
    drawn = sizes.draw(np.random.default_rng(3))
    assert len(set(drawn)) > 1
    wanted = sum(loss_of(quantized(policy, weights, size), task) for size in drawn)
    torch.testing.assert_close(loss, wanted, rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_the_loss_at_the_rounded_weights(cart_pole):
    # given
    policy = build(cart_pole, "plain")
    observations, actions = cart_pole.demonstrations.observations, cart_pole.demonstrations.actions
    rounded = quantized(policy, INT4)

    # when
    aware = QuantizationAware(clipped_loss(cart_pole.action_space), INT4)
    aware(policy, observations, actions).loss.backward()
    loss_of(rounded, cart_pole).backward()

    # then
    for name, parameter in rounded.named_parameters():
        found = policy.get_parameter(name).grad
        if parameter.grad is not None:
            torch.testing.assert_close(found, parameter.grad)


def test_an_error_in_the_loss_leaves_the_policy_as_it_was(task):
    # given
    policy = build(task, "integral")

    def fail(*_):
        raise RuntimeError("no loss")

    # when
    with pytest.raises(RuntimeError, match="no loss"):
        QuantizationAware(fail, INT4)(policy, task.demonstrations.observations, None)

    # then
    assert policy.action_net.weight_function is None
    assert "weight_function" not in vars(policy.action_net)


def test_training_through_rounded_weights_beats_rounding_afterwards(task):
    def loss_after_training(seed, weights):
        architecture = StudentArchitecture("plain", (16, 16))
        policy = architecture.build(task.observation_space, task.action_space, seed)
        clone(policy, task.demonstrations, n_epochs=15, batch_size=32, weights=weights, seed=seed)
        return float(loss_of(quantized(policy, INT4), task).detach())

    afterwards, aware = (
        sum(loss_after_training(seed, weights) for seed in range(3)) for weights in (None, INT4)
    )
    assert aware < 0.9 * afterwards


def test_a_family_that_is_trained_through_rounded_weights_is_better_when_rounded(pendulum):
    def losses_after_training(weights):
        policy = StudentArchitecture("integral", (16, 16)).build(
            pendulum.observation_space, pendulum.action_space, 0
        )
        clone(policy, pendulum.demonstrations, n_epochs=15, batch_size=32, weights=weights)
        return sum(loss_of(quantized(policy, INT4, size), pendulum) for size in (5, 8, 12))

    assert losses_after_training(INT4) < 0.9 * losses_after_training(None)


def test_an_integral_student_at_one_size_is_trained_as_a_plain_one(task):
    # given two students that start alike
    students = [build(task, kind) for kind in ("plain", "integral")]

    # when
    for policy in students:
        settings = {"n_epochs": 1, "batch_size": 64, "sizes": FullSize()}
        clone(policy, task.demonstrations, weights=INT4, **settings)

    # then they end alike
    plain, integral = (policy.state_dict() for policy in students)
    assert all(torch.equal(integral[name], tensor) for name, tensor in plain.items())


def test_a_trainer_has_the_rounding_too(cart_pole):
    trainer = make_trainer(
        build(cart_pole, "plain"), cart_pole.demonstrations, batch_size=64, weights=INT4
    )
    assert isinstance(trainer.loss_calculator, QuantizationAware)
