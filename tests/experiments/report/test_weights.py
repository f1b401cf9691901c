from __future__ import annotations

import json

import gymnasium as gym
import matplotlib.image
import torch

from sb3_integral.experiments.report.roughness import read_roughness
from sb3_integral.experiments.report.weights import NOTE, SPECTRUM, WEIGHTS, draw_figures, second_layer
from sb3_integral.imitation import StudentArchitecture

INTEGRAL = StudentArchitecture("integral", hidden_sizes=(12, 9))
PLAIN = StudentArchitecture("plain", hidden_sizes=(12, 9))
SHALLOW = StudentArchitecture("plain", hidden_sizes=(12,))


def build(architecture):
    environment = gym.make("CartPole-v1")
    return architecture.build(environment.observation_space, environment.action_space, seed=0)


def test_the_weight_between_hidden_layers_is_that_of_the_actor_at_full_size():
    # given
    plain, integral = build(PLAIN), build(INTEGRAL)
    # when it is of a size that is not its own
    full = second_layer(integral)
    integral.resize((5, 4))
    # then
    assert torch.equal(second_layer(plain), plain.mlp_extractor.policy_net[2].weight)
    assert full.shape == (9, 12)
    assert torch.equal(second_layer(integral), full)
    assert integral.sizes == (5, 4)


def test_neurons_of_an_integral_student_are_in_the_order_of_their_points():
    # given a student whose axes nest, so that its neurons are stored in another order
    student = build(INTEGRAL)
    first, second = student.actor_axes
    stored = student.mlp_extractor.policy_net[2].weight.detach()
    # then
    expected = second.ascending(first.ascending(stored, 1), 0)
    assert torch.equal(second_layer(student), expected)
    assert not torch.equal(expected, stored)


def test_one_hidden_layer_has_none():
    assert second_layer(build(SHALLOW)) is None


def test_figures_are_drawn_of_the_students_that_have_one(save_students, ignore_progress, tmp_path):
    # given
    folders = save_students("CartPole-v1", INTEGRAL, PLAIN, SHALLOW)
    labels = ["INN", "NN", "shallow NN"]
    # when
    draw_figures(tmp_path, ignore_progress, folders, env_id="CartPole-v1", labels=labels)
    # then
    for name in (WEIGHTS, SPECTRUM):
        assert matplotlib.image.imread(tmp_path / name).std() > 0.05
    # and measured
    assert read_roughness(tmp_path)["label"].tolist() == ["INN", "NN"]
    (sentence,) = json.loads((tmp_path / NOTE).read_text())
    assert sentence.startswith("shallow NN has one hidden layer")


def test_without_any_there_is_only_the_note(save_students, ignore_progress, tmp_path):
    folders = save_students("CartPole-v1", SHALLOW)
    draw_figures(tmp_path, ignore_progress, folders, env_id="CartPole-v1", labels=["NN"])
    assert [path.name for path in tmp_path.iterdir()] == [NOTE]
