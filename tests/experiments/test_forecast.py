from __future__ import annotations

import json

import pandas as pd
import pytest

from sb3_integral.experiments import Plan, build_stages, load_config, wall_seconds
from sb3_integral.experiments.forecast import Forecast, Measurements, forecast, pace_of
from sb3_integral.experiments.miniature import miniature

SET_UP = 2.0
LENGTH = 50


def pretend_done(plan: Plan, seconds_of: dict[str, float]) -> None:
    """Leave records of stages as if they had been made, in so many seconds beside setting up."""
    for stage in plan.stages:
        seconds = seconds_of.get(stage.name.split("/")[-1])
        if seconds is None:
            continue
        folder = stage.folder(plan.root)
        folder.mkdir(parents=True)
        record = {"key": stage.key, "seconds": SET_UP + seconds, "paced_seconds": seconds}
        (folder / "stage.json").write_text(json.dumps(record))
        if stage.name.endswith("sweep"):
            sizes = [size for size in stage.inputs["sizes"] for _ in range(2)]
            lengths = [LENGTH if size == sizes[0] else LENGTH / 2 for size in sizes]
            pd.DataFrame({"size": sizes, "length": lengths}).to_csv(folder / "episodes.csv", index=False)


@pytest.fixture
def plans(content, write_config, tmp_path):
    """The same experiment at two scales."""
    del content["students"]["nn"]
    content["seeds"] = [0]
    content["presets"] = {
        "large": {
            "seeds": [0, 1, 2],
            "sizes": [16, 8, 4, 2],
            "expert": {"n_timesteps": 10_240},
            "demonstrations": {"episodes": 200},
            "cloning": {"epochs": 30},
            "evaluation": {"episodes": 8},
        }
    }
    path = write_config(content)
    return {
        name: Plan(tmp_path / name, tuple(build_stages(load_config(path, name))))
        for name in ("standard", "large")
    }


def test_the_work_of_finished_stages_is_scaled_to_what_is_to_be_made(plans):
    # given a small experiment that is done
    small = {"expert": 1.0, "references": 1.0, "demonstrations": 2.0, "student": 3.0, "sweep": 4.0}
    pretend_done(plans["standard"], {**small, "report": 5.0})

    # when
    expected = forecast(
        plans["large"], "CartPole-v1", [Measurements.of(plans["standard"])], Measurements()
    )

    # then each kind is as many times longer as there is more to do, but not its setting up
    seconds = expected.seconds
    assert seconds["expert"] == pytest.approx(SET_UP + 1.0 * 10_240 / 1024)
    assert seconds["seed-1/demonstrations"] == pytest.approx(SET_UP + 2.0 * 200 / 20)
    assert seconds["seed-2/inn/student"] == pytest.approx(SET_UP + 3.0 * 10 * 30)
    assert seconds["seed-0/inn/sweep"] == pytest.approx(SET_UP + 4.0 * (4 * 8) / (2 * 4))
    assert seconds["report"] == pytest.approx(SET_UP + 5.0)
    assert not expected.unknown
    assert not expected.at_most
    assert expected.groups["students"] == pytest.approx(3 * seconds["seed-0/inn/student"])
    assert sum(expected.groups.values()) == pytest.approx(expected.total)


def test_what_is_done_is_not_counted(plans):
    pretend_done(plans["standard"], {"expert": 1.0})
    source = Measurements.of(plans["standard"])
    assert "expert" not in forecast(plans["standard"], "CartPole-v1", [source], source).seconds


def test_a_miniature_tells_the_pace_but_not_how_long_episodes_are(plans):
    # given a miniature, whose episodes are short
    pretend_done(plans["standard"], {"demonstrations": 2.0, "sweep": 4.0})
    source = Measurements.of(plans["standard"])
    # when
    expected = forecast(plans["large"], "CartPole-v1", [], source)
    # then episodes are taken to be as long as they can be, and it is said which stages are unknown
    assert expected.at_most
    assert expected.seconds["seed-0/demonstrations"] == pytest.approx(
        SET_UP + 2.0 * (200 * 500) / (20 * LENGTH)
    )
    assert set(expected.unknown) >= {"expert", "seed-0/inn/student"}


def test_a_miniature_has_the_paces_of_the_experiment(content, write_config):
    config = load_config(write_config(content), "paper")
    real = {pace_of(stage): stage.name for stage in build_stages(config)}
    small = build_stages(miniature(config))
    assert {pace_of(stage) for stage in small} == set(real)
    assert len(small) < len(build_stages(config))
    by_name = {stage.name: stage for stage in small}
    assert by_name["expert"].inputs["n_timesteps"] == 2 * 256
    assert by_name["seed-0/inn/student"].inputs["cloning"]["epochs"] == 1


@pytest.mark.parametrize(
    ("chain", "workers", "expected"), [(10.0, 2, 50.0), (80.0, 2, 80.0), (10.0, 1, 100.0)]
)
def test_workers_share_the_work_but_not_the_longest_chain(chain, workers, expected):
    one = Forecast({"a": 60.0, "b": 40.0}, {"expert": 100.0}, chain, (), False)
    assert wall_seconds([one], workers) == expected
    assert wall_seconds([one, one], workers) == max(chain, 200.0 / workers)
    assert wall_seconds([], workers) == 0.0
