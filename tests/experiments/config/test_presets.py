from __future__ import annotations

import copy

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sb3_integral.experiments.config.load import ConfigError, load_config, load_configs
from sb3_integral.experiments.config.names import RESIZE_METHODS
from sb3_integral.experiments.config.presets import apply_preset, merge
from sb3_integral.experiments.stages.experiment import build_stages

PRESETS = ("quick", "standard", "resized", "paper")

contents = st.recursive(
    st.none() | st.integers() | st.lists(st.integers(), max_size=3),
    lambda values: st.dictionaries(st.sampled_from("abcd"), values, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(st.sampled_from("abcd"), contents, max_size=4)


# Merging


@given(base=mappings, over=mappings)
def test_what_is_laid_over_wins_and_the_rest_stays(base, over):
    before = copy.deepcopy((base, over))
    result = merge(base, over)
    assert (base, over) == before
    assert set(result) == (set(base) | set(over)) - {key for key in over if over[key] is None}
    for key, value in result.items():
        if key not in over:
            assert value == base[key]
        elif not isinstance(over[key], dict):
            assert value == over[key]
        else:
            below = base.get(key)
            assert value == merge(below if isinstance(below, dict) else {}, over[key])


@given(base=mappings, over=mappings)
def test_laying_the_same_over_twice_changes_nothing(base, over):
    assert merge(merge(base, over), over) == merge(base, over)


def test_mappings_are_merged_lists_replaced_and_null_removes():
    base = {"a": {"x": 1, "y": 2}, "b": [1, 2], "c": 3}
    over = {"a": {"y": 5, "z": 6}, "b": [9], "c": None}
    assert merge(base, over) == {"a": {"x": 1, "y": 5, "z": 6}, "b": [9]}


# Presets of a file


@pytest.fixture
def scaled(content):
    """The small configuration, with two presets."""
    content["presets"] = {
        "quick": {"seeds": [5], "demonstrations": {"episodes": 7}, "students": {"nn": None}},
        "huge": {"demonstrations": {"episodes": 10**6}, "students": {"inn": {"label": "huge"}}},
    }
    return content


def test_a_preset_is_laid_over_the_file(scaled, write_config):
    config = load_config(write_config(scaled), "quick")
    assert config.seeds == (5,)
    assert config.demonstrations.episodes == 7
    assert config.demonstrations.success == "any"  # the file's
    assert list(config.students) == ["inn"]
    assert (config.name, config.preset, config.folder) == ("small", "quick", "small-quick")


def test_the_presets_of_a_file_are_its_own_and_those_that_every_file_has(scaled, write_config):
    path = write_config(scaled)
    for preset in (*PRESETS, "huge"):
        assert load_config(path, preset).preset == preset
    config = load_config(path, "huge")
    assert config.demonstrations.episodes == 10**6
    assert [student.label for student in config.students.values()] == ["huge", "NN"]


@pytest.mark.parametrize(("default", "expected"), [(None, "standard"), ("huge", "huge")])
def test_a_preset_that_nobody_chose_is_the_files_default(scaled, write_config, default, expected):
    if default is not None:
        scaled["default_preset"] = default
    assert load_config(write_config(scaled)).preset == expected


def test_a_file_can_name_several_presets_each_of_which_is_an_experiment(scaled, write_config):
    # given a file with two defaults
    path = write_config({**scaled, "default_preset": ["huge", "quick"]})

    # then both are taken, in that order, unless the user names one
    assert [config.folder for config in load_configs(path)] == ["small-huge", "small-quick"]
    assert [config.folder for config in load_configs(path, "paper")] == ["small-paper"]


@pytest.mark.parametrize(
    ("key", "value", "preset", "said"),
    [
        (
            "seeds",
            [0],
            "tiny",
            "unknown preset 'tiny'; known are quick, standard, resized, paper, huge",
        ),
        ("default_preset", "tiny", None, "unknown preset 'tiny'"),
        ("default_preset", ["quick", "tiny"], None, "unknown preset 'tiny'"),
        (
            "default_preset",
            ["quick", "quick"],
            None,
            "a list of names that differ, got ['quick', 'quick']",
        ),
        (
            "default_preset",
            [3],
            None,
            "must be a preset's name, or a list of names that differ, got [3]",
        ),
        ("default_preset", {"a": 1}, None, "must be a preset's name, or a list"),
        ("presets", [1], None, "`presets` must map names to partial configurations, got [1]"),
        ("presets", {"quick": 3}, None, "must map names to partial configurations, got {'quick': 3}"),
        ("preset", "quick", None, "`preset` is chosen when a file is used"),
        ("presets", {"quick": {"colour": "red"}}, "quick", "colour: Extra inputs are not permitted"),
        ("presets", {"quick": {"seeds": [-1]}}, "quick", "seeds.0: Input should be greater than"),
    ],
)
def test_presets_that_cannot_be_used_are_errors_that_name_the_file(
    scaled, write_config, key, value, preset, said
):
    path = write_config({**scaled, key: value})
    with pytest.raises(ConfigError) as error:
        load_config(path, preset)
    assert str(error.value).startswith(f"{path} is not a valid experiment:\n")
    assert said in str(error.value)


# Defaults


def test_an_environment_is_all_that_a_configuration_needs(root, tmp_path):
    # given a folder that has nothing else
    text = (root / "hyperparams" / "trpo.yml").read_text()
    path = tmp_path / "pendulum.yml"
    path.write_text("env: Pendulum-v1\n")

    for preset in PRESETS:
        # when
        config = load_config(path, preset)
        # then
        assert config.folder == f"pendulum-v1-{preset}"
        assert {student.kind for student in config.students.values()} >= {"integral", "plain"}
        assert config.sizes[0] == 100
        # There is an entry for environments that have none of their own.
        assert build_stages(config)[0].inputs["hyperparams"] == yaml.safe_load(text)["default"]


def test_the_files_own_keys_win_over_the_defaults_presets():
    content = {"env": "CartPole-v1", "seeds": [3], "students": {"only": {"kind": "integral"}}}
    for preset in PRESETS:
        result = apply_preset(content, preset)
        assert result["seeds"] == [3]
        assert result["students"] == {"only": {"kind": "integral"}}


@pytest.mark.parametrize(
    "name", ["acrobot", "lunarlander", "halfcheetah", "halfcheetah_v5", "ant", "ant_v5"]
)
def test_the_shipped_configurations_have_the_scales_that_are_promised(root, name):
    quick, standard, resized, paper = (
        load_config(root / "zoo_configs" / f"{name}.yml", preset) for preset in PRESETS
    )
    assert len(standard.seeds) >= 5
    assert resized.demonstrations == standard.demonstrations
    assert standard.students["nn"].resize == ("bicubic",)
    assert set(resized.students["nn"].resize) == set(RESIZE_METHODS)
    assert standard.evaluation.episodes == 30
    assert paper.seeds == tuple(range(10))
    assert (paper.demonstrations.episodes, paper.cloning.epochs) == (10_000, 30)
    assert paper.evaluation.episodes == 15
    assert paper.sizes == standard.sizes == (100, 95, 90, 85, 70, 60, 50, 40, 30, 20, 10, 5)
    assert len(quick.seeds) <= 2
    assert quick.demonstrations.episodes < standard.demonstrations.episodes
    # The expert is the same at every scale, so it is trained once.
    keys = {build_stages(config)[0].key for config in (quick, standard, resized, paper)}
    assert len(keys) == 1
