from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor

from sb3_integral import ResizablePolicy
from sb3_integral.deploy import export_sb3, fold_normalization, plain_policy

ALGORITHMS = (PPO, A2C, DQN, SAC, TD3, DDPG, TRPO, MaskablePPO, RecurrentPPO, QRDQN, TQC, CrossQ, ARS)

ROLLOUT = {"n_steps": 10, "batch_size": 10}
TRAINED: dict[type[BaseAlgorithm], dict[str, Any]] = {
    **{kind: ROLLOUT | {"n_epochs": 1, "use_sde": True} for kind in (PPO, RecurrentPPO)},
    A2C: {"n_steps": 10, "use_sde": True},
    TRPO: ROLLOUT | {"use_sde": True},
    MaskablePPO: ROLLOUT | {"n_epochs": 1},
    **{kind: {"use_sde": True} for kind in (SAC, TQC, CrossQ)},
    ARS: {"n_delta": 1, "n_top": 1},
}
"""What makes models keep as much as they can, after a few steps."""

# What a user has who never heard of this library.
USER_CODE = """
    import sys

    sys.modules["sb3_integral"] = None
    import numpy as np
    from stable_baselines3 import DQN, PPO, SAC

    for algorithm in (PPO, DQN, SAC):
        name = algorithm.__name__
        model = algorithm.load(name + ".zip", device="cpu")
        arrays = np.load(name + ".npz")
        got = model.predict(arrays["observations"], deterministic=True)[0]
        np.testing.assert_allclose(got, arrays["actions"], rtol=1e-5, atol=1e-5)
    loaded = [name for name in sys.modules if name.startswith("sb3_integral.")]
    assert not loaded, loaded
    print("done")
"""


@given(data=st.data())
@settings(max_examples=15)
def test_a_policy_becomes_a_model_that_acts_the_same(
    data: st.DataObject,
    draw_policy: Callable[..., Any],
    observe: Callable[..., Any],
    agree: Callable[..., None],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # given
    policy = draw_policy(data)
    path = tmp_path_factory.mktemp("sb3") / "model.zip"
    size = data.draw(st.integers(1, 24))
    # when
    export_sb3(policy, path, size, algorithm=PPO)
    model = PPO.load(path, device="cpu")
    # then
    assert type(model.policy) is ActorCriticPolicy
    assert type(model.policy.features_extractor) is FlattenExtractor
    seen = observe(policy.observation_space)
    wanted = policy.resize(size).predict(seen, deterministic=True)[0]
    agree(model.predict(seen, deterministic=True)[0], wanted)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_model_of_any_algorithm_acts_the_same_and_trains_on(
    algorithm: type[BaseAlgorithm],
    make_model: Callable[..., Any],
    observe: Callable[..., Any],
    agree: Callable[..., None],
    tmp_path: Path,
) -> None:
    # given a model that has trained
    source = make_model(algorithm)
    if algorithm not in (PPO, A2C, TRPO, MaskablePPO, RecurrentPPO, ARS):
        source.learn(20)
    sizes = source.policy.sizes
    # when
    export_sb3(source, tmp_path / "model.zip", size=[5, 7])
    loaded: Any = algorithm.load(tmp_path / "model.zip", device="cpu")
    # then the source is as it was, and what was loaded is plain
    assert source.policy.sizes == sizes
    assert not any("sb3_integral" in type(module).__module__ for module in loaded.policy.modules())
    assert loaded.num_timesteps == source.num_timesteps
    seen = observe(source.observation_space)
    wanted = source.policy.resize([5, 7]).predict(seen, deterministic=True)[0]
    agree(loaded.predict(seen, deterministic=True)[0], wanted)
    if hasattr(source, "log_ent_coef"):
        assert torch.equal(loaded.log_ent_coef, source.log_ent_coef)
    for name in ("gamma", "learning_rate", "buffer_size", "n_steps"):
        assert getattr(loaded, name, None) == getattr(source, name, None)


@pytest.mark.parametrize("algorithm", [SAC, DQN, TD3])
def test_what_was_exported_learns(
    algorithm: type[BaseAlgorithm], make_model: Callable[..., Any], tmp_path: Path
) -> None:
    # given
    source = make_model(algorithm)
    export_sb3(source, tmp_path / "model.zip", size=5)
    # when
    model: Any = algorithm.load(tmp_path / "model.zip", env=source.get_env(), device="cpu")
    before = [parameter.detach().clone() for parameter in model.policy.parameters()]
    model.learn(40)
    # then
    after = model.policy.parameters()
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_plain_sb3_loads_it_where_this_library_is_not(
    student: Any, make_model: Callable[..., Any], observe: Callable[..., Any], tmp_path: Path
) -> None:
    # given a student and two models
    sources = {PPO: student, DQN: make_model(DQN), SAC: make_model(SAC)}
    for algorithm, source in sources.items():
        name = algorithm.__name__
        export_sb3(source, tmp_path / f"{name}.zip", size=6, algorithm=algorithm)
        policy = getattr(source, "policy", source).discretize(6)
        seen = observe(policy.observation_space)
        actions = policy.predict(seen, deterministic=True)[0]
        np.savez(tmp_path / f"{name}.npz", observations=seen, actions=actions)
    # when
    code = textwrap.dedent(USER_CODE)
    result = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    # then
    assert result.stdout == "done\n", result.stderr


@pytest.mark.parametrize("kind", ["integral", "plain"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_normalisation_goes_along_with_a_model_that_has_trained(
    algorithm: type[BaseAlgorithm],
    kind: str,
    make_model: Callable[..., Any],
    make_normalize: Callable[..., Any],
    observe: Callable[..., Any],
    agree: Callable[..., None],
    tmp_path: Path,
) -> None:
    # given a model that keeps what it computed last, and statistics that nothing is clipped by
    stock = "MlpLstmPolicy" if algorithm is RecurrentPPO else "MlpPolicy"
    source = make_model(
        algorithm,
        stock if kind == "plain" else "IntegralMlpPolicy",
        arguments=TRAINED.get(algorithm, {}),
        **({"batch_norm": False} if algorithm is CrossQ else {}),
    )
    masks = {"use_masking": False} if algorithm is MaskablePPO else {}
    source.learn(20, **masks)
    normalize = make_normalize(source.observation_space)
    # when
    if kind == "integral":
        source.policy.resize(6)
    export_sb3(source, tmp_path / "model.zip", normalize=normalize)
    model = algorithm.load(tmp_path / "model.zip", device="cpu")
    folded = fold_normalization(source.policy, normalize)
    # then
    seen = observe(source.observation_space)
    wanted = source.predict(normalize.normalize_obs(seen), deterministic=True)[0]
    agree(model.predict(seen, deterministic=True)[0], wanted, 5e-5)
    # and an integral policy stays one
    assert type(folded) is type(source.policy)
    agree(folded.predict(seen, deterministic=True)[0], wanted, 5e-5)


def test_normalisation_joins_standardisation(
    student: Any,
    make_normalize: Callable[..., Any],
    observe: Callable[..., Any],
    agree: Callable[..., None],
) -> None:
    normalize = make_normalize(student.observation_space)
    seen = observe(student.observation_space)
    wanted = student.predict(normalize.normalize_obs(seen), deterministic=True)[0]
    for policy in (fold_normalization(student, normalize), plain_policy(student, None, normalize)):
        agree(policy.predict(seen, deterministic=True)[0], wanted, 2e-5)


def test_normalisation_of_a_dictionarys_vectors_goes_along(
    make_model: Callable[..., Any],
    make_normalize: Callable[..., Any],
    observe: Callable[..., Any],
    agree: Callable[..., None],
) -> None:
    # given
    space = spaces.Dict({"b": spaces.Box(-1.0, 1.0, (2,)), "a": spaces.Box(-1.0, 1.0, (3,))})
    source = make_model(PPO, "IntegralMultiInputPolicy", space)
    normalize = make_normalize(space)
    # when
    policy = plain_policy(source, 6, normalize)
    # then
    seen = observe(space)
    wanted = source.policy.resize(6).predict(normalize.normalize_obs(seen), deterministic=True)[0]
    agree(policy.predict(seen, deterministic=True)[0], wanted, 2e-5)


def test_a_plain_policy_in_the_wrapper_is_exported_at_its_size(
    student: Any, observe: Callable[..., Any], agree: Callable[..., None], tmp_path: Path
) -> None:
    wrapper = ResizablePolicy(student.discretize()).resize(4)
    export_sb3(wrapper, tmp_path / "model.zip", algorithm=A2C)
    seen = observe(student.observation_space)
    got = A2C.load(tmp_path / "model.zip", device="cpu").predict(seen, deterministic=True)[0]
    agree(got, wrapper.predict(seen, deterministic=True)[0])


def test_what_cannot_be_exported_says_so_and_writes_nothing(
    student: Any, make_model: Callable[..., Any], make_normalize: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "model.zip"
    with pytest.raises(ValueError, match="belongs to no algorithm, expected algorithm=PPO"):
        export_sb3(student, path)
    with pytest.raises(ValueError, match="DQN has no ActorCriticPolicy"):
        export_sb3(student, path, algorithm=DQN)
    with pytest.raises(ValueError, match="has one size, got size=3"):
        export_sb3(student.discretize(), path, 3, algorithm=PPO)
    with pytest.raises(ValueError, match="integer of at least 1"):
        export_sb3(student, path, 0, algorithm=PPO)
    with pytest.raises(ValueError, match=r"normalisation is for observations of shape \(3,\)"):
        export_sb3(student, path, normalize=make_normalize(spaces.Box(-1.0, 1.0, (3,))), algorithm=PPO)
    image = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    images = make_model(PPO, "IntegralCnnPolicy", image, features_extractor_kwargs={"features_dim": 16})
    with pytest.raises(ValueError, match="expected the channels of the CNN at full size"):
        export_sb3(images, path, size=8)
    assert not list(tmp_path.iterdir())
    export_sb3(images, path, size=[32, 64, 64, 8, 4, 4])
    assert PPO.load(path, device="cpu").policy.features_extractor.features_dim == 8


@pytest.mark.parametrize("algorithm", [SAC, TQC, CrossQ, PPO, A2C, TRPO, RecurrentPPO])
@pytest.mark.parametrize("arguments", [{}, {"use_expln": True, "log_std_init": -1.0}], ids=str)
def test_a_model_that_explores_with_gsde_acts_the_same(
    algorithm: type[BaseAlgorithm],
    arguments: dict[str, Any],
    make_model: Callable[..., Any],
    observe: Callable[..., Any],
    agree: Callable[..., None],
    tmp_path: Path,
) -> None:
    # given
    model = make_model(algorithm, arguments={"use_sde": True}, **arguments)
    model.policy.resize(7)
    # when
    export_sb3(model, tmp_path / "model.zip")
    plain = algorithm.load(tmp_path / "model.zip")
    # then
    assert plain.use_sde
    seen = observe(model.observation_space)
    agree(plain.predict(seen, deterministic=True)[0], model.predict(seen, deterministic=True)[0], 1e-4)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_policy_alone_becomes_a_model_of_any_algorithm(
    algorithm: type[BaseAlgorithm],
    make_model: Callable[..., Any],
    observe: Callable[..., Any],
    agree: Callable[..., None],
    tmp_path: Path,
) -> None:
    # given
    policy = make_model(algorithm).policy.resize(7)
    # when
    export_sb3(policy, tmp_path / "model.zip", algorithm=algorithm)
    plain = algorithm.load(tmp_path / "model.zip")
    # then
    seen = observe(policy.observation_space)
    agree(plain.predict(seen, deterministic=True)[0], policy.predict(seen, deterministic=True)[0], 1e-4)
