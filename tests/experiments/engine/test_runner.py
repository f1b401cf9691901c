from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from filelock import FileLock

from sb3_integral.atomic import PARTIAL_PREFIX
from sb3_integral.experiments.engine.environment import Environment
from sb3_integral.experiments.engine.executor import Failure
from sb3_integral.experiments.engine.local import LocalExecutor
from sb3_integral.experiments.engine.plan import Plan, Task
from sb3_integral.experiments.engine.runner import ExperimentError, run_stages
from sb3_integral.experiments.engine.stage import Stage

RUN_A_STAGE_THAT_SLEEPS = """
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])

import small_stage_functions as functions

from sb3_integral.experiments.engine.local import LocalExecutor
from sb3_integral.experiments.engine.plan import Task
from sb3_integral.experiments.engine.stage import Stage

if __name__ == "__main__":
    root = Path(sys.argv[2])
    with LocalExecutor(1) as executor:
        executor.submit(Task(root, Stage("a", functions.sleep, {"pid": str(root / "pid")}), "a"))
        executor.wait(600)
"""


class Notes:
    """A watcher that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.fractions: list[tuple[str, float]] = []
        self.failures: dict[str, Failure] = {}

    def started(self, task: Task) -> None:
        self.told.append(("started", task.label))

    def advanced(self, label: str, fraction: float) -> None:
        self.fractions.append((label, fraction))

    def finished(self, task: Task, *, reused: bool) -> None:
        self.told.append(("reused" if reused else "made", task.label))

    def failed(self, task: Task, failure: Failure, *, again: bool) -> None:
        self.told.append(("lost" if again else "failed", task.label))
        self.failures[task.label] = failure

    def names(self, what: str) -> set[str]:
        return {name for told, name in self.told if told == what}


def run(stages: Iterable[Stage], root: Path, workers: int, notes: Notes) -> None:
    with LocalExecutor(workers) as executor:
        run_stages([Plan(root, tuple(stages))], executor, notes)


def wait_until(condition: Callable[[], bool], seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def stages(functions, source: Path, last_text: str = "d") -> dict[str, Stage]:
    """A chain, a stage that needs all of it, one that needs a file, and some apart from these."""
    a = Stage("a", functions.write, {"text": "a"})
    b = Stage("deep/b", functions.write, {"text": "b"}, {"a": a})
    copy = Stage("copy", functions.copy, {"path": str(source)})
    all_stages = [
        a,
        b,
        copy,
        (after := Stage("after copy", functions.write, {"text": "c"}, {"copy": copy})),
        Stage("last", functions.write, {"text": "l"}, {"after": after}),
        Stage("d", functions.write, {"text": last_text}, {"a": a, "b": b}),
        Stage("hopeless", functions.fail, {"message": f"never {last_text}", "seed": 7}),
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
    (root / "deep" / f"{PARTIAL_PREFIX}00000001-b").mkdir(parents=True)
    (root / "deep" / f"{PARTIAL_PREFIX}00000001-b" / "half").write_text("half of it")
    (root / f"{PARTIAL_PREFIX}00000002-file").write_text("half of it")
    environment = dict(os.environ)

    # given a fork server that something else has started, as SB3's SubprocVecEnv does
    if "forkserver" in multiprocessing.get_all_start_methods():
        (server := multiprocessing.get_context("forkserver").Process(target=int)).start()
        server.join()

    # when two of the stages fail
    notes = Notes()
    with pytest.raises(ExperimentError) as error:
        run(first.values(), root, 2, notes)

    # then they are named with their causes, and nothing else is
    said = str(error.value)
    assert said.count("failed: ") == 2
    assert "stage copy failed: FileNotFoundError: " in said
    assert str(source) in said
    assert f"  traceback: {root / 'failures' / 'copy.txt'}" in said
    assert "  not begun because of it: after copy, last\n" in f"{said}\n"
    assert "stage hopeless (seed 7) failed: ValueError: never d" in said
    assert notes.names("failed") == set(notes.failures) == {"copy", "hopeless"}

    # then the file has the traceback, and what the stage was made from
    kept = (root / "failures" / "hopeless.txt").read_text()
    assert kept.startswith("hopeless\n\nTraceback")
    assert "raise ValueError(message)\nValueError: never d\n" in kept
    assert '"seed": 7' in kept

    # then everything that does not need them is made, in an order in which it can be
    made = {"a", "deep/b", "d", "process"}
    assert notes.names("made") == made
    assert {name for name, stage in first.items() if stage.is_done(root)} == made
    assert not {"after copy", "last"} & notes.names("started")
    for name in made:
        for need in first[name].needed:
            assert notes.told.index(("made", need.name)) < notes.told.index(("started", name))
    assert (root / "d" / "text").read_text() == "aabd"
    assert {fraction for name, fraction in notes.fractions if name == "a"} <= {0.5, 1.0}
    assert {name for name, _ in notes.fractions} <= {"a", "deep/b", "d"}

    # then each is made by another process with one thread, and this one is as before
    process = json.loads((root / "process" / "process.json").read_text())
    assert process.pop("pid") != os.getpid()
    assert process == {"torch": 1, "omp": "1", "pools": 1}
    assert dict(os.environ) == environment

    # then nothing half-done is left, of this run or the one before
    assert not list(root.rglob(f"{PARTIAL_PREFIX}*"))
    assert sorted(path.name for path in root.iterdir() if path.is_dir()) == [
        "a",
        "d",
        "deep",
        "failures",
        "process",
    ]

    # when the cause of one failure is gone and one input is another
    before = {name: state(root / name) for name in made}
    source.write_text("now there is one; ")
    second = stages(functions, source, last_text="D")
    del second["hopeless"]
    notes = Notes()
    run(second.values(), root, 1, notes)

    # then what is missing and what changed is made, and the rest is left as it was
    assert notes.names("reused") == {"a", "deep/b", "process"}
    assert notes.names("started") == notes.names("made") == {"copy", "after copy", "last", "d"}
    assert not (root / "failures").exists()
    assert all(state(root / name) == before[name] for name in notes.names("reused"))
    assert (root / "after copy" / "text").read_text() == "now there is one; c"
    assert (root / "d" / "text").read_text() == "aabD"

    # when all is done
    notes = Notes()
    run(second.values(), root, 1, notes)

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
        run([stage], tmp_path, 1, notes)

    # then
    assert notes.told == []
    assert not stage.folder(tmp_path).exists()


def test_a_refused_run_leaves_alone_what_the_other_has_begun(functions, tmp_path):
    begun = tmp_path / f"{PARTIAL_PREFIX}00000001-a"
    begun.mkdir()
    with FileLock(tmp_path / ".lock"), pytest.raises(ExperimentError, match="another run"):
        run([Stage("a", functions.write, {"text": "a"})], tmp_path, 1, Notes())
    assert begun.is_dir()


def test_what_is_done_is_not_locked(functions, tmp_path, ignore_progress):
    # given
    stage = Stage("a", functions.write, {"text": "a"})
    stage.execute(tmp_path, ignore_progress)
    before, notes = state(tmp_path / "a"), Notes()

    # when
    with FileLock(tmp_path / ".lock"):
        run([stage], tmp_path, 1, notes)

    # then
    assert notes.told == [("reused", "a")]
    assert state(tmp_path / "a") == before


# Processes that are killed


@pytest.mark.slow
def test_a_stage_whose_process_is_killed_is_tried_once_more_and_the_others_do_not_notice(
    functions, tmp_path
):
    # given a stage that is killed the first time, one that is killed always, and some others
    killed_once = Stage("once", functions.die, {"times": 1, "counter": str(tmp_path / "once")})
    killed_always = Stage("always", functions.die, {"times": 9, "counter": str(tmp_path / "always")})
    others = [Stage(f"slow/{i}", functions.write_slowly, {"text": str(i)}) for i in range(2)]
    after = Stage(
        "after", functions.write, {"text": "!"}, {"a": killed_once, "b": others[0], "c": others[1]}
    )
    hopeless = Stage("held up", functions.write, {"text": "?"}, {"killed_always": killed_always})
    notes = Notes()

    # when
    with pytest.raises(ExperimentError) as error:
        run([*others, killed_once, killed_always, after, hopeless], tmp_path / "root", 3, notes)

    # then the one is there, the other has failed after two tries, and nothing else was touched
    assert (tmp_path / "root" / "after" / "text").read_text() == "alive01!"
    assert notes.names("lost") == {"once", "always"}
    assert notes.names("failed") == {"always"}
    assert [notes.told.count(("started", other.name)) for other in others] == [1, 1]
    assert notes.told.count(("started", "always")) == 2
    assert "stage always failed: its process was killed" in str(error.value)
    assert "not begun because of it: held up" in str(error.value)
    assert not list((tmp_path / "root").glob(f"{PARTIAL_PREFIX}*always"))


@pytest.mark.slow
def test_no_process_outlives_a_run_that_is_killed(functions, tmp_path):
    # given a run inside a stage that takes a minute
    folder = Path(functions.__file__).parent
    script = tmp_path / "script.py"
    script.write_text(RUN_A_STAGE_THAT_SLEEPS)
    process = subprocess.Popen([sys.executable, str(script), str(folder), str(tmp_path)])
    pid_file = tmp_path / "pid"
    wait_until(lambda: pid_file.is_file() and pid_file.read_text().endswith("."))
    pid = int(pid_file.read_text()[:-1])

    # when only the run itself is killed, then its worker ends too
    process.kill()
    process.wait()
    wait_until(lambda: not is_running(pid))


INTERRUPTED = """
import signal
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])

import small_stage_functions as functions

from sb3_integral.experiments.engine.local import LocalExecutor
from sb3_integral.experiments.engine.plan import Plan
from sb3_integral.experiments.engine.runner import run_stages
from sb3_integral.experiments.engine.stage import Stage

if __name__ == "__main__":
    root = Path(sys.argv[2])
    stage = Stage("a", functions.sleep, {"pid": str(root / "pid")})

    class Watcher:
        def __getattr__(self, name):
            return lambda *_, **__: None

    with LocalExecutor(1) as executor:
        try:
            run_stages([Plan(root, (stage,))], executor, Watcher())
        except KeyboardInterrupt:
            left = [path.name for path in root.iterdir() if path.is_dir()]
            sys.exit(f"interrupted, with {left}")
"""


@pytest.mark.slow
def test_an_interrupted_run_ends_its_processes_and_leaves_nothing_half_done(functions, tmp_path):
    # given a run inside a stage that takes a minute
    (tmp_path / "script.py").write_text(INTERRUPTED)
    folder = Path(functions.__file__).parent
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), str(folder), str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        # Shells start what is in the background with this signal ignored, the tests too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    pid_file = tmp_path / "pid"
    wait_until(lambda: pid_file.is_file() and pid_file.read_text().endswith("."))
    pid = int(pid_file.read_text()[:-1])

    # when only the main process is interrupted
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)

    # then it ends, and so did its worker
    assert "interrupted, with []" in errors
    wait_until(lambda: not is_running(pid))


@pytest.mark.slow
def test_a_stage_uses_an_environment_of_a_local_module_in_a_process_of_its_own(functions, tmp_path):
    environment = Environment.from_name("small_environment:Small-v0", max_episode_steps=7)
    stage = Stage("a", functions.play, environment=environment)
    run([stage], tmp_path, 1, Notes())
    assert (tmp_path / "a" / "text").read_text() == "7 steps in Small-v0"
    record = stage.record(tmp_path)
    assert record["environment"]["packages"] == ["small_environment"]
    assert set(record["versions"]) == {"gymnasium", "code of small_environment"} | {"numpy"}


# Folders that no stage made


def test_a_folder_that_no_stage_made_is_refused_before_any_work(functions, tmp_path):
    # given somebody's own folder in the place of the second stage's
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").write_text("years of work")
    a = Stage("a", functions.write, {"text": "a"})
    b = Stage("b", functions.write, {"text": "b"}, {"a": a})

    # when
    with pytest.raises(ExperimentError, match=r"stage b cannot be written: .*b is not empty"):
        run([a, b], tmp_path, 1, Notes())

    # then nothing was made, and nothing is lost
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b" / "thesis.tex").read_text() == "years of work"


def test_files_of_a_user_among_what_a_run_cleans_up_stay(functions, tmp_path):
    own = [tmp_path / "failures" / "notes.txt", tmp_path / ".partial-thoughts", tmp_path / "a.txt"]
    own[0].parent.mkdir()
    for path in own:
        path.write_text("mine")
    run([Stage("a", functions.write, {"text": "a"})], tmp_path, 1, Notes())
    assert [path.read_text() for path in own] == ["mine"] * 3


# Several experiments


def test_experiments_are_run_together_and_what_is_the_same_is_made_once(functions, tmp_path):
    # given two experiments that have a stage in common
    def plan(name: str) -> Plan:
        expert = Stage("expert", functions.write, {"text": "e"})
        own = Stage("own", functions.write, {"text": name}, {"expert": expert})
        return Plan(tmp_path / name, (expert, own), (tmp_path / "one", tmp_path / "two"))

    # when
    notes = Notes()
    with LocalExecutor(2) as executor:
        run_stages([plan("one"), plan("two")], executor, notes)

    # then each is whole, the common one was made once, and it is the same file
    assert [(tmp_path / name / "own" / "text").read_text() for name in ("one", "two")] == [
        "eone",
        "etwo",
    ]
    assert notes.names("made") == {"one: expert", "one: own", "two: own"}
    assert notes.names("reused") == {"two: expert"}
    texts = [tmp_path / name / "expert" / "text" for name in ("one", "two")]
    assert texts[0].read_text() == texts[1].read_text()


def test_one_experiments_failure_is_not_the_others(functions, tmp_path):
    good = Plan(tmp_path / "good", (Stage("a", functions.write, {"text": "a"}),))
    bad = Plan(tmp_path / "bad", (Stage("a", functions.fail, {"message": "no luck", "seed": 3}),))
    with LocalExecutor(1) as executor, pytest.raises(ExperimentError) as error:
        run_stages([bad, good], executor, Notes())
    assert "stage bad: a (seed 3) failed: ValueError: no luck" in str(error.value)
    assert "good" not in str(error.value)
    assert (tmp_path / "good" / "a" / "text").read_text() == "a"
