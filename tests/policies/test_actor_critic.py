from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from sb3_contrib import TRPO
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from sb3_integral import IntegralActorCriticPolicy
from sb3_integral.nn import KERNELS, QUADRATURES
from sb3_integral.nn.kernels import LinearInterpolation
from sb3_integral.nn.quadratures import Simpson

MakePolicy = Callable[..., Any]
Outputs = Callable[[ActorCriticPolicy, Tensor], Tensor]

two_sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "grid": {"grid_size": 9},
    "critic": {"integral_critic": True},
    "named": {
        "kernel": "b-spline",
        "quadrature": "midpoint",
        "grid_size": [9, 14],
        "integral_critic": True,
    },
    "sb3": {"share_features_extractor": False, "activation_fn": nn.ELU, "log_std_init": -1.0},
    "objects": {"kernel": LinearInterpolation(), "quadrature": Simpson()},
}


def some_options(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("options", [OPTIONS[name] for name in names], ids=names)


def make_model(
    algorithm: type[BaseAlgorithm] = PPO, env: str = "CartPole-v1", seed: int = 0, **policy_kwargs: Any
) -> Any:
    return algorithm(
        "IntegralMlpPolicy",
        env,
        n_steps=128,
        seed=seed,
        device="cpu",
        policy_kwargs={"net_arch": {"pi": [16, 12], "vf": [10]}, **policy_kwargs},
    )


# ---------------------------------------------------------------- at full size


@pytest.mark.parametrize("integral_critic", [False, True])
@pytest.mark.parametrize("actions", ["discrete", "box"])
def test_at_full_size_it_is_the_plain_policy_of_the_same_seed(
    make_policy: MakePolicy,
    outputs: Outputs,
    observations: Tensor,
    actions: str,
    integral_critic: bool,
) -> None:
    # when
    integral = make_policy(actions, integral_critic=integral_critic)
    plain = make_policy(actions, ActorCriticPolicy)
    # then
    ours, theirs = dict(integral.named_parameters()), dict(plain.named_parameters())
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert torch.equal(outputs(integral, observations), outputs(plain, observations))


@pytest.mark.parametrize("quadrature", sorted(QUADRATURES))
@pytest.mark.parametrize("kernel", sorted(KERNELS))
def test_every_kernel_goes_with_every_quadrature(
    make_policy: MakePolicy, observations: Tensor, kernel: str, quadrature: str
) -> None:
    # given
    policy = make_policy("box", kernel=kernel, quadrature=quadrature)
    plain = make_policy("box", ActorCriticPolicy)
    # when
    ours, _ = policy.predict(observations.numpy(), deterministic=True)
    theirs, _ = plain.predict(observations.numpy(), deterministic=True)
    # then: only an interpolating kernel at the nodes of the grid leaves the plain policy as it is
    is_plain = kernel != "b-spline" and quadrature == "trapezoidal"
    assert np.array_equal(ours, theirs) == is_plain
    for sizes in [(1, 1), (2, 40), (9, 6)]:
        resized, _ = policy.resize(sizes).predict(observations.numpy(), deterministic=True)
        assert np.isfinite(resized).all()


@pytest.mark.parametrize("net_arch", [None, [16, 12], {"pi": [16, 12], "vf": [10]}, {"pi": [7]}])
def test_net_arch_means_what_it_means_in_sb3(
    make_policy: MakePolicy, net_arch: list[int] | dict[str, list[int]] | None
) -> None:
    # when
    integral = make_policy(net_arch=net_arch)
    plain = make_policy(policy_class=ActorCriticPolicy, net_arch=net_arch)
    # then
    shapes = [
        {name: tuple(p.shape) for name, p in policy.named_parameters()} for policy in (integral, plain)
    ]
    assert shapes[0] == shapes[1]
    hidden = [m.out_features for m in plain.mlp_extractor.policy_net if isinstance(m, nn.Linear)]
    assert integral.sizes == integral.max_sizes == tuple(hidden)


def test_the_optimizer_holds_exactly_the_policys_parameters(make_policy: MakePolicy) -> None:
    # given
    policy = make_policy(integral_critic=True, grid_size=9)
    # then
    held = [id(p) for group in policy.optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in policy.parameters())


# ---------------------------------------------------------------- resizing


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (8, (8, 8)),
        ([8, 3], (8, 3)),
        ((1, 1), (1, 1)),
        (40, (40, 40)),
        (np.int64(5), (5, 5)),
        ([np.int32(5), 6], (5, 6)),
    ],
)
def test_resize_takes_one_size_or_one_per_hidden_layer(
    make_policy: MakePolicy, observations: Tensor, size: Any, expected: tuple[int, int]
) -> None:
    # given
    policy = make_policy()
    # when
    returned = policy.resize(size)
    # then
    assert returned is policy
    assert policy.sizes == expected
    assert policy.max_sizes == (16, 12)
    latent = policy.mlp_extractor.forward_actor(observations)
    assert latent.shape == (len(observations), expected[1])


@given(sizes=two_sizes)
def test_it_grows_again_to_the_very_same_outputs(
    make_policy: MakePolicy, outputs: Outputs, observations: Tensor, sizes: tuple[int, int]
) -> None:
    # given
    policy = make_policy("box", grid_size=9)
    before = outputs(policy, observations)
    # when
    resized = outputs(policy.resize(sizes), observations)
    # then
    assert torch.equal(outputs(policy.resize([16, 12]), observations), before)
    assert torch.equal(resized, before) == (sizes == (16, 12))


def test_a_bad_size_is_refused_and_the_size_stays(
    make_policy: MakePolicy, bad_size: tuple[Any, str, str]
) -> None:
    # given
    size, value, expected = bad_size
    policy = make_policy(integral_critic=True, net_arch={"pi": [16, 12], "vf": [10, 11]})
    policy.resize([5, 6])
    policy.resize_critic([3, 4])
    # when / then
    for change in (policy.resize, policy.discretize, policy.compression, policy.resize_critic):
        with pytest.raises(ValueError, match="got") as caught:
            change(size)
        assert value in str(caught.value)
        assert expected in str(caught.value)
        assert policy.sizes == (5, 6)
        assert policy.critic_sizes == (3, 4)


@pytest.mark.parametrize(
    "name",
    [
        "resize",
        "discretize",
        "compression",
    ],
)
def test_an_array_of_sizes_is_refused_by_value(make_policy: MakePolicy, name: str) -> None:
    with pytest.raises(
        ValueError, match=r"size must be an integer of at least 1, got array\(\[5, 6\]\)"
    ):
        getattr(make_policy(), name)(np.array([5, 6]))


def test_no_size_is_no_size_to_resize_to(make_policy: MakePolicy) -> None:
    policy = make_policy()
    with pytest.raises(ValueError, match="None"):
        policy.resize(None)
    assert policy.sizes == (16, 12)


@pytest.mark.parametrize(("grid_size", "grids"), [(9, (9, 9)), ([9, 14], (9, 14)), (40, (40, 40))])
def test_the_grid_is_what_is_learned_and_not_the_size(
    make_policy: MakePolicy, grid_size: Any, grids: tuple[int, int]
) -> None:
    # when
    policy = make_policy(grid_size=grid_size)
    # then
    shapes = [tuple(p.shape) for name, p in policy.named_parameters() if "policy_net" in name]
    assert shapes == [(grids[0], 5), (grids[0],), (grids[1], grids[0]), (grids[1],)]
    assert policy.sizes == policy.max_sizes == (16, 12)


@pytest.mark.parametrize("sizes", [(16, 12), (5, 20)])
def test_every_layer_learns_at_every_size(
    make_policy: MakePolicy, observations: Tensor, sizes: tuple[int, int]
) -> None:
    # given
    policy = make_policy(integral_critic=True, grid_size=9).resize(sizes).resize_critic(4)
    # when
    values, log_prob, entropy = policy.evaluate_actions(observations, torch.zeros(len(observations)))
    (values.sum() + log_prob.sum() + entropy.sum()).backward()
    # then
    for name, parameter in policy.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_size_that_inference_mode_saw_first_can_be_learned_at(
    make_policy: MakePolicy, observations: Tensor
) -> None:
    # given: sizes that no other test has
    policy = make_policy().resize([131, 137])
    with torch.inference_mode():
        policy.predict_values(observations)
        policy.get_distribution(observations)
    # when
    _, log_prob, _ = policy.evaluate_actions(observations, torch.zeros(len(observations)))
    log_prob.sum().backward()
    # then
    assert policy.action_net.weight.grad.abs().sum() > 0


# ---------------------------------------------------------------- the critic


def test_an_integral_critic_is_resized_apart_from_the_actor(
    make_policy: MakePolicy, outputs: Outputs, observations: Tensor
) -> None:
    # given
    policy = make_policy(integral_critic=True)
    before = outputs(policy, observations)
    # when
    after = outputs(policy.resize_critic(4), observations)
    # then
    assert policy.critic_sizes == (4,)
    assert policy.sizes == (16, 12)
    assert torch.equal(after[:, :-1], before[:, :-1])
    assert not torch.allclose(after[:, -1], before[:, -1])
    assert torch.equal(outputs(policy.resize_critic([10]), observations), before)


def test_the_actors_size_does_not_touch_the_critic(
    make_policy: MakePolicy, outputs: Outputs, observations: Tensor
) -> None:
    # given
    policy = make_policy(integral_critic=True)
    before = outputs(policy, observations)
    # when
    after = outputs(policy.resize(4), observations)
    # then
    assert policy.critic_sizes == (10,)
    assert torch.equal(after[:, -1], before[:, -1])
    assert not torch.allclose(after[:, :-1], before[:, :-1])


def test_a_plain_critic_cannot_be_resized(make_policy: MakePolicy) -> None:
    policy = make_policy()
    assert policy.critic_sizes == ()
    with pytest.raises(ValueError, match="integral_critic=True"):
        policy.resize_critic(4)


# ---------------------------------------------------------------- compression


@pytest.mark.parametrize(("size", "printed"), [(100, "0.0"), (50, "70.0"), (5, "98.7")])
def test_compression_is_the_papers_for_halfcheetah(size: int, printed: str) -> None:
    # given
    policy = IntegralActorCriticPolicy(
        spaces.Box(-1, 1, (17,)), spaces.Box(-1, 1, (6,)), lambda _: 1e-3, net_arch=[100, 100]
    )
    # when / then: of a size that is asked for, and of the current one
    assert f"{policy.compression(size):.1f}" == printed
    assert policy.sizes == (100, 100)
    assert policy.compression() == 0.0
    assert f"{policy.resize([size, size]).compression():.1f}" == printed


def test_compression_counts_from_the_full_size_whatever_the_grid(make_policy: MakePolicy) -> None:
    assert make_policy(grid_size=40).compression([4, 3]) == make_policy().compression([4, 3])
    assert make_policy(grid_size=40).compression() == 0.0


# ---------------------------------------------------------------- discretize


@pytest.mark.parametrize("actions", ["discrete", "box"])
@some_options(*OPTIONS)
@given(sizes=two_sizes)
def test_a_discretized_policy_is_plain_and_says_the_same(
    make_policy: MakePolicy,
    outputs: Outputs,
    observations: Tensor,
    actions: str,
    options: dict[str, Any],
    sizes: tuple[int, int],
) -> None:
    # given
    policy = make_policy(actions, **options).resize([3, 20])
    random_state = torch.get_rng_state()
    # when
    plain = policy.discretize(sizes)
    # then: an ordinary policy
    assert type(plain) is ActorCriticPolicy
    homes = {type(module).__module__ for module in plain.modules()}
    assert not any(home.startswith("sb3_integral") for home in homes)
    hidden = [m.out_features for m in plain.mlp_extractor.policy_net if isinstance(m, nn.Linear)]
    assert tuple(hidden) == sizes
    # and nothing else has changed
    assert policy.sizes == (3, 20)
    assert torch.equal(torch.get_rng_state(), random_state)
    # and it computes the same
    policy.resize(sizes)
    torch.testing.assert_close(
        outputs(plain, observations), outputs(policy, observations), rtol=1e-5, atol=1e-5
    )
    ours, _ = policy.predict(observations.numpy(), deterministic=True)
    theirs, _ = plain.predict(observations.numpy(), deterministic=True)
    np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-5)


def test_discretize_takes_the_size_in_force_by_default(
    make_policy: MakePolicy, outputs: Outputs, observations: Tensor
) -> None:
    # given
    policy = make_policy("box", integral_critic=True).resize([7, 4]).resize_critic(6)
    # when
    plain = policy.discretize()
    # then
    shapes = {name: tuple(p.shape) for name, p in plain.named_parameters()}
    assert shapes["action_net.weight"] == (2, 4)
    assert shapes["value_net.weight"] == (1, 6)
    torch.testing.assert_close(
        outputs(plain, observations), outputs(policy, observations), rtol=1e-5, atol=1e-5
    )


def test_a_discretized_policy_shares_nothing_with_the_policy(
    make_policy: MakePolicy, outputs: Outputs, observations: Tensor
) -> None:
    # given
    policy = make_policy("box")
    before = outputs(policy, observations)
    # when
    plain = policy.discretize()
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.zero_()
    # then
    assert torch.equal(outputs(policy, observations), before)


def test_a_discretized_policy_lives_where_this_library_is_not_installed(
    make_policy: MakePolicy, observations: Tensor, tmp_path: Path
) -> None:
    # given
    path = str(tmp_path / "plain.pt")
    policy = make_policy("box").resize([7, 4])
    policy.discretize().save(path)
    np.save(tmp_path / "observations.npy", observations.numpy())
    code = """
import sys
sys.modules["sb3_integral"] = None
import numpy as np
from stable_baselines3.common.policies import ActorCriticPolicy
path, observations, actions = sys.argv[1:]
policy = ActorCriticPolicy.load(path, device="cpu")
np.save(actions, policy.predict(np.load(observations), deterministic=True)[0])
"""
    arguments = [path, str(tmp_path / "observations.npy"), str(tmp_path / "actions.npy")]
    # when
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    # then
    expected, _ = policy.predict(observations.numpy(), deterministic=True)
    np.testing.assert_allclose(np.load(tmp_path / "actions.npy"), expected, rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------- saving, loading, copying


@pytest.mark.parametrize("algorithm", [PPO, A2C, TRPO])
@some_options("default", "named", "objects")
def test_a_model_comes_back_at_the_size_it_was_saved_at_and_grows_again(
    outputs: Outputs, tmp_path: Path, algorithm: type[BaseAlgorithm], options: dict[str, Any]
) -> None:
    # given
    model = make_model(algorithm, "Pendulum-v1", **options).learn(128)
    observations = torch.as_tensor(np.stack([model.observation_space.sample() for _ in range(16)]))
    full = outputs(model.policy, observations)
    resized = outputs(model.policy.resize([5, 7]), observations)
    actions, _ = model.predict(observations.numpy(), deterministic=True)
    # when
    model.save(tmp_path / "model")
    loaded = algorithm.load(tmp_path / "model", device="cpu")
    # then: it predicts the same
    policy = loaded.policy
    assert type(policy) is IntegralActorCriticPolicy
    assert (policy.sizes, policy.max_sizes) == ((5, 7), (16, 12))
    np.testing.assert_array_equal(loaded.predict(observations.numpy(), deterministic=True)[0], actions)
    assert torch.equal(outputs(policy, observations), resized)
    # and has kept what is not of the current size
    assert torch.equal(outputs(policy.resize([16, 12]), observations), full)
    assert not torch.equal(full, resized)


def test_a_loaded_model_goes_on_learning(tmp_path: Path) -> None:
    # given
    model = make_model(grid_size=9).learn(128)
    model.policy.resize(6)
    model.save(tmp_path / "model")
    # when
    loaded = PPO.load(tmp_path / "model", env=model.get_env(), device="cpu")
    before = loaded.policy.parameters_to_vector()
    loaded.learn(128)
    # then
    assert loaded.policy.sizes == (6, 6)
    assert not np.array_equal(loaded.policy.parameters_to_vector(), before)
    assert np.isfinite(loaded.policy.parameters_to_vector()).all()


@some_options("default", "named", "objects", "sb3")
def test_a_policy_comes_back_as_it_was_saved(
    make_policy: MakePolicy,
    outputs: Outputs,
    observations: Tensor,
    tmp_path: Path,
    options: dict[str, Any],
) -> None:
    # given
    policy = make_policy("box", **options)
    full = outputs(policy, observations)
    resized = outputs(policy.resize([5, 7]), observations)
    # when
    policy.save(str(tmp_path / "policy.pt"))
    loaded = IntegralActorCriticPolicy.load(str(tmp_path / "policy.pt"), device="cpu")
    loaded.set_training_mode(False)
    # then
    assert (loaded.sizes, loaded.max_sizes) == ((5, 7), (16, 12))
    assert loaded.critic_sizes == policy.critic_sizes
    assert loaded.share_features_extractor == policy.share_features_extractor
    assert torch.equal(outputs(loaded, observations), resized)
    assert torch.equal(outputs(loaded.resize([16, 12]), observations), full)


def test_a_copy_has_a_size_and_weights_of_its_own(
    make_policy: MakePolicy, outputs: Outputs, observations: Tensor
) -> None:
    # given
    policy = make_policy("box", integral_critic=True)
    full = outputs(policy, observations)
    resized = outputs(policy.resize([5, 7]), observations)
    # when
    copied = copy.deepcopy(policy)
    # then: it is the same
    assert copied.sizes == (5, 7)
    assert torch.equal(outputs(copied, observations), resized)
    # and its layers follow its own axes
    assert torch.equal(outputs(copied.resize([16, 12]), observations), full)
    assert policy.sizes == (5, 7)
    assert torch.equal(outputs(policy, observations), resized)
    # and its weights are its own
    with torch.no_grad():
        copied.action_net.weight.zero_()
    assert torch.equal(outputs(policy, observations), resized)


def test_parameters_can_be_given_to_another_model(outputs: Outputs, observations: Tensor) -> None:
    # given
    source, target = make_model(seed=0), make_model(seed=1)
    observations = observations[:, :4]
    full = outputs(source.policy, observations)
    assert not torch.equal(outputs(target.policy, observations), full)
    resized = outputs(source.policy.resize([5, 7]), observations)
    # when
    target.set_parameters(source.get_parameters())
    # then
    assert target.policy.sizes == (5, 7)
    assert torch.equal(outputs(target.policy, observations), resized)
    assert torch.equal(outputs(target.policy.resize([16, 12]), observations), full)


def test_parameters_survive_the_way_through_a_vector(
    make_policy: MakePolicy, outputs: Outputs, observations: Tensor
) -> None:
    # given
    source, target = make_policy(seed=0).resize(5), make_policy(seed=1).resize(5)
    # when
    target.load_from_vector(source.parameters_to_vector())
    # then
    assert torch.equal(outputs(target, observations), outputs(source, observations))


# ---------------------------------------------------------------- what cannot be built


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"kernel": "spline"}, r"unknown kernel 'spline'; known are .*\bcubic\b"),
        ({"quadrature": "romberg"}, r"unknown quadrature 'romberg'; known are .*\btrapezoidal\b"),
        ({"grid_size": 0}, r"grid_size must be an integer of at least 1, got 0"),
        (
            {"grid_size": [9, 9, 9]},
            r"grid_size .*one per hidden layer \(2\), got 3 of them: \[9, 9, 9\]",
        ),
        ({"net_arch": [16, 0]}, r"net_arch must be an integer of at least 1, got 0"),
        ({"net_arch": [16, 2.5]}, r"net_arch must be an integer of at least 1, got 2\.5"),
    ],
    ids=str,
)
def test_a_bad_option_is_named_with_what_was_expected(
    make_policy: MakePolicy, kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_policy(**kwargs)


def test_corrections_can_be_of_the_output_alone(make_policy: MakePolicy, tmp_path: Path) -> None:
    # given
    policy = make_policy(nested=True, scale_levels=[0, 0, 3])
    layers = [*policy.mlp_extractor.policy_net[::2], policy.action_net]
    assert [hasattr(layer, "corrections") for layer in layers] == [False, False, True]
    # when
    policy.save(str(tmp_path / "policy.zip"))
    loaded = IntegralActorCriticPolicy.load(str(tmp_path / "policy.zip"))
    # then
    assert loaded.scale_levels == [0, 0, 3]
    for size in (16, 7):
        ours, theirs = (p.discretize(min(size, 12)).state_dict() for p in (policy, loaded))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("levels", [[0, 3], [1, 1, 1, 1]])
def test_corrections_are_for_each_layer_or_for_all(make_policy: MakePolicy, levels: list[int]) -> None:
    with pytest.raises(ValueError, match=r"one for each layer of the actor \(3\), got \["):
        make_policy(nested=True, scale_levels=levels)
