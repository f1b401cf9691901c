from __future__ import annotations

import pytest

from sb3_integral.experiments import Plan, Stage


@pytest.fixture
def plan(functions, tmp_path) -> Plan:
    expert = Stage("expert", functions.write, {"text": "e"})
    students = [Stage(f"seed-{i}/student", functions.write, {"text": f"{i}"}, (expert,)) for i in (0, 1)]
    sweeps = [Stage(f"seed-{i}/sweep", functions.write, {"text": "s"}, (students[i],)) for i in (0, 1)]
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
