"""Environments that are learned one after another: their stages, and a small experiment as a whole."""

from __future__ import annotations

import copy
import importlib
import json

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from stable_baselines3.common.env_util import make_vec_env

from sb3_integral.experiments.config.load import load_config
from sb3_integral.experiments.files import EPISODES, STUDENT
from sb3_integral.experiments.load import load_experiments
from sb3_integral.experiments.report.write import REPORT
from sb3_integral.experiments.stages.experiment import build_stages
from sb3_integral.imitation import load_demonstrations
from sb3_integral.policies.serialization import load_policy

VARIANTS = """
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv


class Mirrored(CartPoleEnv):
    def step(self, action):
        return super().step(1 - action)


gymnasium.register("MirroredCartPole-v0", Mirrored, max_episode_steps=30)
gymnasium.register("ShortCartPole-v0", CartPoleEnv, max_episode_steps=20)
"""
THEN = ["small_variants:MirroredCartPole-v0", "small_variants:ShortCartPole-v0"]


@pytest.fixture(scope="module")
def _variants(tmp_path_factory):
    folder = tmp_path_factory.mktemp("variants")
    (folder / "small_variants.py").write_text(VARIANTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        importlib.invalidate_caches()
        yield


@pytest.fixture
def write(content, write_config, hyperparams, tmp_path, _variants):
    """Write the small experiment with environments that are learned after the first."""

    def written(then=THEN, **changes):
        changed = {**copy.deepcopy(content), "then": list(then), **changes}
        changed["students"]["limit"] = {"label": "limit", "kind": "scratch", "hidden_sizes": [16, 16]}
        path = write_config(changed)
        entries = {**hyperparams, "default": hyperparams["CartPole-v1"]}
        (tmp_path / "hyperparams" / "trpo.yml").write_text(yaml.safe_dump(entries))
        return path

    return written


@pytest.fixture
def stages_of(write):
    """Build the stages by their names."""

    def build(then=THEN, **changes):
        stages = build_stages(load_config(write(then, **changes)))
        return {stage.name: stage for stage in stages}

    return build


def needs_of(stage):
    return [need.name for need in stage.needed]


def test_every_later_task_has_an_expert_of_its_own_with_the_settings_of_the_first(stages_of):
    # when
    stages = stages_of()
    # then
    for number, env_id in enumerate(["MirroredCartPole-v0", "ShortCartPole-v0"], start=1):
        expert = stages[f"then-{number}/expert"]
        assert expert.environment.id == env_id
        assert expert.inputs == stages["expert"].inputs
        assert needs_of(stages[f"then-{number}/references"]) == [f"then-{number}/expert"]
        assert needs_of(stages[f"then-{number}/seed-1/demonstrations"]) == [f"then-{number}/expert"]


def test_a_student_goes_on_from_the_task_before(stages_of):
    # when
    stages = stages_of()
    # then
    assert needs_of(stages["then-1/seed-0/inn/student"]) == [
        "then-1/seed-0/demonstrations",
        "seed-0/inn/student",
    ]
    assert needs_of(stages["then-2/seed-1/nn/student"]) == [
        "then-2/seed-1/demonstrations",
        "then-1/seed-1/nn/student",
    ]
    assert needs_of(stages["then-1/seed-0/limit/4"])[1:] == ["seed-0/limit/4"]


def test_it_does_not_begin_again_with_what_it_started_from(stages_of, content):
    # given
    content["students"]["inn"]["start"] = "nn"
    content["students"]["inn"]["activation"] = content["students"]["nn"]["activation"] = "relu"
    # when
    stages = stages_of()
    # then
    assert "seed-0/nn/student" in needs_of(stages["seed-0/inn/student"])
    assert needs_of(stages["then-1/seed-0/inn/student"])[1:] == ["seed-0/inn/student"]


def test_students_are_evaluated_in_every_task_so_far(stages_of):
    # when
    stages = stages_of()
    # then
    sweeps = [name for name in stages if name.startswith("then-2/seed-0/nn/sweep")]
    assert sweeps == [f"then-2/seed-0/nn/sweep-{task}" for task in range(3)]
    ids = [stages[name].environment.id for name in sweeps]
    assert ids == ["CartPole-v1", "MirroredCartPole-v0", "ShortCartPole-v0"]
    assert all(needs_of(stages[name]) == ["then-2/seed-0/nn/student"] for name in sweeps)
    # and a plain student is resized by its first method
    assert stages[sweeps[0]].inputs["method"] == "bicubic"
    limits = [f"then-1/seed-0/limit/{size}" for size in (16, 4)]
    assert needs_of(stages["then-1/seed-0/limit/sweep-0"]) == limits


def test_what_is_learned_first_does_not_depend_on_what_comes_later(stages_of):
    # when
    one, three = stages_of(then=()), stages_of()
    # then all is shared but what says what was done
    changed = {name for name, stage in one.items() if stage.key != three[name].key}
    assert changed == {REPORT, "page"}
    assert set(one[REPORT].inputs) == {"config", "hyperparams", "columns"}
    assert "then" not in one[REPORT].inputs["config"]
    assert not any(name.startswith("then") for name in one)


def test_stages_come_after_what_they_need(stages_of):
    stages = stages_of()
    names = list(stages)
    for name, stage in stages.items():
        assert all(names.index(need) < names.index(name) for need in needs_of(stage))
        json.dumps(stage.inputs, allow_nan=False)


@pytest.mark.slow
def test_a_small_experiment_is_learned_one_task_after_another(write, tmp_path, ignore_progress):
    # given
    expert = {"hyperparams": "hyperparams/trpo.yml", "n_eval_episodes": 4}
    path = write(THEN[:1], expert=expert, demonstrations={"episodes": 8})
    (plan,) = load_experiments([path], None, tmp_path / "runs")
    wanted = plan.selected([REPORT])
    # when
    for stage in wanted.stages:
        stage.execute(plan.root, ignore_progress)
    # then there is a run for each column, seed, size and pair of tasks
    report = plan.root / REPORT
    runs = pd.read_csv(report / "transfer_runs.csv")
    assert len(runs) == 3 * 2 * 2 * 3
    assert set(runs["env"]) == {"CartPole-v1", "MirroredCartPole-v0"}
    assert (runs["n_episodes"] == 4).all()
    # whose first ones are those of the main table
    first = runs[runs["learned"] == 0].sort_values(["column", "seed", "n_hidden"])
    main = pd.read_csv(report / "runs.csv")
    main = main[main["column"].isin(first["column"])].sort_values(["column", "seed", "n_hidden"])
    assert first["return_mean"].tolist() == main["return_mean"].tolist()
    # and the table of forgetting has the leader first
    table = pd.read_csv(report / "forgetting.csv")
    assert table["column"].tolist() == ["inn"] * 2 + ["limit"] * 2 + ["nn_bicubic"] * 2
    assert (report / "forgetting.png").read_bytes().startswith(b"\x89PNG")
    provenance = json.loads((report / "provenance.json").read_text())
    assert [set(each) for each in provenance["task_references"]] == [{"expert", "random"}] * 2
    # and students were trained on, their observations standardised as in the first task
    before, after = (student_in(plan.root / place / "seed-1/inn/student") for place in ("", "then-1"))
    assert_same_statistics(before, after)
    weights, trained = (
        next(student.mlp_extractor.policy_net.parameters()) for student in (before, after)
    )
    assert not torch.equal(weights, trained)


def test_a_student_learns_the_next_task_with_the_statistics_of_the_first(
    write, tmp_path, ignore_progress
):
    # given a student, before the second task and after it
    path = write(THEN[:1], cloning={"epochs": 10, "batch_size": 64, "learning_rate": 0.01}, seeds=[0])
    (plan,) = load_experiments([path], None, tmp_path / "runs")
    names = ["seed-0/nn/student", "then-1/seed-0/nn/student"]
    # when
    for stage in plan.selected(names[1:]).stages:
        stage.execute(plan.root, ignore_progress)
    # then
    before, after = (student_in(plan.root / name) for name in names)
    assert_same_statistics(before, after)
    # and it is closer to the second expert than it was
    taught = load_demonstrations(plan.root / "then-1/seed-0/demonstrations" / EPISODES)
    observations, actions = taught.observations.numpy(), taught.actions.numpy()
    agreeing = [
        np.mean(student.predict(observations, deterministic=True)[0] == actions)
        for student in (before, after)
    ]
    assert agreeing[1] > agreeing[0]


def student_in(folder):
    venv = make_vec_env("CartPole-v1")
    return load_policy(folder / STUDENT, venv.observation_space, venv.action_space)


def assert_same_statistics(before, after):
    kept = before.features_extractor.state_dict()
    assert kept
    for name, value in after.features_extractor.state_dict().items():
        torch.testing.assert_close(value, kept[name], rtol=0, atol=0)
