"""The work of the stages: what is recorded of an expert, and networks of one size each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from stable_baselines3.common.env_util import make_vec_env

from sb3_integral.experiments.files import EPISODES, STUDENT, SWEEP
from sb3_integral.experiments.report.weights import second_layer
from sb3_integral.experiments.stages.demonstrations import collect_demonstrations
from sb3_integral.experiments.stages.expert import ensure_expert, load_expert, train_expert
from sb3_integral.experiments.stages.sweep import sweep_sizes
from sb3_integral.experiments.stages.train import train_student
from sb3_integral.imitation import load_demonstrations
from sb3_integral.nn import total_variation
from sb3_integral.policies.serialization import load_policy


def _report(fraction: float) -> None:
    assert 0.0 <= fraction <= 1.0


@pytest.fixture(scope="module", params=["CartPole-v1", "Pendulum-v1"])
def expert(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """An environment's id, and the folder of an expert that hardly knows it."""
    folder = tmp_path_factory.mktemp("expert")
    hyperparams = {"policy": "MlpPolicy", "n_timesteps": 512, "n_steps": 256, "n_envs": 1}
    train_expert(
        folder,
        _report,
        env_id=request.param,
        algo="ppo",
        hyperparams=hyperparams,
        seed=0,
        n_timesteps=None,
    )
    return request.param, folder


def _collect(expert: tuple[str, Path], folder: Path, **settings: Any) -> Any:
    folder.mkdir()
    env_id, expert_folder = expert
    demonstrations = {"episodes": 6, "n_envs": 3, **settings}
    collect_demonstrations(
        folder,
        _report,
        expert_folder,
        env_id=env_id,
        algo="ppo",
        demonstrations=demonstrations,
        seed=0,
    )
    return load_demonstrations(folder / EPISODES)


def test_a_disturbed_expert_is_recorded_with_its_best_actions(
    expert: tuple[str, Path], tmp_path: Path
) -> None:
    """Given noise, when episodes are recorded, then states are others, and actions the best in them."""
    disturbed = _collect(expert, tmp_path / "disturbed", noise=1.0)
    calm = _collect(expert, tmp_path / "calm")

    env_id, folder = expert
    venv = make_vec_env(env_id)
    best, _ = load_expert(folder, env_id, "ppo", venv).predict(disturbed.observations.numpy())

    np.testing.assert_allclose(disturbed.actions.numpy(), best, atol=1e-6)
    length = min(len(calm.observations), len(disturbed.observations))
    assert not np.array_equal(calm.observations[:length], disturbed.observations[:length])


def test_noise_belongs_to_a_deterministic_expert(expert: tuple[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected `deterministic: true`"):
        _collect(expert, tmp_path / "none", noise=0.5, deterministic=False)


def test_networks_from_scratch_are_evaluated_at_their_own_sizes(
    expert: tuple[str, Path], tmp_path: Path
) -> None:
    """Given networks of 8 and of 3 neurons, then each has the episodes that it has on its own."""
    env_id, _ = expert
    _collect(expert, tmp_path / "demonstrations")
    evaluation = {"episodes": 4}
    folders = []
    for size in (8, 3):
        folder = tmp_path / str(size)
        folder.mkdir()
        train_student(
            folder,
            _report,
            tmp_path / "demonstrations",
            env_id=env_id,
            architecture={"kind": "plain", "hidden_sizes": (size, size)},
            random_sizes=None,
            cloning={"epochs": 1, "batch_size": 16},
            seed=0,
        )
        assert (folder / STUDENT).is_file()
        folders.append(folder)

    settings = {"env_id": env_id, "evaluation": evaluation, "seed": 0}
    sweep_sizes(tmp_path, _report, folders, method=None, sizes=[8, 3], **settings)

    table = pd.read_csv(tmp_path / SWEEP)
    assert table["size"].tolist() == [8] * 4 + [3] * 4
    assert table["compression"].iloc[0] == 0.0
    assert table["compression"].iloc[-1] > 50.0
    for size, folder in zip((8, 3), folders, strict=True):
        sweep_sizes(folder, _report, [folder], method="bicubic", sizes=[size], **settings)
        alone = pd.read_csv(folder / SWEEP)
        assert (
            alone["episode_return"].tolist() == table[table["size"] == size]["episode_return"].tolist()
        )


def test_a_student_can_have_every_ingredient_at_once(expert: tuple[str, Path], tmp_path: Path) -> None:
    """It starts from a plain student, and clones the distribution of an expert."""
    pytest.importorskip("fast_tsp")
    env_id, expert_folder = expert
    _collect(expert, tmp_path / "demonstrations")
    plain, student = tmp_path / "nn", tmp_path / "inn"
    cloning = {"epochs": 1, "batch_size": 16}
    architecture = {"hidden_sizes": (8, 8)}
    plain.mkdir()
    train_student(
        plain,
        _report,
        tmp_path / "demonstrations",
        env_id=env_id,
        architecture={"kind": "plain", **architecture},
        random_sizes=None,
        cloning=cloning,
        seed=0,
    )
    student.mkdir()
    train_student(
        student,
        _report,
        tmp_path / "demonstrations",
        expert_folder=expert_folder,
        start_folder=plain,
        env_id=env_id,
        architecture={"kind": "integral", **architecture, "scale_levels": (0, 0, 2)},
        random_sizes={"distribution": "given", "sizes": (8, 2)},
        cloning={**cloning, "loss": "distribution", "learning_rate": 1e-9},
        seed=1,
        smoothness={"total_variation": 0.1, "spectral": 0.1},
        expert="ppo",
    )
    # Hardly trained, it is still what it started from.
    venv = make_vec_env(env_id)
    spaces = (venv.observation_space, venv.action_space)
    first, second = (load_policy(folder / STUDENT, *spaces) for folder in (plain, student))
    observations = load_demonstrations(tmp_path / "demonstrations" / EPISODES).observations.numpy()
    of_first, of_second = (p.predict(observations, deterministic=True)[0] for p in (first, second))
    np.testing.assert_allclose(of_second, of_first, atol=1e-4)


@pytest.mark.parametrize("scale_levels", [None, 0])
def test_a_student_starts_from_an_untrained_plain_network_with_its_neurons_in_order(
    expert: tuple[str, Path], tmp_path: Path, scale_levels: int | None
) -> None:
    pytest.importorskip("fast_tsp")
    # given
    env_id, _ = expert
    _collect(expert, tmp_path / "demonstrations")
    architecture = {"kind": "integral", "hidden_sizes": (12, 12), "activation": "relu", "nested": False}
    venv = make_vec_env(env_id)
    spaces = (venv.observation_space, venv.action_space)
    students = {}
    # when two are hardly trained
    for name, start in (("plain order", {}), ("permuted", {"start": "initialisation"})):
        folder = tmp_path / name
        folder.mkdir()
        train_student(
            folder,
            _report,
            tmp_path / "demonstrations",
            env_id=env_id,
            architecture={**architecture, "scale_levels": scale_levels},
            random_sizes={"distribution": "uniform", "low": 6, "high": 12, "small": 0},
            cloning={"epochs": 1, "batch_size": 16, "learning_rate": 1e-9},
            seed=0,
            **start,
        )
        students[name] = load_policy(folder / STUDENT, *spaces)
    # then they are one network, whose neurons are in another order in which weights vary less
    observations = load_demonstrations(tmp_path / "demonstrations" / EPISODES).observations.numpy()
    actions = [student.predict(observations, deterministic=True)[0] for student in students.values()]
    np.testing.assert_allclose(*actions, atol=1e-4)
    weights = [second_layer(student) for student in students.values()]
    # the weights were drawn from the same seed
    drawn, permuted = (weight.flatten().sort().values for weight in weights)
    torch.testing.assert_close(permuted, drawn, atol=1e-5, rtol=0)
    varying = [float(total_variation(weight) + total_variation(weight, 1)) for weight in weights]
    assert varying[1] < 0.95 * varying[0]


def test_an_expert_is_trained_once(tmp_path: Path) -> None:
    """Given a folder without an expert, when one is asked for twice, then it is trained once."""
    hyperparams = tmp_path / "ppo.yml"
    hyperparams.write_text("CartPole-v1: {policy: MlpPolicy, n_timesteps: 64, n_steps: 64, n_envs: 1}")
    zipped = tmp_path / "expert" / "ppo" / "CartPole-v1_1" / "CartPole-v1.zip"

    assert ensure_expert(tmp_path / "expert", "CartPole-v1", "ppo", hyperparams)
    made = zipped.read_bytes()

    assert not ensure_expert(tmp_path / "expert", "CartPole-v1", "ppo", hyperparams)
    assert zipped.read_bytes() == made
    with pytest.raises(ValueError, match="no entry for 'Acrobot-v1'"):
        ensure_expert(tmp_path / "other", "Acrobot-v1", "ppo", hyperparams)
    assert not (tmp_path / "other").exists()
