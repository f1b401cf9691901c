"""Saving, loading, copying and sending: what keeps the size, and what plain models take from it."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import numpy as np
import pytest
import torch
from sb3_contrib import ARS, QRDQN, TQC, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv
from torch import Tensor

from sb3_integral.nn import LinearInterpolation, Simpson

MakeModel = Callable[..., Any]
HeadOutputs = Callable[..., Tensor]

ALGORITHMS = [PPO, DQN, SAC, TD3, QRDQN, TQC, CrossQ, MaskablePPO, RecurrentPPO, ARS]
KINDS = [
    *(pytest.param(algorithm, "IntegralMlpPolicy", id=algorithm.__name__) for algorithm in ALGORITHMS),
    *(
        pytest.param(algorithm, "IntegralCnnPolicy", id=f"{algorithm.__name__}-Cnn")
        for algorithm in (PPO, DQN, TD3)
    ),
]
every_kind = pytest.mark.parametrize(("algorithm", "kind"), KINDS)


def integral(make_model: MakeModel, algorithm: type[BaseAlgorithm], kind: str, **kwargs: Any) -> Any:
    if algorithm is RecurrentPPO:
        kwargs["lstm_hidden_size"] = 8
    if kind.endswith("CnnPolicy"):
        kwargs["features_extractor_kwargs"] = {"features_dim": 16}
    return make_model(algorithm, kind, **{"net_arch": [16, 12], **kwargs})


def smaller(policy: Any) -> tuple[int, ...]:
    return tuple(size // 2 - i for i, size in enumerate(policy.max_sizes))


def is_size(name: str) -> bool:
    return name.endswith(".points")


# ---------------------------------------------------------------- parameters of another model


@every_kind
def test_parameters_of_an_integral_model_bring_their_size(
    make_model: MakeModel, head_outputs: HeadOutputs, algorithm: type[BaseAlgorithm], kind: str
) -> None:
    # given
    source = integral(make_model, algorithm, kind, seed=0)
    target = integral(make_model, algorithm, kind, seed=1)
    full = head_outputs(source.policy, source)
    assert not torch.equal(head_outputs(target.policy, source), full)
    sizes = smaller(source.policy)
    resized = head_outputs(source.policy.resize(sizes), source)
    # when
    target.set_parameters(source.get_parameters())
    # then
    assert target.policy.sizes == sizes
    assert torch.equal(head_outputs(target.policy, source), resized)
    assert torch.equal(head_outputs(target.policy.resize(source.policy.max_sizes), source), full)


@every_kind
def test_a_plain_models_parameters_are_taken_where_no_size_is_asked_for(
    make_model: MakeModel,
    stock: Callable[..., str],
    head_outputs: HeadOutputs,
    algorithm: type[BaseAlgorithm],
    kind: str,
) -> None:
    # given
    plain = integral(make_model, algorithm, stock(algorithm, kind), seed=0)
    target = integral(make_model, algorithm, kind, seed=1)
    sizes = smaller(target.policy)
    target.policy.resize(sizes)
    # when they are not asked to match exactly
    target.set_parameters(plain.get_parameters(), exact_match=False)
    # then: the current size is kept
    assert target.policy.sizes == sizes
    # when they are: they are those of full size
    target.set_parameters(plain.get_parameters())
    assert target.policy.sizes == target.policy.max_sizes
    assert torch.equal(head_outputs(target.policy, plain), head_outputs(plain.policy, plain))


@every_kind
def test_a_plain_model_takes_the_parameters_of_full_size_whatever_the_size_in_force(
    make_model: MakeModel,
    stock: Callable[..., str],
    head_outputs: HeadOutputs,
    algorithm: type[BaseAlgorithm],
    kind: str,
) -> None:
    # given
    source = integral(make_model, algorithm, kind, seed=0)
    full = head_outputs(source.policy, source)
    plain = integral(make_model, algorithm, stock(algorithm, kind), seed=1)
    source.policy.resize(smaller(source.policy))
    # when / then: it has no axis to give their size to
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\).*actor_axes\.0\.points"):
        plain.set_parameters(source.get_parameters())
    # when
    plain.set_parameters(source.get_parameters(), exact_match=False)
    # then
    assert torch.equal(head_outputs(plain.policy, source), full)


@pytest.mark.parametrize("algorithm", [PPO, DQN, SAC, TD3])
def test_a_plain_model_takes_those_of_a_discretized_policy(
    make_model: MakeModel, head_outputs: HeadOutputs, algorithm: type[BaseAlgorithm]
) -> None:
    # given
    source = integral(make_model, algorithm, "IntegralMlpPolicy").policy.resize([7, 5])
    arch = {PPO: {"pi": [7, 5], "vf": [16, 12]}, DQN: [7, 5]}
    plain = make_model(
        algorithm, "MlpPolicy", net_arch=arch.get(algorithm, {"pi": [7, 5], "qf": [16, 12]})
    )
    # when
    plain.policy.load_state_dict(source.discretize().state_dict())
    # then
    torch.testing.assert_close(
        head_outputs(plain.policy, plain), head_outputs(source, plain), rtol=1e-4, atol=1e-5
    )
    # and goes on learning from there
    before = head_outputs(plain.policy, plain)
    plain.learn(30)
    assert not torch.equal(head_outputs(plain.policy, plain), before)


def test_the_state_is_that_of_the_plain_policy_and_the_sizes(make_model: MakeModel) -> None:
    # given
    policy = integral(make_model, PPO, "IntegralMlpPolicy").policy.resize([7, 5])
    plain = integral(make_model, PPO, "MlpPolicy").policy
    # when
    state = policy.state_dict()
    # then: parameters are those of full size
    assert {name for name in state if not is_size(name)} == set(plain.state_dict())
    assert [len(value) for name, value in state.items() if is_size(name)] == [7, 5]
    for name, value in plain.state_dict().items():
        assert torch.equal(state[name], value)


# ---------------------------------------------------------------- copies


@pytest.mark.parametrize("way", ["deepcopy", "cloudpickle"])
@every_kind
def test_a_copy_has_a_size_and_parameters_of_its_own(
    make_model: MakeModel,
    head_outputs: HeadOutputs,
    algorithm: type[BaseAlgorithm],
    kind: str,
    way: str,
) -> None:
    # given
    model = integral(make_model, algorithm, kind).learn(20)
    policy = model.policy
    full = head_outputs(policy, model)
    sizes = smaller(policy)
    resized = head_outputs(policy.resize(sizes), model)
    # when
    other = copy.deepcopy(policy) if way == "deepcopy" else cloudpickle.loads(cloudpickle.dumps(policy))
    # then: it is the same
    assert type(other) is type(policy)
    assert (other.sizes, other.max_sizes) == (sizes, policy.max_sizes)
    assert torch.equal(head_outputs(other, model), resized)
    # and its layers follow its own axes, its targets included
    assert torch.equal(head_outputs(other.resize(policy.max_sizes), model), full)
    assert policy.sizes == sizes
    assert torch.equal(head_outputs(policy, model), resized)
    # and its parameters are its own, in its own optimizers
    mine = {id(parameter) for parameter in policy.parameters()}
    assert mine.isdisjoint(id(parameter) for parameter in other.parameters())
    theirs = {id(parameter) for parameter in other.parameters()}
    for module in other.modules():
        if hasattr(module, "optimizer"):
            assert theirs.issuperset(id(p) for g in module.optimizer.param_groups for p in g["params"])


@pytest.mark.parametrize("kind", ["MlpPolicy", "IntegralMlpPolicy"])
def test_noise_is_pickled_but_not_copied_as_in_sb3(make_model: MakeModel, kind: str) -> None:
    # given: exploration matrices that are results of autograd
    policy = make_model(PPO, kind, arguments={"use_sde": True}, net_arch=[8]).policy
    # then
    with pytest.raises(RuntimeError, match="deepcopy protocol"):
        copy.deepcopy(policy)
    assert type(cloudpickle.loads(cloudpickle.dumps(policy))) is type(policy)


def test_a_pickled_policy_with_noise_keeps_it_on_its_own_axis(make_model: MakeModel) -> None:
    # given
    policy = make_model(PPO, "IntegralMlpPolicy", arguments={"use_sde": True}, net_arch=[8]).policy
    other = cloudpickle.loads(cloudpickle.dumps(policy.resize(5)))
    # when
    other.resize(3)
    # then
    with torch.no_grad():
        for each in (other, policy):
            assert each.get_distribution(torch.zeros(2, 4)).sample().isfinite().all()
    assert (policy.sizes, other.sizes) == ((5,), (3,))


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_policy_that_was_saved_resized_comes_back_so_and_grows_again(
    make_model: MakeModel, head_outputs: HeadOutputs, tmp_path: Path, algorithm: type[BaseAlgorithm]
) -> None:
    # given
    options: dict[str, Any] = {"kernel": LinearInterpolation(), "quadrature": Simpson()}
    if algorithm is not CrossQ:
        options["grid_size"] = [20, 9]
    model = integral(make_model, algorithm, "IntegralMlpPolicy", **options)
    policy = model.policy
    full = head_outputs(policy, model)
    resized = head_outputs(policy.resize([5, 7]), model)
    # when
    policy.save(str(tmp_path / "policy"))
    loaded = type(policy).load(str(tmp_path / "policy"), device="cpu")
    # then
    assert (loaded.sizes, loaded.max_sizes) == ((5, 7), (16, 12))
    assert loaded.grid_size == options.get("grid_size")
    assert (loaded.kernel, loaded.quadrature) == (LinearInterpolation(), Simpson())
    assert torch.equal(head_outputs(loaded, model), resized)
    assert torch.equal(head_outputs(loaded.resize([16, 12]), model), full)


@pytest.mark.parametrize("algorithm", [PPO, SAC])
def test_a_model_is_saved_without_and_with_what_one_names(
    make_model: MakeModel, head_outputs: HeadOutputs, tmp_path: Path, algorithm: type[BaseAlgorithm]
) -> None:
    # given
    model = integral(make_model, algorithm, "IntegralMlpPolicy").learn(20)
    model.policy.resize([7, 5])
    excluded, included = ("gamma", "_last_obs"), ("device",)
    # when
    model.save(tmp_path / "model", exclude=excluded, include=included)
    loaded: Any = algorithm.load(tmp_path / "model", device="cpu", gamma=0.5)
    # then
    assert loaded.policy.sizes == (7, 5)
    assert torch.equal(head_outputs(loaded.policy, model), head_outputs(model.policy, model))
    assert loaded.gamma == 0.5
    assert loaded._last_obs is None


def test_a_model_is_saved_to_an_open_file_and_its_parameters_read_from_it(
    make_model: MakeModel, head_outputs: HeadOutputs, tmp_path: Path
) -> None:
    # given
    model = integral(make_model, TD3, "IntegralMlpPolicy")
    model.policy.resize([7, 5])
    buffer = io.BytesIO()
    # when
    model.save(buffer)
    model.save(tmp_path / "model")
    buffer.seek(0)
    loaded: Any = TD3.load(buffer, device="cpu")
    other = integral(make_model, TD3, "IntegralMlpPolicy", seed=1)
    other.set_parameters(str(tmp_path / "model"), device="cpu")
    # then
    for each in (loaded, other):
        assert each.policy.sizes == (7, 5)
        assert torch.equal(head_outputs(each.policy, model), head_outputs(model.policy, model))


def test_other_arguments_than_those_saved_are_refused_as_by_sb3(
    make_model: MakeModel, tmp_path: Path
) -> None:
    # given
    integral(make_model, PPO, "IntegralMlpPolicy").save(tmp_path / "model")
    # then
    with pytest.raises(ValueError, match="policy kwargs do not equal"):
        PPO.load(tmp_path / "model", device="cpu", policy_kwargs={"net_arch": [16, 13]})


# ---------------------------------------------------------------- devices and processes


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), "auto"], ids=str)
def test_a_model_is_made_on_the_device_that_is_named(device: Any) -> None:
    # when
    model = PPO("IntegralMlpPolicy", "CartPole-v1", device=device, n_steps=16, batch_size=8, n_epochs=1)
    policy: Any = model.policy
    policy.resize(5)
    # then: at another size too, and so is the ordinary policy
    assert policy.device.type == model.device.type
    assert {p.device.type for p in policy.parameters()} == {model.device.type}
    model.learn(16)
    assert policy.discretize().device == policy.device
    if device != "auto":
        assert model.device == torch.device("cpu")


def test_a_policy_can_be_moved_to_another_type_and_back(
    make_model: MakeModel, head_outputs: HeadOutputs
) -> None:
    # given
    model = integral(make_model, DQN, "IntegralMlpPolicy")
    policy = model.policy.resize([7, 5])
    before = head_outputs(policy, model)
    # when
    with torch.no_grad():
        double = copy.deepcopy(policy).to(torch.float64)
        outputs = double.q_net.q_net(torch.as_tensor(np.zeros((1, 4))))
        expected = policy.q_net.q_net(torch.zeros(1, 4))
    # then: what was kept for one type is not taken for the other
    assert outputs.dtype == torch.float64
    torch.testing.assert_close(outputs.float(), expected)
    assert torch.equal(head_outputs(double.to(torch.float32), model), before)


def test_environments_in_other_processes_are_trained_on(tmp_path: Path) -> None:
    # given
    env = make_vec_env("CartPole-v1", n_envs=2, seed=0, vec_env_cls=SubprocVecEnv)
    try:
        model = PPO(
            "IntegralMlpPolicy", env, n_steps=16, batch_size=16, n_epochs=1, device="cpu", seed=0
        )
        before = model.policy.parameters_to_vector()
        # when
        model.policy.resize(20)  # type: ignore[operator]
        model.learn(32)
        model.save(tmp_path / "model")
    finally:
        env.close()
    # then
    assert model.num_timesteps == 32
    assert not np.array_equal(model.policy.parameters_to_vector(), before)
    assert PPO.load(tmp_path / "model", device="cpu").policy.sizes == (20, 20)
