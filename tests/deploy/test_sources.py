from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_integral.deploy import export_sb3, plain_policy, read_source, save_policy
from sb3_integral.deploy.sources import algorithms, detect_algorithm
from sb3_integral.policies.saved_files import environment_of

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
    with pytest.raises(ValueError, match="is a zip under another name"):
        read_source(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps(student.state_dict()))
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


def test_a_zip_under_another_name_says_what_to_do(
    make_model: Callable[..., Any], tmp_path: Path
) -> None:
    # given SB3 itself writes "ppo.v1" as it is called
    make_model(PPO).save(tmp_path / "ppo.v1")
    assert (tmp_path / "ppo.v1").is_file()
    # when / then
    with pytest.raises(ValueError, match=r"can run code: rename it to ppo\.v1\.zip if it is yours"):
        read_source(tmp_path / "ppo.v1")
    # and then
    (tmp_path / "ppo.v1").rename(tmp_path / "ppo.v1.zip")
    for name in ("ppo.v1.zip", "ppo.v1"):
        assert type(read_source(tmp_path / name).source) is PPO


def test_statistics_of_one_frame_become_those_of_a_stack(
    make_model: Callable[..., Any], make_normalize: Callable[..., Any], tmp_path: Path
) -> None:
    # given
    frame, stack = spaces.Box(-1.0, 1.0, (4,)), spaces.Box(-1.0, 1.0, (12,))
    make_model(PPO, observation_space=stack).save(tmp_path / "model.zip")
    normalize = make_normalize(frame)
    normalize.save(str(tmp_path / "vecnormalize.pkl"))
    # when
    loaded = read_source(tmp_path / "model.zip")
    # then a stack of raw frames is seen as a stack of normalised ones
    assert loaded.normalize is not None
    frames = np.random.default_rng(0).normal(size=(3, 4))
    wanted = np.concatenate([normalize.normalize_obs(one) for one in frames])
    np.testing.assert_allclose(loaded.normalize.normalize_obs(frames.ravel()), wanted, rtol=1e-6)
    actor = plain_policy(loaded.source, normalize=loaded.normalize)
    np.testing.assert_allclose(
        actor.predict(frames.ravel().astype(np.float32), deterministic=True)[0],
        loaded.policy.predict(wanted.astype(np.float32), deterministic=True)[0],
        atol=1e-4,
    )


def test_a_model_of_sb3_contrib_without_it_says_what_to_install(tmp_path: Path) -> None:
    # given
    TRPO("MlpPolicy", "CartPole-v1").save(tmp_path / "model.zip")
    code = (
        "import sys\n"
        "sys.modules['sb3_contrib'] = None\n"
        "from sb3_integral.cli import main\n"
        "sys.argv = ['sb3-integral', 'fit', 'model.zip', '--max-bytes', '8000']\n"
        "main()"
    )
    # when
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    # then
    assert done.returncode == 1
    assert "unknown algorithm 'trpo'" in done.stderr
    assert "`pip install sb3-contrib` brings others" in " ".join(done.stderr.split())


@pytest.mark.parametrize("data", ["[" * 10_000, "{}", "[]", "null", '{"policy_class": 1}'])
def test_a_zip_of_anything_is_an_error_that_names_it(tmp_path: Path, data: str) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("data", data)
        archive.writestr("policy.pth", b"")
    with pytest.raises(ValueError, match=r"model\.zip is not a model that SB3 saved"):
        read_source(tmp_path / "model.zip")


def test_a_folder_does_not_decide_which_module_is_imported(tmp_path: Path) -> None:
    for env_id, expected in (("CartPole-v1", "CartPole-v1"), ("os:CartPole-v1", None), (1, None)):
        record = json.dumps({"inputs": {"env_id": env_id}})
        (tmp_path / "stage.json").write_text(record, encoding="utf-8")
        assert environment_of(tmp_path / "student.safetensors") == expected
