"""Stages in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import Any

from sb3_integral.experiments.engine.executor import Failure
from sb3_integral.experiments.engine.plan import Task
from sb3_integral.experiments.engine.stage import Stage

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

OUTPUT = "output.log"
"""The file, in an experiment's folder, with what libraries print while its stages are made."""


class LocalExecutor:
    """Makes each stage in a process with one thread, whatever the number of processes.

    Each process has a pool of its own: a pool whose process is killed, by the system for its memory
    or by anybody, gives up all that was submitted to it, which is then one stage and not all.

    Args:
        workers: How many stages are made at once.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._context = _process_context()
        self._idle: list[_Pool] = []
        self._running: dict[Future[Failure | None], tuple[Task, _Pool]] = {}
        self._environment: dict[str, str | None] = {}

    def __enter__(self) -> LocalExecutor:
        """See :class:`Executor`."""
        # Libraries read these when they are loaded, which happens in the processes.
        self._environment = {name: os.environ.get(name) for name in THREAD_VARIABLES}
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """See :class:`Executor`."""
        for pool in [*self._idle, *(pool for _, pool in self._running.values())]:
            pool.close(wait=error is None)
        self._idle.clear()
        self._running.clear()
        for name, value in self._environment.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

    @property
    def workers(self) -> int:
        """See :class:`Executor`."""
        return self._workers

    def submit(self, task: Task) -> None:
        """See :class:`Executor`."""
        pool = self._idle.pop() if self._idle else _Pool(self._context)
        self._running[pool.submit(task)] = task, pool

    def wait(self, seconds: float) -> Sequence[tuple[Task, Failure | None]]:
        """See :class:`Executor`."""
        done, _ = wait(self._running, timeout=seconds, return_when=FIRST_COMPLETED)
        ended: list[tuple[Task, Failure | None]] = []
        for future in done:
            task, pool = self._running.pop(future)
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                pool.close(wait=False)
                failure = Failure("its process was killed, as for want of memory", str(error), lost=True)
                ended.append((task, failure))
            else:
                self._idle.append(pool)
                ended.append((task, future.result() if error is None else Failure.of(error)))
        return ended

    def progress(self) -> Sequence[tuple[str, float]]:
        """See :class:`Executor`."""
        pools = [*self._idle, *(pool for _, pool in self._running.values())]
        return [report for pool in pools for report in pool.reports()]

    def release(self, root: Path, stage: Stage) -> None:
        """See :class:`Executor`; folders stay where they are."""


class _Pool:
    """A process that makes one stage at a time, and the way that its progress takes.

    A process that is killed while it writes to a queue keeps the queue's lock, so they share none.
    """

    def __init__(self, context: Any) -> None:
        self._reports = context.Queue()
        self._pool = ProcessPoolExecutor(
            1, mp_context=context, initializer=_initialize, initargs=(self._reports,)
        )

    def submit(self, task: Task) -> Future[Failure | None]:
        return self._pool.submit(_execute, task.stage, task.root, task.label)

    def reports(self) -> list[tuple[str, float]]:
        reports = []
        while True:
            try:
                reports.append(self._reports.get_nowait())
            except queue.Empty:
                return reports

    def close(self, *, wait: bool) -> None:
        self._pool.shutdown(wait=wait, cancel_futures=True)
        self._reports.close()


def _process_context() -> Any:
    # A fork server imports torch and the trainers once, and every worker is forked from it.
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sb3_integral.experiments.stages.pipeline"])
    return context


_reports: Any = None


def _initialize(reports: Any) -> None:
    import torch

    global _reports
    _reports = reports
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A run that is killed must not go on writing into a folder that the next one takes over.
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _execute(stage: Stage, root: Path, label: str) -> Failure | None:
    root.mkdir(parents=True, exist_ok=True)
    # MuJoCo writes a line for every environment that is made, past Python's own streams.
    with (root / OUTPUT).open("a", encoding="utf-8") as output:
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
    try:
        stage.execute(root, lambda fraction: _reports.put((label, fraction)))
    except Exception as error:
        return Failure.of(error)
    return None
