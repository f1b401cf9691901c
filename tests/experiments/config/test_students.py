from __future__ import annotations

import pytest

from sb3_integral.experiments.config.load import load_config
from sb3_integral.imitation import GivenSizes, LogUniformSizes, UniformSizes
from sb3_integral.nn import SmoothnessPenalty
from sb3_integral.resize import RESIZE_METHODS


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [("uniform", UniformSizes(4, 16)), ("log-uniform", LogUniformSizes(4, 16))],
)
def test_random_sizes_are_of_the_distribution_that_is_named(
    content, write_config, distribution, expected
):
    content["students"]["inn"]["random_sizes"]["distribution"] = distribution
    config = load_config(write_config(content))
    assert config.students["inn"].random_sizes.build() == expected


def test_sizes_can_be_given(content, write_config):
    content["students"]["inn"]["random_sizes"] = {"distribution": "given", "sizes": [16, 4]}
    config = load_config(write_config(content))
    assert config.students["inn"].random_sizes.build() == GivenSizes((16, 4))


def test_what_a_student_is_made_of_can_be_named(content, write_config):
    content["students"]["inn"] |= {
        "scale_levels": [0, 0, 3],
        "smoothness": {"total_variation": 0.1},
        "start": "nn",
        "cloning": {"loss": "distribution"},
    }
    config = load_config(write_config(content))
    student = config.students["inn"]
    assert student.architecture().scale_levels == (0, 0, 3)
    assert student.smoothness.build() == SmoothnessPenalty(total_variation=0.1)
    assert student.start == "nn"
    assert config.cloning_of(student).loss == "distribution"


def test_the_default_students_have_the_paper_s_inn_whatever_a_preset_says(write_config):
    # given a preset with other epochs
    config = load_config(write_config({"env": "CartPole-v1"}), "quick")
    # when
    student = config.students["paper_inn"]
    cloning = config.cloning_of(student)
    # then
    assert (config.cloning.epochs, cloning.epochs) == (60, 30)
    assert (cloning.loss, cloning.learning_rate, cloning.schedule) == ("paper", 0.001, "constant")
    assert student.random_sizes.build() == UniformSizes(50, 100)
    assert student.random_sizes.small == 0
    assert (student.architecture().activation, student.architecture().nested) == ("relu", False)
    assert student.start == "initialisation"


def test_all_stands_for_every_resize_method(content, write_config):
    content["students"]["nn"]["resize"] = "all"
    config = load_config(write_config(content))
    assert config.students["nn"].resize == tuple(RESIZE_METHODS)
    assert config.students["nn"].resize[0] == "bicubic"


@pytest.mark.parametrize(("share", "epochs"), [(1.0, 20), (0.3, 6), (0.001, 1)])
def test_a_student_can_make_a_share_of_the_passes(content, write_config, share, epochs):
    # given
    content["cloning"] = {"epochs": 20}
    scratch = {"kind": "scratch", "label": "small", "hidden_sizes": [16, 16]}
    content["students"]["scratch"] = {**scratch, "epochs_share": share}
    # when
    config = load_config(write_config(content))
    # then
    assert config.training_of(config.students["scratch"])["epochs"] == epochs


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_of_the_passes_is_a_part_of_them(content, write_config, share):
    content["students"]["inn"]["epochs_share"] = share
    with pytest.raises(ValueError, match="epochs_share"):
        load_config(write_config(content))
