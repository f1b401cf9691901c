from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_integral.deploy import export_sb3, read_source, save_policy
from sb3_integral.deploy.sources import algorithms, detect_algorithm

ALGORITHMS = (PPO, A2C, DQN, SAC, TD3, TRPO, MaskablePPO, RecurrentPPO, QRDQN, TQC, CrossQ, ARS)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_algorithm_of_a_zip_is_found_out(
    algorithm: type[BaseAlgorithm], make_model: Callable[..., Any], tmp_path: Path
) -> None:
    model = make_model(algorithm)
    model.save(tmp_path / "integral.zip")
    export_sb3(model, tmp_path / "plain.zip")
    for name in ("integral.zip", "plain.zip"):
        assert algorithms()[detect_algorithm(tmp_path / name)] is algorithm


def test_a_run_folder_is_read_with_its_statistics(
    make_model: Callable[..., Any], make_normalize: Callable[..., Any], tmp_path: Path
) -> None:
    # given what rl-zoo3 leaves
    model = make_model(PPO)
    run = tmp_path / "ppo" / "Any-v0_1"
    (run / "Any-v0").mkdir(parents=True)
    model.save(run / "Any-v0.zip")
    normalize = make_normalize(model.observation_space)
    normalize.save(str(run / "Any-v0" / "vecnormalize.pkl"))
    # when
    for path in (run, run / "Any-v0.zip"):
        loaded = read_source(path)
        # then
        assert type(loaded.source) is PPO
        assert loaded.normalize is not None
        np.testing.assert_array_equal(loaded.normalize.obs_rms.mean, normalize.obs_rms.mean)


def test_only_what_is_called_a_zip_is_unpickled(
    make_model: Callable[..., Any], student: Any, tmp_path: Path
) -> None:
    make_model(PPO).save(tmp_path / "model.zip")
    (tmp_path / "model.zip").rename(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="is not a whole safe file"):
        read_source(tmp_path / "model.safetensors")
    save_policy(student, tmp_path / "policy.safetensors")
    assert type(read_source(tmp_path / "policy.safetensors").source) is type(student)


def test_what_cannot_be_read_says_so(
    make_model: Callable[..., Any], student: Any, tmp_path: Path
) -> None:
    make_model(PPO).save(tmp_path / "model.zip")
    save_policy(student, tmp_path / "policy.safetensors")
    (tmp_path / "broken.zip").write_bytes((tmp_path / "model.zip").read_bytes()[:100])
    (tmp_path / "empty").mkdir()
    for path, algorithm, statistics, said in (
        ("none.zip", None, None, "does not exist"),
        ("none", None, None, "does not exist"),
        ("broken.zip", None, None, "is not a model that SB3 saved"),
        ("empty", None, None, "holds 0 models"),
        ("model.zip", "walk", None, "unknown algorithm 'walk'; known are a2c"),
        ("model.zip", None, "model.zip", "is not a file of VecNormalize"),
        ("policy.safetensors", None, "model.zip", "holds its statistics if it has any"),
    ):
        place = None if statistics is None else tmp_path / statistics
        with pytest.raises(ValueError, match=said):
            read_source(tmp_path / path, algorithm, place)
