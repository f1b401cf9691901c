from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from sb3_integral.experiments.config.load import load_config
from sb3_integral.experiments.engine.forecast import Forecast, forecast, past_stages, wall_seconds
from sb3_integral.experiments.engine.plan import Plan
from sb3_integral.experiments.stages.experiment import build_stages


def pretend_done(plan: Plan, seconds_of: Mapping[str, float]) -> None:
    """Leave records of stages as if they had been made, in so many seconds."""
    for stage in plan.stages:
        seconds = seconds_of.get(stage.name.split("/")[-1])
        if seconds is None:
            continue
        folder = stage.folder(plan.root)
        folder.mkdir(parents=True)
        assert stage.environment is not None
        record = {
            "key": stage.key,
            "function": stage.function,
            "environment": {"id": stage.environment.id},
            "seconds": seconds,
            "amount": stage.amount,
        }
        (folder / "stage.json").write_text(json.dumps(record), encoding="utf-8")


@pytest.fixture
def plans(content, write_config, tmp_path) -> dict[str, Plan]:
    """The same experiment at two scales."""
    del content["students"]["nn"]
    content["seeds"] = [0]
    content["expert"]["n_timesteps"] = 1024
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


SMALL = {"expert": 1.0, "references": 1.0, "demonstrations": 2.0, "student": 3.0, "sweep": 4.0}


def test_the_work_of_finished_stages_is_scaled_to_what_is_to_be_made(plans):
    # given a small experiment that is done
    pretend_done(plans["standard"], SMALL)

    # when
    expected = forecast(plans["large"], past_stages([plans["standard"].root]))

    # then each takes as many times longer as there is more to do
    seconds = expected.seconds
    assert seconds["expert"] == pytest.approx(1.0 * 10)
    assert seconds["seed-1/demonstrations"] == pytest.approx(2.0 * 200 / 20)
    assert seconds["seed-2/inn/student"] == pytest.approx(3.0 * 10 * 30)
    assert seconds["seed-0/inn/sweep"] == pytest.approx(4.0 * (4 * 8) / (2 * 4))
    assert "report" in expected.unknown
    assert sum(seconds.values()) == pytest.approx(expected.total)
    chain = ("expert", "seed-0/demonstrations", "seed-0/inn/student", "seed-0/inn/sweep")
    assert expected.chain == pytest.approx(sum(seconds[name] for name in chain))


def test_a_selection_of_stages_is_forecast_as_well(plans):
    pretend_done(plans["standard"], SMALL)
    selected = plans["large"].selected(["seed-2/inn/*"])
    expected = forecast(selected, past_stages([plans["standard"].root]))
    assert set(expected.seconds) == {stage.name for stage in selected.stages}
    assert expected.unknown == ()


def test_what_is_done_is_not_counted(plans):
    pretend_done(plans["standard"], {"expert": 1.0})
    expected = forecast(plans["standard"], past_stages([plans["standard"].root]))
    assert "expert" not in {*expected.seconds, *expected.unknown}


def test_a_student_never_trained_before_is_forecast_from_other_students(plans, tmp_path):
    pretend_done(plans["standard"], {"student": 3.0})
    (tmp_path / "standard/seed-0/inn").rename(tmp_path / "standard/seed-0/other")
    expected = forecast(plans["large"], past_stages([plans["standard"].root]))
    assert expected.seconds["seed-0/inn/student"] == pytest.approx(3.0 * 10 * 30)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"function": 3}', "[" * 100_000])
def test_records_that_say_nothing_are_left_out(plans, tmp_path: Path, text):
    (tmp_path / "standard/expert").mkdir(parents=True)
    (tmp_path / "standard/expert/stage.json").write_text(text, encoding="utf-8")
    expected = forecast(plans["large"], past_stages([plans["standard"].root]))
    assert expected.seconds == {}


@pytest.mark.parametrize(
    ("chain", "workers", "expected"), [(10.0, 2, 50.0), (80.0, 2, 80.0), (10.0, 1, 100.0)]
)
def test_workers_share_the_work_but_not_the_longest_chain(chain, workers, expected):
    one = Forecast({"a": 60.0, "b": 40.0}, chain, ())
    assert wall_seconds([one], workers) == expected
    assert wall_seconds([one, one], workers) == max(chain, 200.0 / workers)
    assert wall_seconds([], workers) == 0.0
