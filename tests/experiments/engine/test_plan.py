from __future__ import annotations

import json
from dataclasses import replace
from importlib import metadata

import pytest

from sb3_integral.experiments.engine.cache import reuse
from sb3_integral.experiments.engine.plan import Plan
from sb3_integral.experiments.engine.stage import Stage


@pytest.fixture
def plan(functions, tmp_path) -> Plan:
    expert = Stage("expert", functions.write, {"text": "e"})
    students = [
        Stage(f"seed-{i}/student", functions.write, {"text": f"{i}"}, {"expert": expert}) for i in (0, 1)
    ]
    sweeps = [
        Stage(f"seed-{i}/sweep", functions.write, {"text": "s"}, {"student": students[i]})
        for i in (0, 1)
    ]
    return Plan(tmp_path / "root", (expert, *students, *sweeps), (tmp_path / "other",))


def names(stages) -> list[str]:
    return [stage.name for stage in stages]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["seed-1/*"], ["expert", "seed-1/student", "seed-1/sweep"]),
        (["*/student"], ["expert", "seed-0/student", "seed-1/student"]),
        (["expert"], ["expert"]),
        (["expert", "seed-0/sweep"], ["expert", "seed-0/student", "seed-0/sweep"]),
    ],
)
def test_stages_are_selected_by_name_with_all_that_they_need(plan, patterns, expected):
    assert names(plan.selected(patterns).stages) == expected


def test_a_pattern_that_matches_nothing_is_an_error_that_lists_the_names(plan):
    with pytest.raises(ValueError, match=r"no stage matches 'seed-9/\*'; there are expert, seed-0/"):
        plan.selected(["expert", "seed-9/*"])


def test_what_is_done_here_or_at_a_neighbours_is_not_pending(plan, tmp_path, ignore_progress):
    expert, student, *_ = plan.stages
    expert.execute(tmp_path / "other", ignore_progress)
    expert.execute(tmp_path / "root", ignore_progress)
    student.execute(tmp_path / "root", ignore_progress)
    assert names(plan.pending()) == ["seed-1/student", "seed-0/sweep", "seed-1/sweep"]
    assert len(Plan(tmp_path / "third", plan.stages).pending()) == 5


# What is made anew, and why


def test_nothing_is_said_of_a_first_run_or_a_finished_one(plan, ignore_progress):
    assert plan.changes() is None
    for stage in plan.stages:
        stage.execute(plan.root, ignore_progress)
    assert plan.changes() is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"inputs": {"text": "other"}}, "the configuration changed: text (1)"),
        ({"packages": ("numpy",)}, f"numpy is {metadata.version('numpy')}, was not installed (1)"),
    ],
)
def test_what_is_made_anew_is_said_with_its_reason(plan, ignore_progress, change, said):
    # given a finished run
    for stage in plan.stages:
        stage.execute(plan.root, ignore_progress)
    expert, *rest = plan.stages

    # when its first stage is another now
    changed = replace(expert, **change)
    students = [replace(stage, needs={"expert": changed}) for stage in rest[:2]]
    sweeps = [
        replace(sweep, needs={"student": student})
        for sweep, student in zip(rest[2:], students, strict=True)
    ]
    new = replace(plan, stages=(changed, *students, *sweeps))

    # then
    expected = f"5 finished stages are made anew: {said}; what they need is made anew (4)"
    assert new.changes() == expected


def test_a_record_of_before_versions_were_recorded_is_a_reason(plan, ignore_progress):
    stage = plan.stages[0]
    stage.execute(plan.root, ignore_progress)
    record = stage.folder(plan.root) / "stage.json"
    record.write_text(json.dumps({"key": "old", "inputs": {"text": "e"}}))
    assert plan.changes() == (
        "1 finished stage is made anew: the versions behind it were not recorded (1)"
    )


def test_what_is_forgotten_is_made_again_here_alone(plan, tmp_path, ignore_progress):
    # given a stage that two experiments share
    expert = plan.stages[0]
    expert.execute(tmp_path / "other", ignore_progress)
    assert reuse(expert, plan.root, [tmp_path / "other"])

    # when
    plan.forget()

    # then its folder is still there, and may be replaced
    assert not expert.is_done(plan.root)
    assert (expert.folder(plan.root) / "text").read_text() == "e"
    assert expert.is_done(tmp_path / "other")
    expert.execute(plan.root, ignore_progress)
    assert expert.is_done(plan.root)
