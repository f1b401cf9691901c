from __future__ import annotations

import pytest

from sb3_integral.experiments.config.load import load_config
from sb3_integral.experiments.report.page import PAGE
from sb3_integral.experiments.report.write import REPORT
from sb3_integral.experiments.stages.experiment import build_stages

MINE = {"model": "mine.zip", "algo": "ppo"}


@pytest.fixture
def stages_of(content, write_config):
    def build(content=content):
        return {stage.name: stage for stage in build_stages(load_config(write_config(content)))}

    return build


def test_the_page_is_last_and_reads_all_that_it_shows(stages_of):
    stages = stages_of()
    assert list(stages)[-1] == PAGE
    assert [need.name for need in stages[PAGE].needed] == [REPORT, "figures", "video", "moving"]
    assert [need.name for need in stages["moving"].needed] == ["seed-0/inn/student", "seed-0/nn/student"]


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(
            env="MountainCar-v0", expert={"model": "mine.zip", "algo": "ppo"}
        ),
        lambda content: content.update(max_episode_steps=50),
        lambda content: content["students"].pop("nn"),
    ],
    ids=["another environment", "another time limit", "no plain student"],
)
def test_what_does_not_move_has_no_page_that_moves(content, stages_of, tmp_path, change):
    (tmp_path / "mine.zip").write_bytes(b"")
    change(content)
    stages = stages_of()
    assert "moving" not in stages
    assert [need.name for need in stages[PAGE].needed] == [REPORT, "figures", "video"]


def test_the_page_names_the_file_that_the_experiment_was_read_from(content, write_config):
    # given the same experiment in two files
    first = write_config(content)
    second = first.with_name("another file.yml")
    second.write_text(first.read_text())
    # when
    pages = [build_stages(load_config(path))[-1] for path in (first, second)]
    # then
    assert pages[0].paths["command"] == f"sb3-integral run {first} --preset standard"
    assert pages[1].paths["command"] == f"sb3-integral run '{second}' --preset standard"
    assert pages[0].key == pages[1].key


def test_figures_are_of_the_first_seeds_students(stages_of):
    figures = stages_of()["figures"]
    assert [need.name for need in figures.needed] == ["seed-0/nn/student", "seed-0/inn/student"]
    assert figures.inputs["labels"] == ["NN", "INN"]


def test_figures_have_the_paper_s_inn_between_the_plain_network_and_the_leader(content, stages_of):
    # given more students than there are panels
    inn = content["students"]["inn"]
    content["students"] |= {
        "other": {**inn, "label": "other"},
        "paper_inn": {**inn, "label": "INN as in the paper", "start": "initialisation"},
        "limit": {"label": "limit", "kind": "scratch", "hidden_sizes": [16, 16]},
    }
    # when, then
    assert stages_of()["figures"].inputs["labels"] == ["NN", "INN as in the paper", "INN"]
    # and none is drawn twice
    del content["students"]["inn"], content["students"]["other"]
    assert stages_of()["figures"].inputs["labels"] == ["NN", "INN as in the paper"]


def test_the_video_shows_the_leader_at_two_sizes_and_a_resized_plain_network(stages_of):
    video = stages_of()["video"]
    assert [need.name for need in video.needed] == ["seed-0/inn/student"] * 2 + ["seed-0/nn/student"]
    assert video.inputs["agents"] == [
        {"label": "INN, N = 16", "method": None, "size": 16},
        {"label": "INN, N = 4", "method": None, "size": 4},
        {"label": "NN, bicubic rescaled, N = 4", "method": "bicubic-rescaled", "size": 4},
    ]


def test_without_a_plain_student_or_a_second_size_less_is_shown(content, stages_of):
    del content["students"]["nn"]
    video = stages_of()["video"]
    assert [agent["size"] for agent in video.inputs["agents"]] == [16, 4]
    content["sizes"] = [16]
    assert [agent["size"] for agent in stages_of()["video"].inputs["agents"]] == [16]


def test_a_method_that_looks_at_observations_is_not_in_the_video(content, stages_of):
    content["students"]["nn"]["resize"] = ["prune-l1"]
    assert len(stages_of()["video"].needed) == 2


def test_another_seed_costs_the_page_alone(content, stages_of):
    before = stages_of()
    content["seeds"] = [0, 1, 2]
    after = stages_of()
    changed = {
        name for name in ("figures", "video", "moving", PAGE) if before[name].key != after[name].key
    }
    assert changed == {PAGE}
