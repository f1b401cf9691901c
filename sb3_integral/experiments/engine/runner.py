"""Running stages: each as soon as what it needs is there, in parallel, resumably."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from graphlib import TopologicalSorter
from typing import Protocol

from filelock import FileLock, Timeout

from sb3_integral.atomic import remove_leftovers, remove_partials_of
from sb3_integral.experiments.engine.cache import reuse
from sb3_integral.experiments.engine.executor import Executor, Failure
from sb3_integral.experiments.engine.failures import FailedTask, forget_failures, write_failure
from sb3_integral.experiments.engine.plan import Plan, Task
from sb3_integral.experiments.engine.stage import RECORD

POLL_SECONDS = 0.2  # how long the runner waits before it looks for progress


class Watcher(Protocol):
    """Receives the progress of tasks."""

    def started(self, task: Task) -> None:
        """A stage is being made."""

    def advanced(self, label: str, fraction: float) -> None:
        """A fraction of a stage is done."""

    def finished(self, task: Task, *, reused: bool) -> None:
        """A stage is there, made now or before."""

    def failed(self, task: Task, failure: Failure, *, again: bool) -> None:
        """A stage could not be made; ``again`` if it is tried once more."""


class ExperimentError(RuntimeError):
    """Stages that failed, each with its cause; all that did not need them was still done."""


def run_stages(plans: Sequence[Plan], executor: Executor, watcher: Watcher) -> None:
    """Make every stage of some experiments that is not there yet, inside the executor's ``with`` block.

    Raises:
        ExperimentError: If a folder cannot be written, or is not a stage's; if another run is at work in
            one of the folders; or if stages failed.
    """
    pending: list[Task] = []
    for task in tasks_of(plans):
        if task.stage.is_done(task.root):
            watcher.finished(task, reused=True)
        else:
            pending.append(task)
    for task in pending:  # no work is begun that could not be put in its place
        try:
            task.stage.check_target(task.root)
        except (OSError, ValueError) as error:
            raise ExperimentError(f"stage {task.label} cannot be written: {error}") from error
    roots = list(dict.fromkeys(task.root for task in pending))
    with ExitStack() as stack:
        for root in roots:
            root.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(FileLock(root / ".lock", timeout=0))
            except Timeout:
                raise ExperimentError(f"another run is at work in {root}; wait for it to end") from None
        for root in roots:
            forget_failures(root)
        _remove_leftovers(pending)
        try:
            failed = _Run(plans, pending, executor, watcher).run()
        except BaseException:
            executor.cancel()
            _remove_leftovers(pending)
            raise
    if failed:
        raise ExperimentError("\n".join(map(str, failed)))


def tasks_of(plans: Sequence[Plan]) -> list[Task]:
    """Return a task for each stage; labels begin with the folder's name if there are several."""
    return [
        Task(plan.root, stage, stage.name if len(plans) == 1 else f"{plan.root.name}: {stage.name}")
        for plan in plans
        for stage in plan.stages
    ]


class _Run:
    def __init__(
        self, plans: Sequence[Plan], pending: list[Task], executor: Executor, watcher: Watcher
    ) -> None:
        self._executor = executor
        self._watcher = watcher
        self._neighbours = {plan.root: plan.neighbours for plan in plans}
        self._needs = _needs(pending)
        self._uses = Counter((task.root, need.name) for task in pending for need in task.stage.needed)
        self._graph = TopologicalSorter(self._needs)
        self._failed: list[FailedTask] = []
        self._lost: set[Task] = set()

    def run(self) -> list[FailedTask]:
        self._graph.prepare()
        running = 0
        waiting: list[Task] = []
        while self._graph.is_active():
            waiting += self._graph.get_ready()
            while waiting and running < self._executor.workers:
                task = waiting.pop(0)
                if reuse(task.stage, task.root, self._neighbours[task.root]):
                    self._finish(task, reused=True)
                    waiting += self._graph.get_ready()
                    continue
                self._watcher.started(task)
                self._executor.submit(task)
                running += 1
            if not running:
                break
            for task, news in self._executor.wait(POLL_SECONDS):
                if isinstance(news, float):
                    self._watcher.advanced(task.label, news)
                    continue
                running -= 1
                if news is None:
                    self._finish(task, reused=False)
                elif self._fail(task, news):
                    waiting.insert(0, task)
        return self._failed

    def _finish(self, task: Task, *, reused: bool) -> None:
        self._watcher.finished(task, reused=reused)
        self._graph.done(task)
        for need in task.stage.needed:
            self._uses[task.root, need.name] -= 1
            if not self._uses[task.root, need.name]:
                self._executor.release(task.root, need)

    def _fail(self, task: Task, failure: Failure) -> bool:
        """Return whether a task is to be tried once more: if its process was lost for the first time."""
        if failure.lost:
            remove_partials_of(task.stage.folder(task.root))
        again = failure.lost and task not in self._lost
        self._lost.add(task)
        if not again:
            # Tasks stand in an order in which they can be made, so one pass finds all.
            held_up = [task]
            for other, needs in self._needs.items():
                if not {*needs}.isdisjoint(held_up):
                    held_up.append(other)
            self._failed.append(FailedTask(task, failure, write_failure(task, failure), held_up[1:]))
        self._watcher.failed(task, failure, again=again)
        return again


def _needs(tasks: list[Task]) -> dict[Task, list[Task]]:
    """Return the tasks that each task has to wait for."""
    by_name = {(task.root, task.stage.name): task for task in tasks}
    first_with_key: dict[str, Task] = {}
    needs = {}
    for task in tasks:
        names = ((task.root, need.name) for need in task.stage.needed)
        needs[task] = [by_name[name] for name in names if name in by_name]
        first = first_with_key.setdefault(task.stage.key, task)
        if first is not task:  # it will be taken from there
            needs[task].append(first)
    return needs


def _remove_leftovers(tasks: Sequence[Task]) -> None:
    # A process that was killed had no chance to remove what it had begun.
    for root in {task.root for task in tasks}:
        remove_leftovers(root, RECORD)
    for task in tasks:
        if task.stage.folder(task.root).is_symlink():
            remove_partials_of(task.stage.folder(task.root))
