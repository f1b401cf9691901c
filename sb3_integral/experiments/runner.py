"""Running stages: each as soon as what it needs is there, in parallel, resumably."""

from __future__ import annotations

import multiprocessing
import os
import queue
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from sb3_integral.atomic import PARTIAL_PREFIX
from sb3_integral.experiments.stage import Stage

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Watcher(Protocol):
    """Is told how stages fare."""

    def started(self, stage: Stage) -> None:
        """A stage is being made."""

    def advanced(self, name: str, fraction: float) -> None:
        """A stage that is being made has come so far."""

    def finished(self, stage: Stage, *, reused: bool) -> None:
        """A stage is there, made now or before."""

    def failed(self, stage: Stage, error: BaseException) -> None:
        """A stage could not be made."""


class StageError(RuntimeError):
    """What went wrong in a stage, as text."""


class ExperimentError(RuntimeError):
    """Stages that failed, each with its cause; all that did not need them was still done."""


def run_stages(stages: Iterable[Stage], root: Path, workers: int, watcher: Watcher) -> None:
    """Make every stage that is not there yet.

    Every stage runs in a worker process with one thread, whatever the number of workers, so that
    results do not depend on it.

    Args:
        stages: The stages, with all that they need.
        root: The experiment's folder.
        workers: How many stages are made at once.
        watcher: Is told of it all.

    Raises:
        ExperimentError: If another run is at work in the folder, or if stages failed.
    """
    stages = list(stages)
    pending = {stage.name: stage for stage in stages if not stage.is_done(root)}
    for stage in stages:
        if stage.name not in pending:
            watcher.finished(stage, reused=True)
    if not pending:
        return
    root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / ".lock", timeout=0):
            _remove_leftovers(root)
            failures = _run(pending, root, workers, watcher)
    except Timeout:
        raise ExperimentError(f"another run is at work in {root}; wait for it to end") from None
    if failures:
        raise ExperimentError(
            "\n".join(f"stage {name} failed: {cause}" for name, cause in failures.items())
        )


def _run(pending: dict[str, Stage], root: Path, workers: int, watcher: Watcher) -> dict[str, str]:
    graph: TopologicalSorter[str] = TopologicalSorter(
        {
            name: [need.name for need in stage.needs if need.name in pending]
            for name, stage in pending.items()
        }
    )
    graph.prepare()
    failures: dict[str, str] = {}
    context = _process_context()
    reports = context.Queue()
    with (
        _one_thread_each(),
        ProcessPoolExecutor(
            workers, mp_context=context, initializer=_initialize, initargs=(reports,)
        ) as pool,
    ):
        running: dict[Future[None], Stage] = {}
        waiting: list[str] = []
        try:
            while graph.is_active():
                waiting += graph.get_ready()
                while waiting and len(running) < workers:
                    stage = pending[waiting.pop(0)]
                    watcher.started(stage)
                    try:
                        running[pool.submit(_execute, stage, root)] = stage
                    except BrokenProcessPool as broken:
                        failures[stage.name] = f"not begun: {broken}"
                        watcher.failed(stage, broken)
                if not running:
                    break
                done, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                _drain(reports, watcher)
                for future in done:
                    stage = running.pop(future)
                    error = future.exception()
                    if error is None:
                        watcher.finished(stage, reused=False)
                        graph.done(stage.name)
                    else:
                        failures[stage.name] = str(error)
                        watcher.failed(stage, error)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failures


def _process_context() -> Any:
    # A fork server imports torch and the trainers once, and every worker is forked from it.
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sb3_integral.experiments.steps"])
    return context


_reports: Any = None


def _initialize(reports: Any) -> None:
    import torch

    global _reports
    _reports = reports
    torch.set_num_threads(1)


def _execute(stage: Stage, root: Path) -> None:
    try:
        stage.execute(root, lambda fraction: _reports.put((stage.name, fraction)))
    except Exception as error:
        # As text: not every exception survives the way to another process.
        raise StageError(f"{type(error).__name__}: {error}") from None


def _drain(reports: Any, watcher: Watcher) -> None:
    while True:
        try:
            watcher.advanced(*reports.get_nowait())
        except queue.Empty:
            return


@contextmanager
def _one_thread_each() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _remove_leftovers(root: Path) -> None:
    # A process that was killed had no chance to remove what it had begun.
    for partial in list(root.rglob(f"{PARTIAL_PREFIX}*")):
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)
