from __future__ import annotations

from dataclasses import replace

import pytest

from sb3_integral.experiments.engine.cache import reuse
from sb3_integral.experiments.engine.stage import Stage


@pytest.fixture
def stage(functions) -> Stage:
    return Stage("deep/a", functions.write, {"text": "a"})


@pytest.fixture
def here(tmp_path):
    return tmp_path / "here"


@pytest.fixture
def there(stage, tmp_path, ignore_progress):
    """A neighbour where the stage is done."""
    stage.execute(tmp_path / "there", ignore_progress)
    return tmp_path / "there"


def test_the_same_stage_is_copied_from_a_neighbour(stage, here, there):
    assert reuse(stage, here, [here, there.parent / "nowhere", there])
    assert stage.is_done(here)
    assert (here / "deep/a/text").read_text() == "a"


def test_what_is_changed_here_is_not_changed_at_the_neighbour(stage, here, there):
    # given
    reuse(stage, here, [there])

    # when a file is written in place
    with (here / "deep/a/text").open("r+") as file:
        file.write("b")

    # then
    assert (there / "deep/a/text").read_text() == "a"


def test_what_somebody_added_at_the_neighbour_stays_there_alone(stage, here, there):
    (there / "deep/a/notes.txt").write_text("mine")
    assert reuse(stage, here, [there])
    assert sorted(path.name for path in (here / "deep/a").iterdir()) == ["stage.json", "text"]


@pytest.mark.parametrize("changed", ["b", None])
def test_what_somebody_changed_at_the_neighbour_is_not_taken(stage, here, there, changed):
    # given
    text = there / "deep/a/text"
    text.unlink() if changed is None else text.write_text(changed)

    # when, then
    assert not reuse(stage, here, [there])
    assert not stage.folder(here).exists()


def test_making_it_again_here_leaves_the_neighbours_alone(stage, here, there, ignore_progress):
    reuse(stage, here, [there])
    replace(stage, inputs={"text": "other"}).execute(here, ignore_progress)
    assert (there / "deep/a/text").read_text() == "a"
    assert stage.is_done(there)


def test_another_stage_of_the_name_is_not_taken(stage, here, there):
    other = replace(stage, inputs={"text": "other"})
    assert not reuse(other, here, [there])
    assert not (here / "deep").exists()
