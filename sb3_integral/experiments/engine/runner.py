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
from sb3_integral.experiments.engine.failures import FailedTask, forget_failures, keep_failure
from sb3_integral.experiments.engine.plan import Plan, Task
from sb3_integral.experiments.engine.stage import RECORD

POLL_SECONDS = 0.2
"""How long the runner waits before it looks for progress."""


class Watcher(Protocol):
    """Is told how tasks fare."""

    def started(self, task: Task) -> None:
        """A stage is being made."""

    def advanced(self, label: str, fraction: float) -> None:
        """A stage that is being made has come so far."""

    def finished(self, task: Task, *, reused: bool) -> None:
        """A stage is there, made now or before."""

    def failed(self, task: Task, failure: Failure, *, again: bool) -> None:
        """A stage could not be made; ``again`` if it is tried once more."""


class ExperimentError(RuntimeError):
    """Stages that failed, each with its cause; all that did not need them was still done."""


def run_stages(plans: Sequence[Plan], executor: Executor, watcher: Watcher) -> None:
    """Make every stage of some experiments that is not there yet.

    Args:
        plans: The experiments.
        executor: Where stages are made; inside its ``with`` statement.
        watcher: Is told of it all.

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
    if not pending:
        return
    _check_targets(pending)
    with ExitStack() as stack:
        for root in dict.fromkeys(task.root for task in pending):
            root.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(FileLock(root / ".lock", timeout=0))
            except Timeout:
                raise ExperimentError(f"another run is at work in {root}; wait for it to end") from None
        for root in {task.root for task in pending}:
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
        self._tasks = {task.label: task for task in pending}
        self._needs = _needs(pending)
        self._uses = Counter((task.root, need.name) for task in pending for need in task.stage.needed)
        self._graph: TopologicalSorter[str] = TopologicalSorter(self._needs)
        self._failed: list[FailedTask] = []
        self._lost: set[str] = set()

    def run(self) -> list[FailedTask]:
        self._graph.prepare()
        running = 0
        waiting: list[Task] = []
        while self._graph.is_active():
            waiting += [self._tasks[label] for label in self._graph.get_ready()]
            while waiting and running < self._executor.workers:
                task = waiting.pop(0)
                if reuse(task.stage, task.root, self._neighbours[task.root]):
                    self._finish(task, reused=True)
                    waiting += [self._tasks[label] for label in self._graph.get_ready()]
                    continue
                self._watcher.started(task)
                self._executor.submit(task)
                running += 1
            if not running:
                break
            ended = self._executor.wait(POLL_SECONDS)
            for report in self._executor.progress():
                self._watcher.advanced(*report)
            for task, failure in ended:
                running -= 1
                if failure is not None and failure.lost:
                    remove_partials_of(task.stage.folder(task.root))
                if failure is None:
                    self._finish(task, reused=False)
                elif self._is_worth_another_try(task, failure):
                    self._watcher.failed(task, failure, again=True)
                    waiting.insert(0, task)
                else:
                    path = keep_failure(task, failure)
                    held_up = self._dependents(task.label)
                    self._failed.append(FailedTask(task, failure, path, held_up))
                    self._watcher.failed(task, failure, again=False)
        return self._failed

    def _finish(self, task: Task, *, reused: bool) -> None:
        self._watcher.finished(task, reused=reused)
        self._graph.done(task.label)
        for need in task.stage.needed:
            self._uses[task.root, need.name] -= 1
            if not self._uses[task.root, need.name]:
                self._executor.release(task.root, need)

    def _is_worth_another_try(self, task: Task, failure: Failure) -> bool:
        first = failure.lost and task.label not in self._lost
        self._lost.add(task.label)
        return first

    def _dependents(self, label: str) -> tuple[str, ...]:
        # Tasks stand in an order in which they can be made, so one pass finds all.
        found = {label}
        for other, needs in self._needs.items():
            if found.intersection(needs):
                found.add(other)
        return tuple(other for other in self._needs if other in found and other != label)


def _needs(tasks: list[Task]) -> dict[str, list[str]]:
    """Return the labels of what each task has to wait for."""
    labels = {(task.root, task.stage.name): task.label for task in tasks}
    first_with_key: dict[str, str] = {}
    needs = {}
    for task in tasks:
        needs[task.label] = [
            labels[task.root, need.name]
            for need in task.stage.needed
            if (task.root, need.name) in labels
        ]
        first = first_with_key.setdefault(task.stage.key, task.label)
        if first != task.label:  # it will be taken from there
            needs[task.label].append(first)
    return needs


def _check_targets(tasks: Sequence[Task]) -> None:
    """Refuse to begin work that could not be put in its place."""
    for task in tasks:
        try:
            task.stage.check_target(task.root)
        except (OSError, ValueError) as error:
            raise ExperimentError(f"stage {task.label} cannot be written: {error}") from error


def _remove_leftovers(tasks: Sequence[Task]) -> None:
    # A process that was killed had no chance to remove what it had begun.
    for root in {task.root for task in tasks}:
        remove_leftovers(root, RECORD)
    for task in tasks:
        if task.stage.folder(task.root).is_symlink():
            remove_partials_of(task.stage.folder(task.root))
