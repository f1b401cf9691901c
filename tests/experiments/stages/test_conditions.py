"""Networks that are tested again, in perturbed environments and with rounded weights."""

from __future__ import annotations

import copy

import pandas as pd
import pytest

from sb3_integral.evaluation.perturbations import PERTURBATIONS
from sb3_integral.experiments.config.conditions import PerturbationConfig
from sb3_integral.experiments.config.load import ConfigError, load_config
from sb3_integral.experiments.load import load_experiments
from sb3_integral.experiments.report.conditions import CONDITIONS
from sb3_integral.experiments.report.write import REPORT
from sb3_integral.experiments.stages.experiment import build_stages

NOISE, DELAY = {"observation_noise": 0.5}, {"observation_delay": 2}
INT4 = {"bits": 4, "per": "tensor"}


@pytest.fixture
def write(content, write_config):
    """Write the small experiment with conditions of its evaluation, and with networks from scratch."""

    def written(**conditions):
        changed = copy.deepcopy(content)
        changed["evaluation"] = {**changed.get("evaluation", {}), **conditions}
        changed["students"]["limit"] = {"label": "limit", "kind": "scratch", "hidden_sizes": [16, 16]}
        return write_config(changed)

    return written


def needs_of(stage):
    return [need.name for need in stage.needed]


def test_every_network_is_tested_under_every_condition(write):
    # when
    stages = {
        stage.name: stage for stage in build_stages(load_config(write(perturb=[NOISE], quantise=[INT4])))
    }
    # then
    for column in ("inn/sweep", "limit/sweep", "nn/sweep-bicubic"):
        for seed in (0, 1):
            noise = stages[f"seed-{seed}/{column}-observation_noise-0.5"]
            assert noise.inputs["condition"] == NOISE
            # noise is measured in deviations of the demonstrations
            assert f"seed-{seed}/demonstrations" in needs_of(noise)
            rounded = stages[f"seed-{seed}/{column}-int4-tensor"]
            assert rounded.inputs["condition"] == INT4
            assert f"seed-{seed}/demonstrations" not in needs_of(rounded)
    assert stages[CONDITIONS].inputs["conditions"] == ["none", "observation_noise-0.5", "int4-tensor"]


def test_nothing_else_is_made_again_for_a_condition(write):
    # when
    without, perturbed = (
        {stage.name: stage for stage in build_stages(load_config(write(**conditions)))}
        for conditions in ({}, {"perturb": [NOISE]})
    )
    # then
    changed = {name for name, stage in without.items() if stage.key != perturbed[name].key}
    assert changed == {REPORT, "page"}  # which say what was done
    assert not {"perturb", "quantise"} & set(without[REPORT].inputs["config"]["evaluation"])


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("perturb", [{"wind": 1.0}], "wind: Extra inputs are not permitted"),
        ("perturb", [{}], "expected one perturbation with its strength"),
        ("perturb", [{"gravity": 1.0, "mass": 2.0}], "expected one perturbation with its strength"),
        ("perturb", [NOISE, NOISE], "conditions must differ from each other"),
        ("perturb", [{"observation_delay": 1.5}], "valid integer"),
        ("perturb", [{"sticky_actions": 1.0}], "less than 1"),
        ("perturb", [{"mass": 0.0}], "greater than 0"),
        ("perturb", [{"gravity": float("inf")}], "finite number"),
        ("quantise", [{"bits": 1}], "greater than or equal to 2"),
        ("quantise", [{"bits": 8, "per": "column"}], "'tensor' or 'row'"),
        ("quantise", [INT4, INT4], "conditions must differ from each other"),
    ],
)
def test_conditions_that_mean_nothing_are_refused(write, key, value, said):
    with pytest.raises(ConfigError, match=said):
        load_config(write(**{key: value}))


def test_a_configuration_knows_every_perturbation():
    assert [*PerturbationConfig.model_fields] == [*PERTURBATIONS]


def test_a_condition_has_a_name_that_a_file_can_have():
    assert PerturbationConfig(gravity=0.25).name == "gravity-0.25"
    assert PerturbationConfig(observation_delay=2).name == "observation_delay-2"


@pytest.mark.slow
def test_a_small_experiment_is_tested_under_conditions(write, tmp_path, ignore_progress):
    # given
    path = write(perturb=[NOISE, DELAY], quantise=[INT4])
    (plan,) = load_experiments([path], None, tmp_path / "runs")
    # when
    for stage in plan.selected([CONDITIONS]).stages:
        stage.execute(plan.root, ignore_progress)
    # then there is a row for each condition, column, seed and size
    runs = pd.read_csv(plan.root / CONDITIONS / "runs.csv")
    names = ["none", "observation_noise-0.5", "observation_delay-2", "int4-tensor"]
    assert runs["condition"].unique().tolist() == names
    assert len(runs) == 4 * 4 * 2 * 2
    # and bytes are those of each format, for a network from scratch as for the INN of its size
    n_bytes = runs.set_index(["condition", "column", "seed", "n_hidden"])["bytes"]
    for size in (16, 4):
        weights, biases = (4 * size, size * size, size * 2), 2 * size + 2
        rounded = sum(count // 2 + 4 for count in weights) + 4 * biases + 2 * 4 * 4  # standardisation
        floats = 4 * (sum(weights) + biases)
        assert n_bytes.loc[("int4-tensor", "inn", 0, size)] == rounded
        assert n_bytes.loc[("int4-tensor", "limit", 1, size)] == rounded
        assert n_bytes.loc[("observation_delay-2", "inn", 0, size)] == floats
    # and without a condition the runs are those of the other report
    table = pd.read_csv(plan.root / CONDITIONS / "conditions.csv")
    assert set(table["condition"]) == set(names)
    assert (table.loc[table["condition"] == "none", "loss"].isna()).all()
