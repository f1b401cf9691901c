from __future__ import annotations

import copy
import json

import pytest

from sb3_integral.experiments.config.load import load_config
from sb3_integral.experiments.report.write import REPORT
from sb3_integral.experiments.stages.experiment import build_stages
from sb3_integral.resize import RESIZE_METHODS

SHOWN = {"video", "moving", "page"}
"""Stages that test_visuals.py is about."""


@pytest.fixture
def stages_of(content, write_config):
    """Build the stages of the small experiment, after a change to it."""

    def build(change=lambda content: None):
        changed = copy.deepcopy(content)
        change(changed)
        stages = build_stages(load_config(write_config(changed)))
        return {stage.name: stage for stage in stages if stage.name not in SHOWN}

    return build


@pytest.fixture
def remade(stages_of):
    """Return the stages that have to be made again after a change."""

    def names(change) -> set[str]:
        before, after = stages_of(), stages_of(change)
        return {name for name, stage in after.items() if before[name].key != stage.key}

    return names


SMALL = {
    "expert": set(),
    "references": {"expert"},
    "seed-0/demonstrations": {"expert"},
    "seed-0/inn/student": {"seed-0/demonstrations"},
    "seed-0/nn/student": {"seed-0/demonstrations"},
    "seed-1/demonstrations": {"expert"},
    "seed-1/inn/student": {"seed-1/demonstrations"},
    "seed-1/nn/student": {"seed-1/demonstrations"},
    "seed-0/inn/sweep": {"seed-0/inn/student"},
    "seed-0/nn/sweep-bicubic": {"seed-0/nn/student"},
    "seed-0/nn/sweep-bicubic-rescaled": {"seed-0/nn/student"},
    "seed-1/inn/sweep": {"seed-1/inn/student"},
    "seed-1/nn/sweep-bicubic": {"seed-1/nn/student"},
    "seed-1/nn/sweep-bicubic-rescaled": {"seed-1/nn/student"},
}
SWEEPS = {name for name in SMALL if "/sweep" in name}
STUDENTS = {name for name in SMALL if name.endswith("/student")}
DEMONSTRATIONS = {name for name in SMALL if name.endswith("/demonstrations")}


def test_stages_need_what_they_read(stages_of):
    needs = {name: {need.name for need in stage.needed} for name, stage in stages_of().items()}
    figures = {"seed-0/nn/student", "seed-0/inn/student"}
    assert needs == {**SMALL, "figures": figures, REPORT: {"references", "figures", *SWEEPS}}


def test_the_report_reads_sweeps_by_column_then_seed(stages_of):
    assert [need.name for need in stages_of()[REPORT].needed] == [
        "references",
        "seed-0/inn/sweep",
        "seed-1/inn/sweep",
        "seed-0/nn/sweep-bicubic",
        "seed-1/nn/sweep-bicubic",
        "seed-0/nn/sweep-bicubic-rescaled",
        "seed-1/nn/sweep-bicubic-rescaled",
        "figures",
    ]


def test_only_a_method_that_looks_at_observations_reads_the_demonstrations(stages_of):
    # when
    stages = stages_of(lambda content: content["students"]["nn"].update(resize="all"))
    # then
    needs = {name: [need.name for need in stage.needed] for name, stage in stages.items()}
    assert needs["seed-0/nn/sweep-prune-activations"] == ["seed-0/nn/student", "seed-0/demonstrations"]
    assert needs["seed-1/nn/sweep-prune-l2"] == ["seed-1/nn/student", "seed-1/demonstrations"]
    assert needs["seed-0/nn/sweep-svd"] == ["seed-0/nn/student"]
    # and every method has a sweep, of which the report reads all
    sweeps = {f"seed-0/nn/sweep-{method}" for method in RESIZE_METHODS}
    assert sweeps <= set(needs)
    assert sweeps <= set(needs[REPORT])


def test_the_shipped_acrobot_experiment_has_every_student_of_every_seed(root):
    # given
    config = load_config(root / "zoo_configs" / "acrobot.yml", "resized")

    # when
    stages = {stage.name: stage for stage in build_stages(config)}

    # then
    resizing = {"inn", "slimmable", "paper_inn"}
    work = {"demonstrations", "nn/student", "scratch/sweep", "family/sweep"}
    work |= {f"{name}/{what}" for name in resizing for what in ("student", "sweep")}
    work |= {f"{name}/{size}" for name in ("scratch", "family") for size in config.sizes}
    work |= {f"nn/sweep-{method}" for method in RESIZE_METHODS}
    of_seeds = {f"seed-{seed}/{name}" for seed in config.seeds for name in work}
    assert set(stages) == {"expert", "references", "figures", REPORT} | of_seeds | SHOWN
    columns = [column["name"] for column in stages[REPORT].inputs["columns"]]
    assert columns[:5] == ["inn", "slimmable", "scratch", "family", "paper_inn"]
    assert len(columns) == 5 + len(RESIZE_METHODS)


def test_a_network_from_scratch_is_trained_at_each_size(stages_of):
    # when
    stages = stages_of(
        lambda content: content["students"].update(
            limit={"label": "limit", "kind": "scratch", "hidden_sizes": [16, 16]}
        )
    )
    # then
    needs = [need.name for need in stages["seed-1/limit/sweep"].needed]
    assert needs == ["seed-1/limit/16", "seed-1/limit/4"]
    assert stages["seed-1/limit/4"].inputs["architecture"]["hidden_sizes"] == (4, 4)
    assert stages["seed-1/limit/4"].inputs["architecture"]["kind"] == "plain"


def test_every_stage_comes_after_what_it_needs_and_the_report_last(stages_of):
    names = list(stages_of())
    for name, stage in stages_of().items():
        assert all(names.index(need.name) < names.index(name) for need in stage.needed)
    assert names[-1] == REPORT


def test_inputs_are_what_json_can_hold(stages_of):
    for stage in stages_of().values():
        text = json.dumps(stage.inputs, allow_nan=False)
        assert json.loads(text).keys() == stage.inputs.keys()


def test_the_first_integral_student_leads_the_table(stages_of):
    # given
    def reverse(content):
        content["students"] = dict(reversed(content["students"].items()))

    # when
    columns = stages_of(reverse)[REPORT].inputs["columns"]

    # then
    assert [tuple(column.values()) for column in columns] == [
        ("inn", "INN", "student"),
        ("nn_bicubic", "NN, bicubic", "baseline"),
        ("nn_bicubic_rescaled", "NN, bicubic rescaled", "baseline"),
    ]


# What a change costs


def test_nothing_is_made_again_for_the_same_configuration(remade):
    assert remade(lambda content: None) == set()


def test_labels_cost_no_more_than_figures_and_a_report(remade):
    def change(content):
        content["students"]["inn"]["label"] = "integral"
        content["students"]["nn"]["label"] = "plain"

    assert remade(change) == {"figures", REPORT}


def test_the_name_of_the_experiment_costs_no_more_than_a_report(remade):
    assert remade(lambda content: content.update(name="other")) <= {REPORT}


def test_epochs_cost_the_students_but_not_the_expert(remade):
    changed = remade(lambda content: content["cloning"].update(epochs=2))
    assert changed == STUDENTS | SWEEPS | {"figures", REPORT}


def test_sizes_cost_the_sweeps_but_not_the_students(remade):
    assert remade(lambda content: content.update(sizes=[16, 8])) == SWEEPS | {REPORT}


def test_evaluation_episodes_cost_the_sweeps_but_not_the_students(remade):
    changed = remade(lambda content: content["evaluation"].update(episodes=5))
    assert changed == SWEEPS | {REPORT}


def test_one_student_costs_no_other(remade):
    changed = remade(lambda content: content["students"]["inn"]["random_sizes"].update(low=5))
    assert changed == {name for name in STUDENTS | SWEEPS if "/inn/" in name} | {"figures", REPORT}


def test_demonstrations_cost_the_students_but_not_the_expert(remade):
    changed = remade(lambda content: content["demonstrations"].update(episodes=21))
    assert changed == DEMONSTRATIONS | STUDENTS | SWEEPS | {"figures", REPORT}


@pytest.mark.parametrize("key", ["seed", "n_timesteps"])
def test_another_expert_costs_everything(remade, key):
    assert remade(lambda content: content["expert"].update({key: 7})) == {*SMALL, "figures", REPORT}


def test_hyperparameters_of_the_environment_cost_everything_and_others_nothing(
    content, write_config, hyperparams
):
    # given
    config = load_config(write_config(content))
    before = [stage.key for stage in build_stages(config)]

    def keys_with(env_id):
        changed = {**hyperparams, env_id: {**hyperparams[env_id], "n_steps": 50}}
        config.expert.hyperparams.write_text(json.dumps(changed))
        return [stage.key for stage in build_stages(config)]

    # when, then
    assert keys_with("Acrobot-v1") == before
    assert not set(keys_with("CartPole-v1")) & set(before)


def test_another_seed_costs_only_itself(remade, stages_of):
    def change(content):
        content["seeds"] = [0, 1, 2]

    before, after = stages_of(), stages_of(change)
    new = set(after) - set(before)
    assert all(name.startswith("seed-2/") for name in new)
    assert {name for name in before if before[name].key != after[name].key} == {REPORT}


def test_every_seed_has_keys_of_its_own(stages_of):
    keys = [stage.key for stage in stages_of().values()]
    assert len(set(keys)) == len(keys)


def test_baselines_can_have_episodes_of_their_own_but_for_the_first(root):
    # given
    config = load_config(root / "zoo_configs" / "acrobot.yml", "resized")

    # when
    stages = {stage.name: stage for stage in build_stages(config)}

    # then
    def episodes(name):
        return stages[f"seed-0/{name}"].inputs["evaluation"]["episodes"]

    assert (config.evaluation.episodes, config.evaluation.baseline_episodes) == (30, 15)
    assert [episodes(name) for name in ("inn/sweep", "scratch/sweep", "nn/sweep-bicubic")] == [30] * 3
    assert episodes("nn/sweep-svd") == 15


def test_an_expert_that_is_there_already_is_taken_and_known_by_what_is_in_it(stages_of, tmp_path):
    # given
    model = tmp_path / "mine.zip"
    model.write_bytes(b"a model")

    def own(content):
        content["expert"] = {"model": str(model), "algo": "ppo"}

    before = stages_of(own)["expert"]

    # when
    before.execute(tmp_path / "run", lambda _: None)

    # then
    env = before.environment.id
    copy = tmp_path / "run" / "expert" / "ppo" / f"{env}_1" / f"{env}.zip"
    assert copy.read_bytes() == b"a model"
    assert before.is_done(tmp_path / "run")
    # and when it lies elsewhere, then nothing has changed
    elsewhere = tmp_path / "elsewhere.zip"
    elsewhere.write_bytes(b"a model")
    moved = stages_of(lambda content: content.update(expert={"model": str(elsewhere), "algo": "ppo"}))
    assert moved["expert"].key == before.key
    assert str(tmp_path) not in json.dumps(before.record(tmp_path / "run"))
    # and when it is another, under the same name
    model.write_bytes(b"another")
    assert stages_of(own)["expert"].key != before.key
    with pytest.raises(ValueError, match="has changed since"):
        before.execute(tmp_path / "run", lambda _: None)


def test_no_path_of_this_machine_is_in_what_is_recorded(stages_of, tmp_path):
    model = tmp_path / "mine.zip"
    model.write_bytes(b"a model")

    def own(content):
        content["expert"] = {"model": str(model)}

    recorded = stages_of(own)[REPORT].inputs["config"]

    assert recorded["expert"]["model"] == "mine.zip"
    assert str(tmp_path) not in json.dumps(recorded)


def test_a_student_that_starts_from_another_is_made_after_it_and_of_it(stages_of):
    def start(content):
        content["students"]["inn"]["start"] = "nn"

    before, stages = stages_of(), stages_of(start)
    names = list(stages)
    assert names.index("seed-0/nn/student") < names.index("seed-0/inn/student")
    needs = [need.name for need in stages["seed-0/inn/student"].needed]
    assert needs == ["seed-0/demonstrations", "seed-0/nn/student"]
    assert stages["seed-0/nn/student"].key == before["seed-0/nn/student"].key


def test_a_start_from_the_initialisation_is_an_input_of_its_student_alone(stages_of):
    def start(content):
        content["students"]["inn"] |= {"start": "initialisation", "nested": False}

    before, stages = stages_of(), stages_of(start)
    student = stages["seed-0/inn/student"]
    assert [need.name for need in student.needed] == ["seed-0/demonstrations"]
    assert student.inputs["start"] == "initialisation"
    assert "fast-tsp" in student.packages
    # and no other has it, so none is made again
    assert "start" not in before["seed-0/inn/student"].inputs
    assert "fast-tsp" not in before["seed-0/inn/student"].packages
    assert stages["seed-0/nn/student"].key == before["seed-0/nn/student"].key


def test_a_student_of_the_expert_s_distribution_needs_the_expert(stages_of):
    def clone_the_distribution(content):
        content["students"]["inn"]["cloning"] = {"loss": "distribution"}

    stages = stages_of(clone_the_distribution)
    assert [need.name for need in stages["seed-1/inn/student"].needed] == [
        "seed-1/demonstrations",
        "expert",
    ]
    assert [need.name for need in stages["seed-1/nn/student"].needed] == ["seed-1/demonstrations"]


def test_a_penalty_costs_its_student_only(remade):
    def smooth(content):
        content["students"]["inn"]["smoothness"] = {"spectral": 0.1}

    made = {f"seed-{seed}/inn/{what}" for seed in (0, 1) for what in ("student", "sweep")}
    assert remade(smooth) == {*made, "figures", REPORT}


def test_the_code_of_a_wrapper_of_the_users_costs_everything(
    content, write_config, tmp_path, monkeypatch
):
    # given an expert that is trained with a wrapper
    (tmp_path / "my_wrappers.py").write_text("class Mine: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = load_config(write_config(content))
    entry = {"n_timesteps": 64, "env_wrapper": ["my_wrappers.Mine", {"rl_zoo3.wrappers.Other": {}}]}
    config.expert.hyperparams.write_text(json.dumps({"CartPole-v1": entry}))
    before = build_stages(config)
    assert "code of my_wrappers" in before[0].versions

    # when the wrapper is another
    (tmp_path / "my_wrappers.py").write_text("class Mine: changed = True\n")

    # then no stage is the same
    assert not {stage.key for stage in before} & {stage.key for stage in build_stages(config)}
