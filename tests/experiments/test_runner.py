from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from filelock import FileLock

from sb3_integral.atomic import PARTIAL_PREFIX
from sb3_integral.experiments import ExperimentError, Stage, run_stages


class Notes:
    """A watcher that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.fractions: list[tuple[str, float]] = []
        self.errors: dict[str, BaseException] = {}

    def started(self, stage: Stage) -> None:
        self.told.append(("started", stage.name))

    def advanced(self, name: str, fraction: float) -> None:
        self.fractions.append((name, fraction))

    def finished(self, stage: Stage, *, reused: bool) -> None:
        self.told.append(("reused" if reused else "made", stage.name))

    def failed(self, stage: Stage, error: BaseException) -> None:
        self.told.append(("failed", stage.name))
        self.errors[stage.name] = error

    def names(self, what: str) -> set[str]:
        return {name for told, name in self.told if told == what}


def stages(functions, source: Path, last_text: str = "d") -> dict[str, Stage]:
    """A chain, a stage that needs all of it, one that needs a file, and some apart from these."""
    a = Stage("a", functions.write, {"text": "a"})
    b = Stage("deep/b", functions.write, {"text": "b"}, (a,))
    copy = Stage("copy", functions.copy, {"path": str(source)})
    all_stages = [
        a,
        b,
        copy,
        Stage("after copy", functions.write, {"text": "c"}, (copy,)),
        Stage("d", functions.write, {"text": last_text}, (a, b)),
        Stage("hopeless", functions.fail, {"message": f"never {last_text}"}),
        Stage("process", functions.describe_process),
    ]
    return {stage.name: stage for stage in all_stages}


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """What a folder holds, and when it was written."""
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


@pytest.mark.slow
def test_a_run_makes_what_can_be_made_and_the_next_one_only_what_is_missing(functions, tmp_path):
    root, source = tmp_path / "experiment", tmp_path / "source"
    first = stages(functions, source)

    # given a folder in which a killed run left what it had begun
    (root / "deep" / f"{PARTIAL_PREFIX}1-b").mkdir(parents=True)
    (root / "deep" / f"{PARTIAL_PREFIX}1-b" / "half").write_text("half of it")
    (root / f"{PARTIAL_PREFIX}2-file").write_text("half of it")
    environment = dict(os.environ)

    # when two of the stages fail
    notes = Notes()
    with pytest.raises(ExperimentError) as error:
        run_stages(first.values(), root, 2, notes)

    # then they are named with their causes, and nothing else is
    causes = sorted(str(error.value).splitlines())
    assert len(causes) == 2
    assert causes[0].startswith("stage copy failed: FileNotFoundError: ")
    assert str(source) in causes[0]
    assert causes[1] == "stage hopeless failed: ValueError: never d"
    assert notes.names("failed") == set(notes.errors) == {"copy", "hopeless"}

    # then everything that does not need them is made, in an order in which it can be
    made = {"a", "deep/b", "d", "process"}
    assert notes.names("made") == made
    assert {name for name, stage in first.items() if stage.is_done(root)} == made
    assert "after copy" not in notes.names("started")
    for name in made:
        for need in first[name].needs:
            assert notes.told.index(("made", need.name)) < notes.told.index(("started", name))
    assert (root / "d" / "text").read_text() == "aabd"
    assert {fraction for name, fraction in notes.fractions if name == "a"} <= {0.5, 1.0}
    assert {name for name, _ in notes.fractions} <= {"a", "deep/b", "d"}

    # then each is made by another process with one thread, and this one is as before
    process = json.loads((root / "process" / "process.json").read_text())
    assert process.pop("pid") != os.getpid()
    assert process == {"torch": 1, "omp": "1"}
    assert dict(os.environ) == environment

    # then nothing half-done is left, of this run or the one before
    assert not list(root.rglob(f"{PARTIAL_PREFIX}*"))
    assert sorted(path.name for path in root.iterdir() if path.is_dir()) == ["a", "d", "deep", "process"]

    # when the cause of one failure is gone and one input is another
    before = {name: state(root / name) for name in made}
    source.write_text("now there is one; ")
    second = stages(functions, source, last_text="D")
    del second["hopeless"]
    notes = Notes()
    run_stages(second.values(), root, 1, notes)

    # then what is missing and what changed is made, and the rest is left as it was
    assert notes.names("reused") == {"a", "deep/b", "process"}
    assert notes.names("started") == notes.names("made") == {"copy", "after copy", "d"}
    assert all(state(root / name) == before[name] for name in notes.names("reused"))
    assert (root / "after copy" / "text").read_text() == "now there is one; c"
    assert (root / "d" / "text").read_text() == "aabD"

    # when all is done
    notes = Notes()
    run_stages(second.values(), root, 1, notes)

    # then all is reused
    assert notes.told == [("reused", name) for name in second]


def test_a_second_run_at_the_same_time_is_refused(functions, tmp_path):
    # given
    stage = Stage("a", functions.write, {"text": "a"})
    notes = Notes()

    # when
    with (
        FileLock(tmp_path / ".lock"),
        pytest.raises(ExperimentError, match=f"another run is at work in {tmp_path}; wait"),
    ):
        run_stages([stage], tmp_path, 1, notes)

    # then
    assert notes.told == []
    assert not stage.folder(tmp_path).exists()


def test_a_refused_run_leaves_alone_what_the_other_has_begun(functions, tmp_path):
    begun = tmp_path / f"{PARTIAL_PREFIX}1-a"
    begun.mkdir()
    with FileLock(tmp_path / ".lock"), pytest.raises(ExperimentError, match="another run"):
        run_stages([Stage("a", functions.write, {"text": "a"})], tmp_path, 1, Notes())
    assert begun.is_dir()


def test_what_is_done_is_not_locked(functions, tmp_path, ignore_progress):
    # given
    stage = Stage("a", functions.write, {"text": "a"})
    stage.execute(tmp_path, ignore_progress)
    before, notes = state(tmp_path / "a"), Notes()

    # when
    with FileLock(tmp_path / ".lock"):
        run_stages([stage], tmp_path, 1, notes)

    # then
    assert notes.told == [("reused", "a")]
    assert state(tmp_path / "a") == before
