from __future__ import annotations

import gc
import warnings

import numpy as np
import pytest
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_integral.experiments.config.hyperparams import expert_hyperparams
from sb3_integral.experiments.stages.expert import load_expert, train_expert

# Every worker of pytest-xdist would train the experts anew.
pytestmark = pytest.mark.xdist_group("expert")


@pytest.fixture(scope="module")
def train(tmp_path_factory, hyperparams):
    """Train for a second; return the folder and what was reported."""

    def run(env_id, seed=0, n_timesteps=None):
        folder, told = tmp_path_factory.mktemp("expert"), []
        with warnings.catch_warnings():
            # train_expert leaves the monitor's file to the garbage collector.
            warnings.simplefilter("ignore", ResourceWarning)
            train_expert(
                folder,
                told.append,
                env_id=env_id,
                algo="trpo",
                hyperparams=hyperparams[env_id],
                seed=seed,
                n_timesteps=n_timesteps,
            )
            gc.collect()
        return folder, told

    return run


@pytest.fixture(scope="module")
def cart_pole(train):
    return train("CartPole-v1")


@pytest.fixture(scope="module")
def acrobot(train):
    """Trained on normalised observations."""
    return train("Acrobot-v1")


def load(folder, env_id):
    venv = make_vec_env(env_id, 2, seed=0)
    return load_expert(folder, env_id, "trpo", venv), venv


def observations(env_id: str) -> np.ndarray:
    """Observations of random actions."""
    venv = make_vec_env(env_id, 4, seed=3)
    venv.action_space.seed(3)
    steps = [venv.reset()]
    steps += [venv.step([venv.action_space.sample() for _ in range(4)])[0] for _ in range(60)]
    return np.concatenate(steps)


def test_an_expert_is_a_run_folder_of_rl_zoo3(cart_pole, acrobot, hyperparams):
    for (folder, _), env_id in ((cart_pole, "CartPole-v1"), (acrobot, "Acrobot-v1")):
        run = folder / "trpo" / f"{env_id}_1"
        assert (run / f"{env_id}.zip").is_file()
        assert {"args.yml", "config.yml"} <= {path.name for path in (run / env_id).iterdir()}
        assert (run / "0.monitor.csv").is_file()
        assert expert_hyperparams(folder / "trpo.yml", env_id) == hyperparams[env_id]
        assert "trpo" in (folder / "train.log").read_text().lower()
    assert not (cart_pole[0] / "trpo/CartPole-v1_1/CartPole-v1/vecnormalize.pkl").exists()
    assert (acrobot[0] / "trpo/Acrobot-v1_1/Acrobot-v1/vecnormalize.pkl").is_file()


def test_progress_is_told_to_the_end(cart_pole):
    _, told = cart_pole
    assert told == [0.25, 0.5, 0.75, 1.0]


def test_the_log_is_kept_out_of_the_terminal(train, capfd):
    train("CartPole-v1", n_timesteps=256)
    assert capfd.readouterr().out == ""


def test_a_number_of_steps_replaces_that_of_the_hyperparameters(train):
    folder, told = train("CartPole-v1", n_timesteps=512)
    expert, _ = load(folder, "CartPole-v1")
    assert expert.model.num_timesteps == 512
    assert told == [0.5, 1.0]


def test_training_is_decided_by_the_seed(train, cart_pole):
    def weights(folder):
        return load(folder, "CartPole-v1")[0].model.policy.state_dict()

    first, again, other = (
        weights(folder) for folder in (cart_pole[0], train("CartPole-v1")[0], train("CartPole-v1", 1)[0])
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_an_expert_acts_on_the_observations_of_the_environment(cart_pole):
    # given one that was trained on raw observations
    expert, venv = load(cart_pole[0], "CartPole-v1")
    assert expert.normalize is None

    # when
    obs = observations("CartPole-v1")
    actions, state = expert.predict(obs)

    # then
    np.testing.assert_array_equal(actions, expert.model.predict(obs, deterministic=True)[0])
    assert state is None
    returns, _ = evaluate_policy(expert, venv, 4, return_episode_rewards=True)
    assert len(returns) == 4


def test_an_expert_normalises_if_it_was_trained_on_normalised_observations(acrobot):
    # given
    expert, _ = load(acrobot[0], "Acrobot-v1")
    assert expert.normalize is not None
    obs = observations("Acrobot-v1")
    statistics = expert.normalize.obs_rms
    mean, count = statistics.mean.copy(), statistics.count

    # when
    actions, _ = expert.predict(obs)

    # then it acts on what the statistics make of them, which is not what it does on raw ones
    normalised = np.clip((obs - mean) / np.sqrt(statistics.var + 1e-8), -10, 10).astype(np.float32)
    np.testing.assert_array_equal(actions, expert.model.predict(normalised, deterministic=True)[0])
    assert not np.array_equal(actions, expert.model.predict(obs, deterministic=True)[0])

    # then the statistics are those of training, whatever is seen now
    assert count > 500
    np.testing.assert_array_equal(statistics.mean, mean)
    assert statistics.count == count
    assert not expert.normalize.training


def test_an_expert_that_draws_actions_is_not_deterministic(cart_pole):
    expert, _ = load(cart_pole[0], "CartPole-v1")
    obs = observations("CartPole-v1")
    drawn = {expert.predict(obs, deterministic=False)[0].tobytes() for _ in range(5)}
    certain = {expert.predict(obs)[0].tobytes() for _ in range(5)}
    assert len(drawn) > 1
    assert len(certain) == 1


def test_hyperparameters_are_those_of_the_environment_or_the_default(tmp_path):
    path = tmp_path / "trpo.yml"
    path.write_text("CartPole-v1: {n_steps: !!float 1e2}\ndefault: {n_steps: 2}\n")
    assert expert_hyperparams(path, "CartPole-v1") == {"n_steps": 100.0}
    assert expert_hyperparams(path, "Acrobot-v1") == {"n_steps": 2}


@pytest.mark.parametrize(("text", "has"), [("CartPole-v1: {}", "it has CartPole-v1"), ("", "it has ")])
def test_an_environment_without_hyperparameters_is_an_error_that_names_it(tmp_path, text, has):
    path = tmp_path / "trpo.yml"
    path.write_text(text)
    expected = rf"{path} has no entry for 'Acrobot-v1'; {has}"
    with pytest.raises(ValueError, match=expected):
        expert_hyperparams(path, "Acrobot-v1")


def test_the_shipped_hyperparameters_have_the_trust_region_of_the_paper(root):
    for env_id in ("Acrobot-v1", "CartPole-v1"):
        shipped = expert_hyperparams(root / "hyperparams" / "trpo.yml", env_id)
        assert shipped["target_kl"] == 0.01
        assert shipped["cg_max_steps"] == 10
        assert shipped["line_search_shrinking_factor"] == 0.5
