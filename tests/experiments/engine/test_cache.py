from __future__ import annotations

import os
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


def test_the_same_stage_is_taken_from_a_neighbour_without_another_copy(stage, here, there):
    assert reuse(stage, here, [here, there.parent / "nowhere", there])
    assert stage.is_done(here)
    assert (here / "deep/a/text").samefile(there / "deep/a/text")


def test_where_files_cannot_be_linked_they_are_copied(stage, here, there, monkeypatch):
    def refuse(*_):
        raise OSError("another file system")

    monkeypatch.setattr(os, "link", refuse)
    assert reuse(stage, here, [there])
    assert (here / "deep/a/text").read_text() == "a"
    assert not (here / "deep/a/text").samefile(there / "deep/a/text")


def test_making_it_again_here_leaves_the_neighbours_alone(stage, here, there, ignore_progress):
    reuse(stage, here, [there])
    replace(stage, inputs={"text": "other"}).execute(here, ignore_progress)
    assert (there / "deep/a/text").read_text() == "a"
    assert stage.is_done(there)


def test_another_stage_of_the_name_is_not_taken(stage, here, there):
    other = replace(stage, inputs={"text": "other"})
    assert not reuse(other, here, [there])
    assert not (here / "deep").exists()
