from __future__ import annotations

import json
import pickle
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sb3_integral import __version__
from sb3_integral.experiments.engine.stage import Stage

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda values: (
        st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3)
    ),
    max_leaves=6,
)
inputs = st.dictionaries(st.text(max_size=5), json_values, max_size=4)


@pytest.fixture
def chain(functions) -> Stage:
    """The last of three stages, each of which needs the one before."""
    first = Stage("first", functions.write, {"text": "1"})
    second = Stage("deep/second", functions.write, {"text": "2"}, {"first": first})
    return Stage("third", functions.write, {"text": "3"}, {"first": first, "second": second})


@contextmanager
def executed(stage: Stage, ignore_progress):
    """A folder in which the stage and what it needs are done."""
    with TemporaryDirectory() as name:
        for each in (*stage.needed, stage):
            each.execute(Path(name), ignore_progress)
        yield Path(name)


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# The key


@given(one=inputs, other=inputs)
def test_the_key_is_the_same_exactly_for_the_same_inputs(functions, one, other):
    def key(values):
        return Stage("a", functions.write, values).key

    assert key(one) == key(json.loads(json.dumps(one)))
    assert key(one) == key(dict(reversed(one.items())))
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (key(one) == key(other)) is same


@given(one=json_values, other=json_values)
def test_the_key_changes_with_an_input(functions, one, other):
    assume(json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True))
    stage = Stage("a", functions.write, {"text": one, "seed": 0})
    assert stage.key != replace(stage, inputs={"text": other, "seed": 0}).key


def test_the_key_changes_with_all_that_the_result_depends_on(functions, chain):
    first, second = chain.needed
    other_first = replace(first, inputs={"text": "other"})
    keys = [
        chain.key,
        replace(chain, name="fourth").key,
        replace(chain, run=functions.fail).key,
        replace(chain, inputs={"text": "other"}).key,
        replace(chain, needs={}).key,
        replace(chain, needs={"first": first}).key,
        replace(chain, needs={"first": second, "second": first}).key,
        # What is needed by what it needs counts too.
        replace(
            chain, needs={"first": first, "second": replace(second, needs={"first": other_first})}
        ).key,
    ]
    assert len(set(keys)) == len(keys)


# Execution


def test_a_stage_fills_its_folder_from_its_inputs_and_the_folders_it_needs(chain, ignore_progress):
    with executed(chain, ignore_progress) as root:
        texts = {
            stage.name: (stage.folder(root) / "text").read_text() for stage in (*chain.needed, chain)
        }
        assert texts == {"first": "1", "deep/second": "12", "third": "1123"}
        assert all(stage.is_done(root) for stage in (*chain.needed, chain))


def test_the_record_says_what_made_the_folder(chain, ignore_progress):
    with executed(chain, ignore_progress) as root:
        record = json.loads((root / "third" / "stage.json").read_text())
    assert record.pop("seconds") >= 0
    assert list(record.pop("sha256")) == ["text"]
    assert record == {
        "key": chain.key,
        "function": "small_stage_functions.write",
        "inputs": {"text": "3"},
        "environment": None,
        "version": __version__,
        "versions": {},
        "amount": 1.0,
    }


def test_progress_is_told(functions, tmp_path):
    told: list[float] = []
    Stage("a", functions.write, {"text": "1"}).execute(tmp_path, told.append)
    assert told == [0.5, 1.0]


@pytest.mark.parametrize(
    ("function", "given_inputs", "error"),
    [
        ("fail", {"message": "no luck"}, ValueError),
        ("interrupt", {}, KeyboardInterrupt),
        ("write", {"unknown": 1}, TypeError),
    ],
)
def test_a_stage_that_fails_leaves_nothing(
    functions, tmp_path, ignore_progress, function, given_inputs, error
):
    stage = Stage("deep/a", getattr(functions, function), given_inputs)
    with pytest.raises(error):
        stage.execute(tmp_path, ignore_progress)
    assert not stage.is_done(tmp_path)
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_stage_that_fails_keeps_what_was_there_before(functions, tmp_path, ignore_progress):
    # given
    before = Stage("a", functions.write, {"text": "1"})
    before.execute(tmp_path, ignore_progress)
    content = files(tmp_path)

    # when
    with pytest.raises(ValueError, match="no luck"):
        Stage("a", functions.fail, {"message": "no luck"}).execute(tmp_path, ignore_progress)

    # then
    assert files(tmp_path) == content
    assert before.is_done(tmp_path)


def test_making_a_stage_again_leaves_nothing_of_the_one_before(functions, tmp_path, ignore_progress):
    # given
    Stage("a", functions.write_named, {"name": "deep/1"}).execute(tmp_path, ignore_progress)

    # when
    changed = Stage("a", functions.write_named, {"name": "deep/2"})
    changed.execute(tmp_path, ignore_progress)

    # then
    assert sorted(files(tmp_path)) == ["a/deep/2", "a/stage.json"]


@pytest.mark.parametrize("name", ["text", "notes.txt", "deep/notes.txt"])
def test_a_file_that_somebody_put_there_or_changed_keeps_the_folder_as_it_is(
    functions, tmp_path, ignore_progress, name
):
    # given
    Stage("a", functions.write, {"text": "1"}).execute(tmp_path, ignore_progress)
    (tmp_path / "a" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "a" / name).write_text("years of work")
    content = files(tmp_path)

    # when, then
    with pytest.raises(FileExistsError, match=f"was not written with it, or was changed.*: '{name}'"):
        Stage("a", functions.sleep, {"pid": str(tmp_path / "pid")}).execute(tmp_path, ignore_progress)
    assert files(tmp_path) == content


# Versions


def test_the_key_changes_with_a_version_and_the_record_has_it(functions, tmp_path, ignore_progress):
    plain = Stage("a", functions.write, {"text": "1"})
    versioned = replace(plain, packages=("numpy",))
    assert versioned.versions == {"numpy": metadata.version("numpy")}
    assert versioned.key != plain.key
    versioned.execute(tmp_path, ignore_progress)
    assert versioned.record(tmp_path)["versions"] == versioned.versions


def test_a_stage_that_was_planned_with_other_versions_is_not_made(functions, tmp_path, ignore_progress):
    # given a stage from a process that had another NumPy
    stage = Stage("a", functions.write, {"text": "1"}, packages=("numpy",))
    vars(stage)["versions"] = {"numpy": "0.1"}

    # when, then
    with pytest.raises(RuntimeError, match=r"other versions than are here: numpy is .*, was 0\.1"):
        stage.execute(tmp_path, ignore_progress)
    assert not (tmp_path / "a").exists()


def test_a_pickled_stage_keeps_the_versions_that_it_was_planned_with(functions):
    stage = Stage("a", functions.write, {"text": "1"}, packages=("numpy",))
    vars(stage)["versions"] = {"numpy": "0.1"}
    assert pickle.loads(pickle.dumps(stage)).key == stage.key


# Where folders go


def test_a_folder_that_is_a_link_is_written_through(functions, tmp_path, ignore_progress):
    # given a stage's folder on another disk
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "a").symlink_to(tmp_path / "disk")

    # when it is made, twice
    for text in "12":
        stage = Stage("a", functions.write, {"text": text})
        stage.execute(tmp_path / "run", ignore_progress)

    # then it is there
    assert (tmp_path / "run" / "a").is_symlink()
    assert (tmp_path / "disk" / "text").read_text() == "2"
    assert stage.is_done(tmp_path / "run")


def test_a_folder_that_no_stage_made_is_refused_before_the_work(functions, tmp_path, ignore_progress):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.tex").write_text("years of work")
    stage = Stage("a", functions.sleep, {"pid": str(tmp_path / "pid")})
    with pytest.raises(FileExistsError, match=r"a is not empty and has no stage\.json"):
        stage.execute(tmp_path, ignore_progress)
    assert not (tmp_path / "pid").exists()
    assert (tmp_path / "a" / "thesis.tex").read_text() == "years of work"


# Being done


def test_a_stage_is_not_done_before_it_is_made(chain, tmp_path):
    assert not chain.is_done(tmp_path)
    (tmp_path / "third").mkdir()
    assert not chain.is_done(tmp_path)


def test_a_stage_is_not_done_by_what_was_made_from_something_else(chain, ignore_progress):
    first, second = chain.needed
    other_first = replace(first, inputs={"text": "other"})
    with executed(chain, ignore_progress) as root:
        assert chain.is_done(root)
        assert not replace(chain, inputs={"text": "other"}).is_done(root)
        assert not replace(chain, needs={"first": other_first, "second": second}).is_done(root)


@pytest.mark.parametrize("record", ["", "{", "[]", "null", "3", '"key"', "{}", '{"key": null}'])
def test_a_record_that_says_nothing_does_not_count(chain, ignore_progress, record):
    with executed(chain, ignore_progress) as root:
        (root / "third" / "stage.json").write_text(record)
        assert not chain.is_done(root)


@given(damage=st.binary(max_size=100), kept=st.floats(0.0, 0.95))
def test_a_damaged_record_does_not_count(functions, ignore_progress, damage, kept):
    stage = Stage("a", functions.write, {"text": "1"})
    with executed(stage, ignore_progress) as root:
        record = root / "a" / "stage.json"
        content = record.read_bytes()
        for wrong in (damage, content[: int(kept * len(content))]):
            record.write_bytes(wrong)
            assert not stage.is_done(root)
        record.write_bytes(content)
        assert stage.is_done(root)
