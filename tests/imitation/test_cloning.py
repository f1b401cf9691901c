from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_integral.imitation import (
    CloningConfig,
    Demonstrations,
    FullSize,
    GivenSizes,
    LogUniformSizes,
    LossAtSizes,
    PowerLawSizes,
    RandomSizes,
    Sandwich,
    StudentArchitecture,
    UniformSizes,
    clone,
    make_trainer,
    paper_loss,
)
from sb3_integral.imitation.training_sizes import sizes_for
from sb3_integral.nn import SmoothnessPenalty, total_variation

# A student, and at which sizes it is trained.
WAYS = [("plain", FullSize()), ("plain", None), ("integral", FullSize()), ("integral", None)]


@pytest.fixture(params=WAYS, ids=["plain", "plain, by default", "one size", "random sizes"])
def way(request):
    return request.param


def build(task, kind="integral", hidden_sizes=(24, 24), seed=0, **arguments):
    architecture = StudentArchitecture(kind, hidden_sizes, **arguments)
    return architecture.build(task.observation_space, task.action_space, seed)


def loss_of(policy, task) -> float:
    demonstrations, loss = task.demonstrations, paper_loss(task.action_space)
    with torch.no_grad():
        return float(loss(policy, demonstrations.observations, demonstrations.actions).loss)


def state(policy) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in policy.state_dict().items()}


def identical(first, second) -> bool:
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_cloning_reduces_the_loss(task, way):
    # given
    kind, sizes = way
    policy = build(task, kind)
    policy.features_extractor.fit(task.demonstrations.observations)
    before = loss_of(policy, task)

    # when
    returned = clone(policy, task.demonstrations, n_epochs=10, batch_size=32, sizes=sizes)

    # then
    assert returned is policy
    assert not policy.training
    assert loss_of(policy, task) < 0.5 * before


def test_a_seed_gives_the_same_student_to_the_bit_and_another_seed_another(task, way):
    kind, sizes = way

    def train(seed: int):
        return clone(
            build(task, kind),
            task.demonstrations,
            n_epochs=2,
            batch_size=64,
            sizes=sizes,
            seed=seed,
        )

    first, second, other = train(0), train(0), train(1)
    assert identical(first, second)
    assert not identical(first, other)


def test_cloning_leaves_the_global_generators_alone(cart_pole):
    of_torch, of_numpy = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    clone(build(cart_pole), cart_pole.demonstrations, n_epochs=1, batch_size=64)
    assert torch.equal(torch.random.get_rng_state(), of_torch)
    assert np.array_equal(np.random.get_state()[1], of_numpy)


def test_at_full_size_an_integral_student_is_trained_as_a_plain_one(task):
    # given two students that start alike
    students = [build(task, kind) for kind in ("plain", "integral")]

    # when
    for policy in students:
        clone(policy, task.demonstrations, n_epochs=2, batch_size=64, sizes=FullSize())

    # then they end alike
    plain, integral = (dict(policy.named_parameters()) for policy in students)
    corrections = {name for name in integral if ".corrections." in name}
    assert plain.keys() == integral.keys() - corrections
    assert corrections
    assert not any(integral[name].any() for name in corrections)
    for name, parameter in plain.items():
        assert torch.equal(parameter, integral[name]), name


def test_a_clone_at_random_sizes_is_better_at_small_ones(cart_pole):
    # given
    one_size, random_sizes = (
        clone(
            build(cart_pole, hidden_sizes=(48, 48)),
            cart_pole.demonstrations,
            n_epochs=20,
            batch_size=32,
            sizes=choice,
        )
        for choice in (FullSize(), RandomSizes(UniformSizes(5, 48)))
    )

    # when, then
    for size in (5, 8, 12):
        assert loss_of(random_sizes.resize(size), cart_pole) < loss_of(one_size.resize(size), cart_pole)


def test_a_clone_acts_as_its_expert(cart_pole):
    policy = clone(build(cart_pole), cart_pole.demonstrations, n_epochs=40, batch_size=32)
    venv = make_vec_env("CartPole-v1", 4, seed=1)
    mean_return, _ = evaluate_policy(policy, venv, 8)
    assert mean_return > 400


def test_a_clone_keeps_the_size_it_came_with(cart_pole):
    policy = build(cart_pole).resize((7, 9))
    clone(policy, cart_pole.demonstrations, n_epochs=1, batch_size=64)
    assert policy.sizes == (7, 9)


def test_observations_are_standardised_by_the_demonstrations(task):
    # given
    policy = build(task)

    # when
    clone(policy, task.demonstrations, n_epochs=1, batch_size=64)

    # then
    with torch.no_grad():
        standardised = policy.features_extractor(task.demonstrations.observations)
    torch.testing.assert_close(
        standardised.mean(dim=0), torch.zeros(standardised.shape[1]), rtol=0, atol=1e-3
    )
    torch.testing.assert_close(
        standardised.std(dim=0), torch.ones(standardised.shape[1]), rtol=0, atol=1e-2
    )


def test_the_end_of_every_epoch_is_told(cart_pole):
    told = []
    clone(
        build(cart_pole),
        cart_pole.demonstrations,
        n_epochs=3,
        batch_size=64,
        on_epoch_end=lambda: told.append(len(told)),
    )
    assert told == [0, 1, 2]


@pytest.mark.parametrize(
    ("kind", "hidden_sizes", "expected"),
    [
        ("integral", (100, 100), RandomSizes(PowerLawSizes(5, 100))),
        ("integral", (24, 40), RandomSizes(PowerLawSizes(5, 40))),
        ("integral", (3,), RandomSizes(PowerLawSizes(3, 3))),
        ("plain", (100, 100), FullSize()),
    ],
)
def test_by_default_sizes_are_drawn_from_5_to_the_full_size(cart_pole, kind, hidden_sizes, expected):
    assert sizes_for(build(cart_pole, kind, hidden_sizes), None) == expected


def test_layers_that_are_smaller_than_a_drawn_size_stay_at_full_size(cart_pole):
    """Given layers of unequal sizes, then no layer is trained above its own size."""
    # given a loss that looks at the sizes
    policy, seen = build(cart_pole, hidden_sizes=(6, 20)), set()

    def look(policy, obs, acts):
        seen.add(policy.sizes)
        return paper_loss(cart_pole.action_space)(policy, obs, acts)

    # when
    for sizes in (None, Sandwich(distill=False)):
        clone(policy, cart_pole.demonstrations, n_epochs=2, batch_size=16, loss=look, sizes=sizes)
    # then
    assert len(seen) > 5
    assert {first == min(6, second) for first, second in seen} == {True}
    assert max(seen) == (6, 20)


@pytest.mark.parametrize(
    "distribution",
    [UniformSizes(4, 25), LogUniformSizes(4, 25), PowerLawSizes(4, 25), GivenSizes((4, 25))],
)
@pytest.mark.parametrize("kind", [RandomSizes, Sandwich])
def test_sizes_beyond_the_student_are_refused_and_train_nothing(cart_pole, distribution, kind):
    policy = build(cart_pole)
    before = state(policy)
    with pytest.raises(ValueError, match="at most 24, the student's largest layer, got up to 25"):
        clone(policy, cart_pole.demonstrations, sizes=kind(distribution))
    assert all(torch.equal(tensor, before[name]) for name, tensor in policy.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"n_epochs": 0}, "n_epochs must be an integer of at least 1, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be a positive number, got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be a positive number, got nan"),
        ({"schedule": "linear"}, "unknown schedule 'linear'; known are constant, cosine"),
        ({"loss": "mse"}, "unknown loss 'mse'; known are clipped, distribution, paper"),
    ],
)
def test_a_configuration_says_what_is_wrong_with_it(settings, expected):
    with pytest.raises(ValueError, match=expected):
        CloningConfig(**settings)


def test_a_configuration_and_single_settings_train_the_same_student(cart_pole):
    config = CloningConfig(n_epochs=1, batch_size=64, seed=3)
    first = clone(build(cart_pole), cart_pole.demonstrations, config)
    second = clone(build(cart_pole), cart_pole.demonstrations, n_epochs=1, batch_size=64, seed=3)
    third = clone(
        build(cart_pole), cart_pole.demonstrations, CloningConfig(batch_size=64), n_epochs=1, seed=3
    )
    assert identical(first, second)
    assert identical(first, third)


def test_the_trainer_takes_the_loss_and_the_sizes_it_is_given(cart_pole):
    # given
    loss, sizes = paper_loss(cart_pole.action_space), RandomSizes(LogUniformSizes(3, 9))

    # when
    policy = build(cart_pole)
    at_random, plain = (
        make_trainer(
            policy, cart_pole.demonstrations, batch_size=64, loss=loss, sizes=choice
        ).loss_calculator
        for choice in (sizes, FullSize())
    )

    # then
    assert isinstance(at_random, LossAtSizes)
    assert at_random.loss is loss
    assert at_random.sizes is sizes
    assert plain is loss


def test_the_learning_rate_is_that_of_adam(cart_pole):
    trainer = make_trainer(build(cart_pole), cart_pole.demonstrations, batch_size=64, learning_rate=0.02)
    assert isinstance(trainer.optimizer, torch.optim.Adam)
    assert [group["lr"] for group in trainer.optimizer.param_groups] == [0.02]


def test_random_sizes_for_a_plain_student_are_an_error(cart_pole):
    with pytest.raises(ValueError, match="random sizes need an integral policy"):
        clone(
            build(cart_pole, "plain"), cart_pole.demonstrations, sizes=RandomSizes(UniformSizes(5, 24))
        )


@pytest.mark.parametrize(
    ("observation_space", "action_space", "expected"),
    [
        (spaces.Box(-1.0, 1.0, (6,)), None, r"observations .* shape \(4,\), expected \(6,\)"),
        (None, spaces.Box(-1.0, 1.0, (1,)), r"actions .* shape \(\), expected \(1,\)"),
        (None, spaces.Discrete(1), "actions of demonstrations range from 0 to 1, expected 0 to 0"),
    ],
    ids=["observations", "actions", "range"],
)
def test_demonstrations_that_do_not_fit_are_an_error_and_train_nothing(
    cart_pole, observation_space, action_space, expected
):
    # given a student of other spaces
    policy = StudentArchitecture("integral", (8, 8)).build(
        observation_space or cart_pole.observation_space,
        action_space or cart_pole.action_space,
        seed=0,
    )
    before = state(policy)

    # when
    with pytest.raises(ValueError, match=expected):
        clone(policy, cart_pole.demonstrations)

    # then
    assert all(torch.equal(tensor, before[name]) for name, tensor in policy.state_dict().items())


@pytest.mark.parametrize("batch_size", [0, -1, 10**9])
def test_a_batch_size_that_demonstrations_cannot_fill_is_an_error(cart_pole, batch_size):
    available = len(cart_pole.demonstrations.observations)
    expected = f"batch_size must be from 1 to {available}, .* got {batch_size}"
    with pytest.raises(ValueError, match=expected):
        clone(build(cart_pole), cart_pole.demonstrations, batch_size=batch_size)


@pytest.mark.parametrize("field", ["observations", "actions"])
def test_numbers_that_are_not_finite_do_not_get_as_far_as_cloning(pendulum, field):
    # given
    parts = {
        name: getattr(pendulum.demonstrations, name).clone()
        for name in ("observations", "actions", "returns")
    }
    parts[field][11, 0] = torch.nan

    # when, then
    with pytest.raises(ValueError, match=rf"{field} .* finite numbers, got .*nan.* at transition 11"):
        clone(build(pendulum), Demonstrations(**parts))


def test_a_cosine_ends_at_zero_and_a_constant_stays(cart_pole):
    """Given a schedule, when a student is cloned, then the steps become small or do not."""
    moved = {}
    for schedule in ("cosine", "constant"):
        policy = build(cart_pole, "plain")
        seen = []

        def on_epoch_end(policy=policy, seen=seen):
            seen.append(policy.action_net.weight.detach().clone())

        clone(
            policy,
            cart_pole.demonstrations,
            n_epochs=8,
            batch_size=64,
            schedule=schedule,
            on_epoch_end=on_epoch_end,
        )
        moved[schedule] = float((seen[-1] - seen[-2]).abs().mean())
    assert moved["cosine"] < 0.3 * moved["constant"]


def test_a_smoothness_penalty_leaves_smoother_weights(cart_pole):
    def variation(**arguments) -> float:
        student = build(cart_pole, nested=False)
        clone(student, cart_pole.demonstrations, n_epochs=5, batch_size=32, **arguments)
        weight = student.mlp_extractor.policy_net[2].weight.detach()
        return float(total_variation(weight, 0) + total_variation(weight, 1))

    assert variation(smoothness=SmoothnessPenalty(total_variation=1.0)) < 0.5 * variation()


def test_targets_take_the_place_of_actions(cart_pole):
    # given the opposite of what the expert did
    demonstrations = cart_pole.demonstrations
    opposite = 1 - demonstrations.actions
    # when
    student = clone(build(cart_pole), demonstrations, n_epochs=10, batch_size=32, targets=opposite)
    # then
    actions, _ = student.predict(demonstrations.observations.numpy(), deterministic=True)
    assert (actions == opposite.numpy()).mean() > 0.9


def test_too_few_targets_are_an_error(cart_pole):
    n_transitions = len(cart_pole.demonstrations.actions)
    message = f"a target for each of {n_transitions} transitions, got 3"
    with pytest.raises(ValueError, match=message):
        clone(build(cart_pole), cart_pole.demonstrations, targets=torch.zeros(3))


def test_distributions_in_place_of_actions_need_a_loss_that_takes_them(cart_pole):
    # given
    policy, demonstrations = build(cart_pole), cart_pole.demonstrations
    targets = torch.full((len(demonstrations.actions), 2), 0.5)
    # then
    with pytest.raises(ValueError, match=r"shape \(\) each, got \(2,\); .* loss=\"distribution\""):
        clone(policy, demonstrations, targets=targets)
    clone(policy, demonstrations, n_epochs=1, targets=targets, loss="distribution")
