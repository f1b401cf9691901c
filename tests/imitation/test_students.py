from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_integral import IntegralActorCriticPolicy, ResizablePolicy
from sb3_integral.imitation import (
    ACTIVATIONS,
    StudentArchitecture,
    clone,
)
from sb3_integral.policies import StandardizeExtractor
from sb3_integral.policies.serialization import load_policy, save_policy

ARCHITECTURES = [
    StudentArchitecture(kind, (12, 10), activation, standardize)
    for kind, activation, standardize in product(("plain", "integral"), ("relu", "tanh"), (True, False))
]
ARCHITECTURES.append(
    StudentArchitecture("integral", [12], grid_size=20, kernel="b-spline", quadrature="midpoint")
)


def label(architecture: StudentArchitecture) -> str:
    standardize = "standardized" if architecture.standardize else "raw"
    return f"{architecture.kind}-{architecture.activation}-{standardize}-{architecture.grid_size}"


@pytest.fixture(params=ARCHITECTURES, ids=label)
def architecture(request):
    return request.param


@pytest.fixture(scope="module")
def saved(cart_pole, tmp_path_factory):
    """The file of a small student of CartPole."""
    architecture = StudentArchitecture("integral", (6, 6))
    path = tmp_path_factory.mktemp("student") / "student.safetensors"
    policy = architecture.build(cart_pole.observation_space, cart_pole.action_space, seed=0)
    save_policy(policy, path)
    return path


def build(task, architecture: StudentArchitecture, seed: int = 0) -> ActorCriticPolicy:
    return architecture.build(task.observation_space, task.action_space, seed)


def assert_identical(one: ActorCriticPolicy, other: ActorCriticPolicy) -> None:
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_the_same_seed_builds_the_same_student_and_another_seed_another(task, architecture):
    assert_identical(build(task, architecture, 3), build(task, architecture, 3))
    with pytest.raises(AssertionError, match="weight"):
        assert_identical(build(task, architecture, 3), build(task, architecture, 4))


def test_plain_and_integral_students_of_a_seed_start_with_the_same_weights_and_actions(task):
    # given
    integral = build(task, StudentArchitecture("integral", (12, 10)), seed=5)
    plain = build(task, StudentArchitecture("plain", (12, 10)), seed=5)

    # when
    weights = {n: p for n, p in integral.named_parameters() if ".corrections." not in n}

    # then
    assert weights.keys() == dict(plain.named_parameters()).keys()
    for name, parameter in plain.named_parameters():
        assert torch.equal(parameter, weights[name]), name
    obs = task.demonstrations.observations[:50].numpy()
    np.testing.assert_array_equal(
        integral.predict(obs, deterministic=True)[0], plain.predict(obs, deterministic=True)[0]
    )


def test_building_and_loading_leave_the_random_state_of_torch_alone(cart_pole, architecture, tmp_path):
    before = torch.random.get_rng_state()
    save_policy(build(cart_pole, architecture), tmp_path / "student.safetensors")
    load_policy(tmp_path / "student.safetensors", cart_pole.observation_space, cart_pole.action_space)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_student_is_of_its_architecture(cart_pole, architecture):
    policy = build(cart_pole, architecture)
    integral = architecture.kind == "integral"
    assert isinstance(policy, IntegralActorCriticPolicy) is integral
    resizable = policy if integral else ResizablePolicy(policy)
    assert resizable.max_sizes == tuple(architecture.hidden_sizes)
    assert isinstance(policy.features_extractor, StandardizeExtractor) is architecture.standardize
    activations = [type(module) for module in policy.mlp_extractor.policy_net][1::2]
    assert activations == [ACTIVATIONS[architecture.activation]] * len(architecture.hidden_sizes)
    # The critic, which cloning never uses, has no hidden layer.
    assert len(policy.mlp_extractor.value_net) == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"kind": "sparse"}, "unknown kind of student 'sparse', expected integral or plain"),
        (
            {"kind": "plain", "activation": "step"},
            "unknown activation 'step'; known are elu, relu, silu, tanh",
        ),
    ],
)
def test_an_unknown_name_is_an_error_that_lists_the_known(arguments, expected):
    with pytest.raises(ValueError, match=expected):
        StudentArchitecture(**arguments)


@pytest.mark.parametrize("size", [None, 5, 25])
def test_a_loaded_student_is_the_one_that_was_saved(task, architecture, tmp_path, size):
    # given a trained student, resized if it can be
    policy = build(task, architecture)
    clone(policy, task.demonstrations, n_epochs=1, batch_size=64)
    if size is not None and architecture.kind == "integral":
        policy.resize(size)

    # when
    path = tmp_path / "student.safetensors"
    save_policy(policy, path)
    loaded = load_policy(path, task.observation_space, task.action_space)

    # then
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert type(loaded) is type(policy)
    assert not loaded.training
    assert_identical(loaded, policy)
    obs = task.demonstrations.observations[:200].numpy()
    np.testing.assert_array_equal(
        loaded.predict(obs, deterministic=True)[0], policy.predict(obs, deterministic=True)[0]
    )
    if architecture.kind == "integral":
        assert loaded.sizes == policy.sizes
        # Other sizes are there too, not only the one it was saved at.
        np.testing.assert_array_equal(
            loaded.resize(7).predict(obs, deterministic=True)[0],
            policy.resize(7).predict(obs, deterministic=True)[0],
        )


def test_saving_again_puts_a_whole_file_in_the_place_of_the_one_before(cart_pole, saved, tmp_path):
    # given a file that somebody may be reading
    path, reader = tmp_path / "student.safetensors", tmp_path / "reader"
    path.write_bytes(saved.read_bytes())
    reader.hardlink_to(path)

    # when
    architecture = StudentArchitecture("plain", (6,))
    save_policy(build(cart_pole, architecture), path)

    # then the reader still has all of what was there, and the name is that of another file
    assert reader.read_bytes() == saved.read_bytes()
    assert path.read_bytes() != saved.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["reader", path.name]


def test_a_student_that_cannot_be_written_leaves_what_was_there(cart_pole, saved, tmp_path):
    # given a folder in which a student stands, and one with a tensor that no file can hold
    path = tmp_path / "student.safetensors"
    path.write_bytes(saved.read_bytes())
    architecture = StudentArchitecture("plain", (6,))
    policy = build(cart_pole, architecture)
    policy.action_net.weight = torch.nn.Parameter(torch.empty(2, 6, device="meta"))

    # when
    with pytest.raises(NotImplementedError, match="meta"):
        save_policy(policy, path)

    # then
    assert path.read_bytes() == saved.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@given(kept=st.floats(0.0, 1.0, exclude_max=True))
@settings(deadline=None, max_examples=25)
def test_a_cut_file_is_an_error_that_names_it(cart_pole, saved, fresh_folder, kept):
    with fresh_folder() as folder:
        whole = saved.read_bytes()
        path = folder / "cut.safetensors"
        path.write_bytes(whole[: int(kept * len(whole))])
        with pytest.raises(ValueError, match=rf"{path} is not a whole safe file"):
            load_policy(path, cart_pole.observation_space, cart_pole.action_space)


@given(content=st.binary(max_size=200))
@settings(deadline=None, max_examples=25)
def test_a_file_of_anything_is_an_error_that_names_it(cart_pole, fresh_folder, content):
    with fresh_folder() as folder:
        path = folder / "random.safetensors"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{path} is not a whole safe file"):
            load_policy(path, cart_pole.observation_space, cart_pole.action_space)


@pytest.mark.parametrize("header", [None, {"other": "{}"}, {"architecture": "no JSON"}], ids=str)
def test_tensors_without_a_header_are_an_error(cart_pole, tmp_path, header):
    path = tmp_path / "student.safetensors"
    save_file({"weight": torch.zeros(3)}, path, metadata=header)
    with pytest.raises(ValueError, match=rf"{path} is not a safe file"):
        load_policy(path, cart_pole.observation_space, cart_pole.action_space)


def test_a_missing_file_is_an_error_that_names_it(cart_pole, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.safetensors is not a whole safe file"):
        load_policy(
            tmp_path / "nowhere.safetensors", cart_pole.observation_space, cart_pole.action_space
        )


@pytest.mark.parametrize(
    ("observation_space", "action_space"),
    [
        (spaces.Box(-1.0, 1.0, (6,)), None),
        (None, spaces.Discrete(3)),
        (None, spaces.Box(-1.0, 1.0, (1,))),
    ],
    ids=["wider observations", "more actions", "continuous action"],
)
def test_other_spaces_are_an_error_that_names_them(cart_pole, saved, observation_space, action_space):
    # given spaces of which one is not CartPole's
    asked = (observation_space or cart_pole.observation_space, action_space or cart_pole.action_space)

    # when
    with pytest.raises(ValueError, match="was not made for") as error:
        load_policy(saved, *asked)

    # then
    assert str(saved) in str(error.value)
    assert all(str(space) in str(error.value) for space in asked)


def test_a_student_of_continuous_actions_is_not_one_of_discrete_actions(tmp_path):
    # given a student whose actions are three numbers
    architecture = StudentArchitecture("integral", (6, 6))
    observation_space = spaces.Box(-1.0, 1.0, (4,))
    policy = architecture.build(observation_space, spaces.Box(-1.0, 1.0, (3,)), seed=0)
    save_policy(policy, tmp_path / "student.safetensors")

    # when, then it is not taken for one that chooses among three
    with pytest.raises(ValueError, match=r"was not made for .* and Discrete\(3\)"):
        load_policy(tmp_path / "student.safetensors", observation_space, spaces.Discrete(3))


def test_spaces_of_the_same_shapes_are_still_other_spaces(cart_pole, saved):
    # given a space of as many outputs as CartPole has actions
    other = spaces.MultiBinary(2)
    # when, then
    with pytest.raises(ValueError, match=r"was not made for .*MultiBinary\(2\)"):
        load_policy(saved, cart_pole.observation_space, other)


@pytest.mark.parametrize("broken", ["missing", "not finite"])
def test_weights_that_are_not_all_there_are_an_error(cart_pole, saved, tmp_path, broken):
    # given
    path = tmp_path / "broken.safetensors"
    with safe_open(saved, framework="pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if broken == "missing":
        del tensors["action_net.weight"]
    else:
        tensors["action_net.weight"][0, 0] = torch.nan
    save_file(tensors, path, metadata=header)
    # when, then
    with pytest.raises(ValueError, match=r"broken\.safetensors was changed since it was written"):
        load_policy(path, cart_pole.observation_space, cart_pole.action_space)
