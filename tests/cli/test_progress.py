from __future__ import annotations

import io

import pytest
from rich.console import Console

from sb3_integral.cli.progress import ProgressDisplay
from sb3_integral.experiments.engine.executor import Failure
from sb3_integral.experiments.engine.plan import Task
from sb3_integral.experiments.engine.stage import Stage


@pytest.fixture
def tasks(tmp_path) -> list[Task]:
    return [Task(tmp_path, Stage(name, print), f"[red]: {name}") for name in "abc"]


def shown(tasks: list[Task], *, terminal: bool) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=100, color_system=None)
    with ProgressDisplay(console, tasks, {tasks[0].label: 30.0}) as display:
        reused, done, lost = tasks
        display.finished(reused, reused=True)
        for task in (done, lost):
            display.started(task)
        display.advanced(done.label, 0.5)
        display.advanced("a stage of yesterday", 0.5)
        display.finished(done, reused=False)
        display.failed(lost, Failure("its process was killed", "", lost=True), again=True)
        display.started(lost)
        display.failed(lost, Failure("ValueError: no luck", ""), again=False)
    return text.getvalue()


def test_without_a_terminal_there_is_a_line_for_each_end_and_no_bar(tasks):
    lines = [" ".join(line.split()) for line in shown(tasks, terminal=False).splitlines()]
    assert lines == [
        "done [red]: b 0 s",
        "lost [red]: c 0 s",
        "its process was killed; once more",
        "failed [red]: c 0 s",
        "1 of 3 stages were done before",
    ]


def test_a_terminal_shows_the_whole_and_how_long_it_will_still_take(tasks):
    text = shown(tasks, terminal=True)
    assert "all stages" in text
    assert "━" in text
    assert "failed  [red]: c" in text
