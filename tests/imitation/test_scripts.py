from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from imitation.algorithms import bc
from imitation.policies.serialize import policy_registry
from sb3_contrib import TRPO
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sb3_integral import IntegralActorCriticPolicy, evaluate_resize_sweep
from sb3_integral.imitation import save_episodes
from sb3_integral.imitation.scripts import (
    SCRIPTS,
    NormalizedPolicy,
    load_student_policy,
    load_trpo_expert,
    main,
    reconstruct_policy,
)

# What keeps a run short, in all scripts.
SHORT = ("environment.num_vec=2", "seed=0")
SHORT_TRAINING = (*SHORT, "policy_evaluation.n_episodes_eval=2")
ONE_PROCESS = "environment.parallel=False"


def run(*command: object, cwd: Path) -> str:
    """Run a command as a user does, and return what it said."""
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = result.stdout + result.stderr
    assert result.returncode == 0, said
    return said


def run_in_one_process(*calls: tuple[object, ...], cwd: Path, then: str = "") -> str:
    arguments = [[str(argument) for argument in call] for call in calls]
    code = f"""
from sb3_integral.imitation.scripts import main
for arguments in {arguments!r}:
    main(arguments)
"""
    return run(sys.executable, "-c", code + then, cwd=cwd)


# imitation opens log files when it loads a trainer, so this is done in the process that ends.
WRITE_TRAINER = """
import json, torch
from pathlib import Path
trainer = torch.load("out/scratch/checkpoint-latest.pt", weights_only=False)
names = {
    "expert": type(trainer.expert_policy).__name__,
    "loss": type(trainer.bc_trainer.loss_calculator).__name__,
    "policy": type(trainer.policy).__name__,
    "rounds": trainer.round_num,
}
Path("trainer.json").write_text(json.dumps(names))
"""


def result_of(cwd: Path, script: str, number: int) -> dict[str, Any]:
    record = cwd / "output" / "sacred" / script / str(number) / "run.json"
    content = json.loads(record.read_text())
    assert content["status"] == "COMPLETED"
    result: dict[str, Any] = content["result"]
    return result


@pytest.fixture(scope="module")
def venv() -> VecEnv:
    return make_vec_env("CartPole-v1", 4, seed=1)


@pytest.fixture(scope="module")
def observations(venv: VecEnv) -> np.ndarray[Any, Any]:
    low = np.array([-2.0, -2.0, -0.2, -2.0])
    return np.random.default_rng(0).uniform(low, -low, (200, 4)).astype(np.float32)


def trained(environment: VecEnv) -> TRPO:
    settings: dict[str, Any] = {"learning_rate": 1e-3, "n_critic_updates": 5}
    model = TRPO("MlpPolicy", environment, n_steps=256, seed=0, device="cpu", **settings)
    return model.learn(8192)


@pytest.fixture(scope="module")
def expert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip file of TRPO's."""
    file = tmp_path_factory.mktemp("expert") / "expert.zip"
    trained(make_vec_env("CartPole-v1", 4, seed=0)).save(file)
    return file


@pytest.fixture(scope="module")
def zoo_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of rl-zoo3 with normalised observations."""
    folder = tmp_path_factory.mktemp("trpo") / "CartPole-v1_1"
    normalized = VecNormalize(make_vec_env("CartPole-v1", 4, seed=0))
    model = trained(normalized)
    (folder / "CartPole-v1").mkdir(parents=True)
    normalized.save(str(folder / "CartPole-v1" / "vecnormalize.pkl"))
    for name in ("CartPole-v1.zip", "best_model.zip"):
        model.save(folder / name)
    return folder


@pytest.fixture(scope="module")
def cloned(expert: Path) -> Path:
    """The folder in which ``bc`` was run, as a user types it."""
    cwd = expert.parent
    command = (
        "sb3-integral imitation train_imitation bc with integral_student trpo_expert cartpole "
        "expert.loader_kwargs.path=expert.zip demonstrations.n_expert_demos=4 "
        "bc.train_kwargs.n_batches=400 logging.log_dir=student"
    )
    program, *arguments = command.split()
    program_file = Path(sys.executable).parent / program
    run(program_file, *arguments, *SHORT_TRAINING, ONE_PROCESS, "environment.num_vec=4", cwd=cwd)
    return cwd


# Runs of the scripts


@pytest.mark.slow
def test_bc_trains_an_integral_student_from_an_experts_file(cloned: Path, venv: VecEnv) -> None:
    # when
    policy = reconstruct_policy(cloned / "student" / "final.th")

    # then it is the student that was asked for, and nothing of sacred is in it
    assert type(policy) is IntegralActorCriticPolicy
    assert policy.max_sizes == policy.sizes == (100, 100)
    assert type(policy.net_arch) is list

    # then it can be resized and evaluated, and small it is better than chance, which returns about 22
    assert policy.resize(10).sizes == (10, 10)
    rows = evaluate_resize_sweep(policy, venv, [100, 10], n_eval_episodes=8, seed=0)
    assert [row.size for row in rows] == [100] * 8 + [10] * 8
    assert np.mean([row.episode_return for row in rows[:8]]) > 60
    assert np.mean([row.episode_return for row in rows[8:]]) > 60

    # then imitation's own record says what the student and its expert returned
    stats = result_of(cloned, "train_imitation", 1)
    assert stats["expert_stats"]["return_mean"] > 60
    assert stats["imit_stats"]["return_mean"] > 30


@pytest.mark.slow
def test_dagger_trains_an_integral_student_from_a_run_of_rl_zoo3(
    zoo_run: Path, venv: VecEnv, tmp_path: Path
) -> None:
    # when
    run_in_one_process(
        (
            *("train_imitation", "dagger", "with", "integral_student", "trpo_expert", "cartpole"),
            *(f"expert.loader_kwargs.path={zoo_run}", "dagger.total_timesteps=2100"),
            *("logging.log_dir=out", ONE_PROCESS, *SHORT_TRAINING),
        ),
        cwd=tmp_path,
        then=WRITE_TRAINER,
    )

    # then
    policy = reconstruct_policy(tmp_path / "out" / "scratch" / "policy-latest.pt")
    assert type(policy) is IntegralActorCriticPolicy
    rows = evaluate_resize_sweep(policy, venv, [100, 20], n_eval_episodes=4, seed=0)
    assert [row.size for row in rows] == [100] * 4 + [20] * 4
    assert np.mean([row.episode_return for row in rows]) > 30

    # then the expert saw normalised observations, and the student was trained at random sizes
    trainer = json.loads((tmp_path / "trainer.json").read_text())
    assert trainer["rounds"] >= 2
    assert (trainer["expert"], trainer["loss"]) == ("NormalizedPolicy", "LossAtSizes")


@pytest.mark.slow
def test_gail_and_airl_train_an_integral_generator(expert: Path, venv: VecEnv, tmp_path: Path) -> None:
    # when
    names = ("integral_student", "trpo_expert", "cartpole")
    run_in_one_process(
        *(
            (
                *("train_adversarial", algorithm, "with", *names),
                *(f"expert.loader_kwargs.path={expert}", "demonstrations.n_expert_demos=2"),
                *("total_timesteps=128", "rl.batch_size=64", "rl.rl_kwargs.n_epochs=1"),
                *("algorithm_kwargs.demo_batch_size=32", f"logging.log_dir={algorithm}"),
                *(ONE_PROCESS, *SHORT_TRAINING),
            )
            for algorithm in ("gail", "airl")
        ),
        cwd=tmp_path,
    )

    # then
    for algorithm in ("gail", "airl"):
        folder = tmp_path / algorithm / "checkpoints" / "final" / "gen_policy"
        policy = PPO.load(folder / "model.zip", device="cpu").policy
        assert type(policy) is IntegralActorCriticPolicy
        assert policy.sizes == (100, 100)
        rows = evaluate_resize_sweep(policy.resize(30), venv, [100, 5], n_eval_episodes=4)
        assert all(8 <= row.episode_return <= 500 for row in rows)
        assert load_student_policy(venv, str(folder), size=30).sizes == (30, 30)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_files_of_experts_and_students_are_evaluated_and_trained_on(
    expert: Path, cloned: Path, make_task: Callable[[str], Any], tmp_path: Path
) -> None:
    # given
    student = cloned / "student" / "final.th"
    folder = tmp_path / "demonstrations"
    save_episodes(make_task("CartPole-v1").episodes, folder)
    evaluation = ("eval_n_timesteps=300", "environment.gym_id=CartPole-v1", *SHORT)

    # when
    run_in_one_process(
        (
            *("eval_policy", "with", "trpo_expert", f"expert.loader_kwargs.path={expert}"),
            *(*evaluation, ONE_PROCESS),
        ),
        (
            *("eval_policy", "with", "integral_student", f"expert.loader_kwargs.path={student}"),
            *("expert.loader_kwargs.size=10", *evaluation, "environment.num_vec=1"),
        ),
        (
            *("train_imitation", "dagger", "with", "trpo_expert", "cartpole"),
            *(f"bc.agent_path={student}", f"expert.loader_kwargs.path={expert}"),
            *("dagger.use_offline_rollouts=True", "demonstrations.source=local"),
            *(f"demonstrations.path={folder}", "dagger.total_timesteps=100"),
            *("bc.train_kwargs.n_batches=20", "bc.random_sizes=False", "logging.log_dir=out"),
            *(ONE_PROCESS, *SHORT_TRAINING),
        ),
        cwd=tmp_path,
        then=WRITE_TRAINER,
    )

    # then
    assert result_of(tmp_path, "eval_policy", 1)["return_mean"] > 60
    assert result_of(tmp_path, "eval_policy", 2)["return_mean"] > 30
    trainer = json.loads((tmp_path / "trainer.json").read_text())
    assert trainer["policy"] == "IntegralActorCriticPolicy"
    assert (trainer["expert"], trainer["loss"]) == (
        "ActorCriticPolicy",
        "BehaviorCloningLossCalculator",
    )


def test_nothing_of_imitation_changes_before_a_script_is_run() -> None:
    # given that sb3_integral.imitation.scripts was imported
    assert not {"trpo", "integral_student"} & set(policy_registry.keys())
    assert bc.reconstruct_policy is not reconstruct_policy
    assert bc.reconstruct_policy.__module__ == bc.__name__
    assert "imitation.scripts.ingredients" not in sys.modules


@pytest.mark.parametrize("arguments", [[], ["walk"], ["train_rl", "with", "cartpole"], ["--help"]])
def test_a_script_that_is_not_there_is_an_error_that_names_those_that_are(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="expected the name of a script") as caught:
        main(arguments)
    assert all(script in str(caught.value) for script in SCRIPTS)
    assert repr(arguments[0] if arguments else None) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_module_can_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["scripts", "walk"])
    with pytest.raises(SystemExit, match=r"expected the name of a script, .* got 'walk'"):
        runpy.run_module("sb3_integral.imitation.scripts", run_name="__main__")


# Experts from files


def test_an_experts_file_gives_the_policy_that_was_saved(
    expert: Path, venv: VecEnv, observations: np.ndarray[Any, Any]
) -> None:
    policy = load_trpo_expert(venv, str(expert))
    assert type(policy) is ActorCriticPolicy
    expected, _ = TRPO.load(expert, device="cpu").predict(observations, deterministic=True)
    actions, _ = policy.predict(observations, deterministic=True)
    np.testing.assert_array_equal(actions, expected)


@pytest.mark.parametrize("name", [".", "CartPole-v1.zip", "best_model.zip"])
def test_a_run_of_rl_zoo3_acts_on_what_its_statistics_make_of_raw_observations(
    zoo_run: Path, venv: VecEnv, observations: np.ndarray[Any, Any], name: str
) -> None:
    # given what the run's model does with normalised observations
    statistics = VecNormalize.load(str(zoo_run / "CartPole-v1" / "vecnormalize.pkl"), venv)
    model = TRPO.load(zoo_run / "CartPole-v1.zip", device="cpu")
    normalized = statistics.normalize_obs(observations)
    assert isinstance(normalized, np.ndarray)
    expected, _ = model.predict(normalized, deterministic=True)
    assert (model.predict(observations, deterministic=True)[0] != expected).any()

    # when
    policy = load_trpo_expert(venv, str(zoo_run / name))

    # then
    assert policy.observation_space == venv.observation_space
    assert policy.action_space == venv.action_space
    np.testing.assert_array_equal(policy.predict(observations, deterministic=True)[0], expected)


def test_statistics_beside_a_file_are_used(zoo_run: Path, venv: VecEnv, tmp_path: Path) -> None:
    # given
    (tmp_path / "model.zip").write_bytes((zoo_run / "CartPole-v1.zip").read_bytes())
    statistics = (zoo_run / "CartPole-v1" / "vecnormalize.pkl").read_bytes()
    (tmp_path / "vecnormalize.pkl").write_bytes(statistics)
    # when, then
    assert isinstance(load_trpo_expert(venv, str(tmp_path)), NormalizedPolicy)
    # when they are of the form that imitation refuses, then they are refused
    (tmp_path / "vec_normalize.pkl").write_bytes(statistics)
    with pytest.raises(FileExistsError, match="vec_normalize"):
        load_trpo_expert(venv, str(tmp_path))


def test_statistics_of_another_model_are_not_used(
    expert: Path, zoo_run: Path, venv: VecEnv, tmp_path: Path
) -> None:
    # given two models in a folder, one of them with statistics
    (tmp_path / "plain.zip").write_bytes(expert.read_bytes())
    (tmp_path / "CartPole-v1").mkdir()
    statistics = (zoo_run / "CartPole-v1" / "vecnormalize.pkl").read_bytes()
    (tmp_path / "CartPole-v1" / "vecnormalize.pkl").write_bytes(statistics)
    # when, then
    assert type(load_trpo_expert(venv, str(tmp_path / "plain.zip"))) is ActorCriticPolicy


def test_an_expert_that_is_not_there_is_an_error_that_says_what_is_expected(
    venv: VecEnv, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"expected expert\.loader_kwargs\.path=<a file of TRPO's>"):
        load_trpo_expert(venv)
    with pytest.raises(ValueError, match="nowhere does not exist, expected a zip of SB3"):
        load_trpo_expert(venv, str(tmp_path / "nowhere"))
    with pytest.raises(
        ValueError, match=r"holds 0 models, expected a model\.zip, one \.safetensors file"
    ):
        load_trpo_expert(venv, str(tmp_path))


def test_an_expert_of_two_models_is_an_error(zoo_run: Path, venv: VecEnv, tmp_path: Path) -> None:
    for name in ("A-v1", "B-v1"):
        (tmp_path / f"{name}.zip").write_bytes((zoo_run / "CartPole-v1.zip").read_bytes())
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match="holds 2 models"):
        load_trpo_expert(venv, str(tmp_path))


def test_an_expert_of_another_environment_is_an_error(expert: Path) -> None:
    with pytest.raises(ValueError, match="Observation spaces do not match"):
        load_trpo_expert(make_vec_env("Acrobot-v1"), str(expert))


# Students from files


def constant(_: float) -> float:
    return 0.0


def a_policy(policy_class: type[ActorCriticPolicy]) -> ActorCriticPolicy:
    space = spaces.Box(-1.0, 1.0, (4,), np.float32)
    return policy_class(space, spaces.Discrete(2), constant, net_arch=[16, 12])


def test_a_student_is_loaded_at_the_size_that_is_asked_for(venv: VecEnv, tmp_path: Path) -> None:
    # given
    policy = a_policy(IntegralActorCriticPolicy)
    torch.save(policy, tmp_path / "final.th")
    # when, then
    for size in (None, 8):
        loaded = load_student_policy(venv, str(tmp_path / "final.th"), size)
        assert isinstance(loaded, IntegralActorCriticPolicy)
        assert loaded.sizes == ((16, 12) if size is None else (8, 8))
    with pytest.raises(ValueError, match="integer of at least 1"):
        load_student_policy(venv, str(tmp_path / "final.th"), 0)


def test_what_is_no_student_is_an_error_that_says_what_it_is(venv: VecEnv, tmp_path: Path) -> None:
    file = tmp_path / "final.th"
    with pytest.raises(ValueError, match=r"no student was named, expected expert\.loader_kwargs\.path"):
        load_student_policy(venv)
    with pytest.raises(ValueError, match=r"final\.th is not a whole policy's file"):
        load_student_policy(venv, str(file))
    torch.save(a_policy(ActorCriticPolicy), file)
    with pytest.raises(
        ValueError, match="holds an object of class ActorCriticPolicy, expected an integral policy"
    ):
        load_student_policy(venv, str(file))
    torch.save({"weights": torch.zeros(3)}, file)
    with pytest.raises(ValueError, match="holds an object of class dict, expected a policy"):
        reconstruct_policy(file)


@pytest.mark.parametrize("kept", [0, 1, 100, 5000])
def test_a_cut_file_is_an_error_that_names_it(tmp_path: Path, kept: int) -> None:
    file = tmp_path / "final.th"
    torch.save(a_policy(IntegralActorCriticPolicy), file)
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"final\.th is not a whole policy's file"):
        reconstruct_policy(file)
