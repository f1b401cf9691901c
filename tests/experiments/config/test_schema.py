from __future__ import annotations

import copy
import operator
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_integral.experiments.config.load import ConfigError, load_config
from sb3_integral.experiments.config.schema import ExperimentConfig
from sb3_integral.experiments.stages.experiment import build_stages
from sb3_integral.imitation import (
    SUCCESS_CRITERIA,
    MinReturn,
)
from sb3_integral.resize import RESIZE_METHODS

MISSING = object()


def changed(content, key: str, value):
    """Return the content with the value at a dotted key; without the key if it is MISSING."""
    result = copy.deepcopy(content)
    *path, last = key.split(".")
    section = reduce(operator.getitem, path, result)
    if value is MISSING:
        del section[last]
    else:
        section[last] = value
    return result


def test_every_shipped_configuration_can_be_run(root):
    paths = sorted((root / "zoo_configs").glob("*.yml"))
    assert "acrobot.yml" in [path.name for path in paths]
    for path in paths:
        config = load_config(path)
        assert config.expert.hyperparams.is_file()
        assert len(build_stages(config)) > 4


def test_the_shipped_acrobot_experiment_is_that_of_the_paper(root):
    config = load_config(root / "zoo_configs" / "acrobot.yml", "paper")
    assert config.env == "Acrobot-v1"
    assert config.sizes == (100, 95, 90, 85, 70, 60, 50, 40, 30, 20, 10, 5)
    assert (config.cloning.epochs, config.demonstrations.episodes) == (30, 10_000)
    assert len(config.seeds) == 10
    for student in config.students.values():
        assert student.hidden_sizes == (100, 100)


def test_a_configuration_is_what_the_file_says(content, write_config, tmp_path):
    config = load_config(write_config(content))
    assert config.name == "small"
    assert config.seeds == (0, 1)
    assert config.sizes == (16, 4)
    assert list(config.students) == ["inn", "nn"]
    assert config.students["nn"].resize == ("bicubic", "bicubic-rescaled")
    assert config.students["inn"].architecture().hidden_sizes == (16, 16)
    # The path is relative to the file, not to where the command is run.
    assert config.expert.hyperparams == tmp_path / "hyperparams" / "trpo.yml"


@pytest.mark.parametrize("algo", ["trpo", "ppo"])
def test_hyperparameters_are_shipped_for_files_that_name_none(content, write_config, root, algo):
    content["expert"] = {"algo": algo}
    config = load_config(write_config(content))
    shipped = config.expert.hyperparams
    assert (shipped == root / "hyperparams" / "trpo.yml") == (algo == "trpo")
    # They are of experts, whose policies are stock ones.
    assert build_stages(config)[0].inputs["hyperparams"]["policy"] == "MlpPolicy"


def test_a_configuration_needs_no_more_than_names_sizes_and_students(content, write_config):
    for section in ("demonstrations", "cloning", "evaluation"):
        del content[section]
    config = load_config(write_config(content))
    assert config.demonstrations.episodes == 500  # of the preset that nobody had to choose
    cloning = config.cloning.filled_in()
    assert (config.cloning.epochs, cloning["epochs"], cloning["learning_rate"]) == (20, 20, 0.003)
    assert config.evaluation.deterministic


@pytest.mark.parametrize("name", SUCCESS_CRITERIA)
def test_success_can_be_named(content, write_config, name):
    config = load_config(write_config(changed(content, "demonstrations.success", name)))
    assert config.demonstrations.criterion() is SUCCESS_CRITERIA[name]


def test_success_can_be_a_return(content, write_config):
    success = {"min_return": -100}
    config = load_config(write_config(changed(content, "demonstrations.success", success)))
    assert config.demonstrations.criterion() == MinReturn(-100.0)


WRONG = [
    # key, wrong value, what is named, what is said of it
    ("sizes", [16, 0], "sizes.1", "greater than 0 (got 0)"),
    ("sizes", [-5], "sizes.0", "greater than 0 (got -5)"),
    ("sizes", [16, 2.5], "sizes.1", "valid integer (got 2.5)"),
    ("sizes", ["large"], "sizes.0", "valid integer (got 'large')"),
    ("sizes", [], "sizes", "at least 1 item after validation, not 0 (got [])"),
    ("sizes", 16, "sizes", "valid tuple (got 16)"),
    ("sizes", [16, 4, 16], "experiment", "sizes must differ from each other, got [16, 4, 16]"),
    ("seeds", [0, 1, 0], "experiment", "seeds must differ from each other, got [0, 1, 0]"),
    ("seeds", [-1], "seeds.0", "greater than or equal to 0 (got -1)"),
    ("seeds", [], "seeds", "at least 1 item after validation, not 0 (got [])"),
    ("env", "CartPole-v99", "env", "environment 'CartPole-v99' is not registered"),
    ("env", MISSING, "env", "Field required"),
    ("then", ["Acrobot-v9"], "then", "environment 'Acrobot-v9' is not registered"),
    ("then", ["nowhere:Env-v0"], "then", "the package 'nowhere' cannot be imported"),
    ("then", ["not an id"], "then.0", "(got 'not an id')"),
    ("then", "Acrobot-v1", "then", "valid tuple (got 'Acrobot-v1')"),
    ("then", [f"Env-v{version}" for version in range(6)], "then", "at most 5 items"),
    ("then", ["CartPole-v1"], "experiment", "must name environments that differ, got ['CartPole-v1',"),
    ("then", ["a:Env-v0", "b:Env-v0"], "experiment", "['CartPole-v1', 'Env-v0', 'Env-v0']"),
    ("name", "a/b", "name", "(got 'a/b')"),
    ("name", "", "name", "(got '')"),
    ("name", "..", "name", "(got '..')"),
    ("sizes", [True], "sizes.0", "valid integer (got True)"),
    ("sizes", [8, 4], "experiment", "sizes must begin with the full size of every student"),
    ("expert.algo", "foo", "expert.algo", "unknown algorithm of rl-zoo3 'foo'"),
    ("cloning.learning_rate", float("inf"), "cloning.learning_rate", "(got inf)"),
    ("colour", "red", "colour", "Extra inputs are not permitted (got 'red')"),
    ("expert.learning", 1, "expert.learning", "Extra inputs are not permitted (got 1)"),
    ("expert.seed", -1, "expert.seed", "greater than or equal to 0 (got -1)"),
    ("expert.n_timesteps", 0, "expert.n_timesteps", "greater than 0 (got 0)"),
    ("expert.hyperparams", "nowhere.yml", "expert.hyperparams", "nowhere.yml"),
    ("demonstrations.episodes", 0, "demonstrations.episodes", "greater than 0 (got 0)"),
    (
        "demonstrations.success",
        "sometimes",
        "demonstrations.success",
        "unknown success criterion 'sometimes'; known are any, terminated, truncated",
    ),
    (
        "demonstrations.success",
        {"min_return": "high"},
        "demonstrations.success.MinReturnConfig.min_return",
        "(got 'high')",
    ),
    ("students", {}, "students", "(got {})"),
    ("students.inn", MISSING, "experiment", "at least one integral student"),
    ("students.inn.kind", "sparse", "students.inn.kind", "(got 'sparse')"),
    ("students.inn.label", MISSING, "students.inn.label", "Field required"),
    ("students.inn.colour", "red", "students.inn.colour", "Extra inputs are not permitted (got 'red')"),
    ("students.inn.hidden_sizes", [16, 0], "students.inn.hidden_sizes.1", "(got 0)"),
    ("students.inn.hidden_sizes", [], "students.inn", "`hidden_sizes` must name at least one"),
    ("students.inn.grid_size", 0, "students.inn.grid_size", "greater than 0 (got 0)"),
    ("students.inn.kernel", "box", "students.inn.kernel", "unknown kernel 'box'; known are"),
    ("students.inn.quadrature", "exact", "students.inn.quadrature", "unknown quadrature 'exact'; known"),
    (
        "students.inn.activation",
        "step",
        "students.inn.activation",
        "unknown activation 'step'; known are",
    ),
    (
        "students.inn.random_sizes.low",
        17,
        "students.inn.random_sizes",
        "low must not be above high (16)",
    ),
    (
        "students.inn.random_sizes.distribution",
        "given",
        "students.inn.random_sizes",
        "`sizes` belong to `distribution: given`",
    ),
    (
        "students.inn.random_sizes.sizes",
        [4, 8],
        "students.inn.random_sizes",
        "`sizes` belong to `distribution: given`",
    ),
    ("students.inn.scale_levels", [1, -1], "students.inn.scale_levels", "(got -1)"),
    (
        "students.inn.smoothness",
        {"spectral": -1.0},
        "students.inn.smoothness.spectral",
        "greater than or equal to 0 (got -1.0)",
    ),
    ("students.nn.smoothness", {}, "students.nn", "a plain student has no functions along an axis"),
    ("students.inn.start", "inn", "experiment", "inn.start must name a plain student, got 'inn'"),
    ("students.nn.start", "initialisation", "students.nn", "a plain student has no functions along"),
    (
        "students.initialisation",
        {"label": "other", "kind": "plain", "hidden_sizes": [16, 16], "resize": ["svd"]},
        "experiment",
        "a student cannot be called 'initialisation'",
    ),
    ("students.inn.start", "mlp", "experiment", "inn.start must name a plain student, got 'mlp'"),
    ("cloning.loss", "huber", "cloning.loss", "unknown loss 'huber'; known are clipped, distribution"),
    ("students.inn.random_sizes.low", 0, "students.inn.random_sizes.low", "greater than 0 (got 0)"),
    (
        "students.inn.random_sizes.distribution",
        "normal",
        "students.inn.random_sizes.distribution",
        "(got 'normal')",
    ),
    ("students.inn.resize", ["bicubic"], "students.inn", "an integral student resizes itself"),
    (
        "students.nn.resize",
        ["bicubic", "lanczos"],
        "students.nn.resize.1",
        f"unknown resize method 'lanczos'; known are {', '.join(sorted(RESIZE_METHODS))}",
    ),
    ("students.nn.resize", "every", "students.nn.resize", "(got 'every')"),
    ("students.inn.resize", "all", "students.inn", "an integral student resizes itself"),
    ("students.nn.resize", [], "students.nn", "a plain student needs `resize` methods"),
    ("students.nn.random_sizes", {"low": 4, "high": 16}, "students.nn", "takes no `random_sizes`"),
    ("cloning.epochs", 0, "cloning.epochs", "greater than 0 (got 0)"),
    ("cloning.batch_size", -64, "cloning.batch_size", "greater than 0 (got -64)"),
    ("cloning.learning_rate", 0.0, "cloning.learning_rate", "greater than 0 (got 0.0)"),
    ("cloning.learning_rate", float("nan"), "cloning.learning_rate", "(got nan)"),
    ("evaluation.episodes", 1.5, "evaluation.episodes", "(got 1.5)"),
    ("evaluation.n_envs", 0, "evaluation.n_envs", "greater than 0 (got 0)"),
]


@pytest.mark.parametrize(
    ("key", "value", "named", "said"),
    WRONG,
    ids=[f"{key}={'missing' if value is MISSING else value}" for key, value, _, _ in WRONG],
)
def test_a_wrong_value_is_an_error_that_names_the_file_the_key_and_the_value(
    content, write_config, key, value, named, said
):
    # given
    path = write_config(changed(content, key, value))

    # when
    with pytest.raises(ConfigError) as error:
        load_config(path)

    # then
    first, *problems = str(error.value).splitlines()
    assert first == f"{path} is not a valid experiment:"
    assert any(problem.startswith(f"  {named}") and said in problem for problem in problems)


def test_an_expert_that_is_there_already_knows_one_environment(content, write_config):
    content["then"] = ["Acrobot-v1"]
    content["expert"] = {"algo": "ppo", "model": "expert.zip"}
    with pytest.raises(ConfigError, match=r"expected no `expert\.model`"):
        load_config(write_config(content))


def test_tasks_are_the_environments_on_their_own_in_order(content, write_config):
    # given
    config = load_config(write_config({**content, "then": ["CartPole-v0"]}))
    # when
    first, second = config.tasks()
    # then
    assert (first.env, second.env) == ("CartPole-v1", "CartPole-v0")
    assert first.then == second.then == ()
    assert config.record()["then"] == ["CartPole-v0"]
    # and one environment leaves no trace of the key
    assert "then" not in first.record()


def test_every_problem_is_told_at_once(content, write_config):
    content["sizes"], content["cloning"]["epochs"], content["colour"] = [0], -1, "red"
    with pytest.raises(ConfigError) as error:
        load_config(write_config(content))
    for named in ("  sizes.0: ", "  cloning.epochs: ", "  colour: "):
        assert named in str(error.value)


@given(size=st.one_of(st.integers(max_value=0), st.floats().filter(lambda x: not x.is_integer())))
def test_no_number_but_a_positive_integer_is_a_size(size):
    content = {
        "name": "small",
        "env": "CartPole-v1",
        "seeds": [0],
        "sizes": [size],
        "expert": {"hyperparams": "trpo.yml"},
        "students": {"inn": {"kind": "integral", "label": "INN"}},
    }
    with pytest.raises(ValueError, match=r"sizes\.0"):
        ExperimentConfig.model_validate(content)


def test_hyperparameters_without_the_environment_are_an_error_that_names_both(content, write_config):
    config = load_config(write_config(changed(content, "env", "Pendulum-v1")))
    expected = r"trpo\.yml has no entry for 'Pendulum-v1'; it has Acrobot-v1, CartPole-v1"
    with pytest.raises(ValueError, match=expected):
        build_stages(config)


def test_two_students_with_one_label_are_refused(content, write_config):
    for label in ("INN", " inn ", "INN, paper", "NN, bicubic"):
        other = {**content["students"]["inn"], "label": label}
        students = {**content["students"], "other": other}
        with pytest.raises(ConfigError, match=r"is a label of (inn|nn|the paper) already"):
            load_config(write_config({**content, "students": students}))


def test_a_label_without_a_character_that_can_be_seen_is_refused(content, write_config):
    students = {**content["students"], "other": {**content["students"]["inn"], "label": " "}}
    with pytest.raises(ConfigError, match=r"students\.other\.label"):
        load_config(write_config({**content, "students": students}))


def test_two_students_whose_columns_have_one_name_are_refused(content, write_config):
    # given columns nn_permuted_bicubic, twice
    plain = {**content["students"]["nn"], "resize": ["permuted-bicubic"]}
    narrow = {**content["students"]["nn"], "label": "other NN", "resize": ["bicubic"]}
    students = {"inn": content["students"]["inn"], "nn": plain, "nn_permuted": narrow}
    with pytest.raises(ConfigError, match="'nn_permuted' has the name of a column of 'nn'"):
        load_config(write_config({**content, "students": students}))
