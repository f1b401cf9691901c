"""Actors, critics and Q-networks that are saved on their own, as SB3 allows."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib import QRDQN, TQC, CrossQ
from stable_baselines3 import DQN, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BaseModel

MakeModel = Callable[..., Any]

ACTORS: dict[type[BaseAlgorithm], str] = {
    SAC: "actor",
    TD3: "actor",
    TQC: "actor",
    CrossQ: "actor",
    DQN: "q_net",
    QRDQN: "quantile_net",
}
OFF_POLICY = pytest.mark.parametrize("algorithm", ACTORS)


def parts(policy: Any) -> dict[str, BaseModel]:
    return {name: part for name, part in policy.named_children() if isinstance(part, BaseModel)}


@OFF_POLICY
def test_at_full_size_every_part_comes_back_as_sb3s(
    make_model: MakeModel, stock: Callable[..., str], tmp_path: Path, algorithm: type[BaseAlgorithm]
) -> None:
    # given
    policy = make_model(algorithm, net_arch=[16, 12]).policy
    plain = make_model(algorithm, stock(algorithm, "IntegralMlpPolicy"), net_arch=[16, 12]).policy
    assert parts(policy).keys() == parts(plain).keys()
    for name, part in parts(policy).items():
        if name.startswith("critic"):
            continue  # SB3 saves it without all that its constructor needs
        path = str(tmp_path / name)
        # when
        part.save(path)
        # then
        for kind in (type(part), type(parts(plain)[name])):
            loaded = kind.load(path, device="cpu")
            for key, value in part.state_dict().items():
                assert torch.equal(loaded.state_dict()[key], value)


@OFF_POLICY
def test_a_resized_actor_and_its_target_are_not_saved_alone(
    make_model: MakeModel, tmp_path: Path, algorithm: type[BaseAlgorithm]
) -> None:
    # given
    policy = make_model(algorithm, net_arch=[16, 12]).policy.resize([5, 4])
    actors = {name: part for name, part in parts(policy).items() if name.startswith(ACTORS[algorithm])}
    assert actors
    for part in actors.values():
        # when / then
        with pytest.raises(ValueError, match=r"would not keep its size, expected policy\.save"):
            part.save(str(tmp_path / "part"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("algorithm", [SAC, TD3])
def test_a_critic_is_saved_alone_unless_it_reads_channels_that_are_resized(
    make_model: MakeModel, tmp_path: Path, algorithm: type[BaseAlgorithm]
) -> None:
    # given
    small = {"net_arch": [8], "features_extractor_kwargs": {"features_dim": 16}}
    dense = make_model(algorithm, net_arch=[16]).policy.resize(5)
    shared = make_model(algorithm, "IntegralCnnPolicy", share_features_extractor=True, **small).policy
    # when / then
    dense.critic.save(str(tmp_path / "critic"))
    shared.critic.save(str(tmp_path / "shared"))
    with pytest.raises(ValueError, match="would not keep its size"):
        shared.resize(4).critic.save(str(tmp_path / "resized"))


@OFF_POLICY
def test_a_part_of_the_discretized_policy_keeps_its_size(
    make_model: MakeModel, tmp_path: Path, algorithm: type[BaseAlgorithm]
) -> None:
    # given
    policy = make_model(algorithm, net_arch=[16, 12]).policy.resize([5, 4]).discretize()
    part: Any = policy.get_submodule(ACTORS[algorithm])
    # when
    part.save(str(tmp_path / "part"))
    loaded = type(part).load(str(tmp_path / "part"), device="cpu")
    # then
    observations = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    actions = [each.predict(observations, deterministic=True)[0] for each in (part, loaded)]
    np.testing.assert_array_equal(*actions)


def test_what_is_trained_and_never_discrete_is_not_saved_as_plain(
    make_model: MakeModel, tmp_path: Path
) -> None:
    corrected = make_model(SAC, net_arch=[16], nested=True, scale_levels=2).policy
    with pytest.raises(ValueError, match="would not keep its size"):
        corrected.actor.save(str(tmp_path / "actor"))


@OFF_POLICY
def test_a_part_is_of_sb3s_class_when_copied_and_pickled_too(
    make_model: MakeModel, stock: Callable[..., str], tmp_path: Path, algorithm: type[BaseAlgorithm]
) -> None:
    # given
    policy = make_model(algorithm, net_arch=[16, 12]).policy.resize([5, 4])
    plain = make_model(algorithm, stock(algorithm, "IntegralMlpPolicy"), net_arch=[16, 12]).policy
    for name, part in parts(policy).items():
        kind = type(parts(plain)[name])
        assert type(part).__name__ == kind.__name__
        # when
        torch.save(part, tmp_path / "part")
        copies = (copy.deepcopy(part), torch.load(tmp_path / "part", weights_only=False))
        # then
        for each in copies:
            assert type(each) is type(part)
            assert isinstance(each, kind)
            for key, value in part.state_dict().items():
                assert torch.equal(each.state_dict()[key], value)
