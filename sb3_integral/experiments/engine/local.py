"""Stages in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import Any

from sb3_integral.experiments.engine.executor import Executor, Failure, throttled
from sb3_integral.experiments.engine.plan import Task
from sb3_integral.experiments.engine.stage import Report, Stage

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

OUTPUT = "output.log"
"""The file, in an experiment's folder, with what libraries print while its stages are made."""

PRELOAD = "sb3_integral.experiments.stages.experiment"
"""Imported once, by the process from which all others are forked: it brings torch and the trainers."""

GRACE_SECONDS = 3.0  # how long processes may clean up, all of them together, before they are killed


class LocalExecutor(Executor):
    """Makes each stage in a process with one thread, so many at once as there are workers."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._context: Any = multiprocessing.get_context("spawn")
        if "forkserver" in multiprocessing.get_all_start_methods():
            self._context = multiprocessing.get_context("forkserver")
            self._context.set_forkserver_preload([PRELOAD])
        self._idle: list[_Worker] = []
        self._running: dict[_Worker, Task] = {}

    def __exit__(self, *_: object) -> None:
        self.cancel()

    @property
    def workers(self) -> int:
        """See :class:`Executor`."""
        return self._workers

    def submit(self, task: Task) -> None:
        """See :class:`Executor`."""
        worker = self._idle.pop() if self._idle else _Worker(self._context)
        self._running[worker] = task
        with suppress(OSError):  # the process is dead, which `wait` will find out
            worker.connection.send((task.stage, task.root))

    def wait(self, seconds: float) -> Iterable[tuple[Task, float | Failure | None]]:
        """See :class:`Executor`."""
        wait([worker.connection for worker in self._running], seconds)
        news: list[tuple[Task, float | Failure | None]] = []
        for worker, task in list(self._running.items()):
            try:
                while worker in self._running and worker.connection.poll():
                    message = worker.connection.recv()
                    news.append((task, message))
                    if not isinstance(message, float):
                        del self._running[worker]
                        self._idle.append(worker)
            except (EOFError, OSError):
                del self._running[worker]
                news.append((task, worker.failure()))
        return news

    def cancel(self) -> None:
        """See :class:`Executor`."""
        workers = [*self._idle, *self._running]
        self._idle.clear()
        self._running.clear()
        for worker in workers:
            worker.process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for worker in workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.process.kill()
            worker.process.join()
            worker.connection.close()


class _Worker:
    """A process that makes one stage after another, and the connection to it."""

    def __init__(self, context: Any) -> None:
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs,))
        self.process.start()
        theirs.close()  # so that the connection ends with the process

    def failure(self) -> Failure:
        """Return why the process, which has ended, did so."""
        self.process.join()
        self.connection.close()
        status = self.process.exitcode or 0
        cause = f"its process ended by itself with status {status}"
        if status == -9:  # Windows has no name for it
            cause = "its process was killed by SIGKILL; the system does that when memory runs out"
        elif status < 0:
            cause = f"its process was ended by {signal.Signals(-status).name}"
        return Failure(cause, cause, lost=True)


def _work(connection: Connection) -> None:
    """Make the stages that come through a connection, until it is closed."""
    # Ctrl-C reaches every process of a terminal; the main one decides, and ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    _use_one_thread()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            stage, root = connection.recv()
        except EOFError:
            return
        except Exception as error:  # the stage's function cannot be imported here
            connection.send(Failure.from_error(error))
            continue
        connection.send(_execute(stage, root, throttled(connection.send)))


def _use_one_thread() -> None:
    # The variables are for libraries that are yet to be loaded. Those that the fork server has loaded
    # need a call: the server may be older than the run (SB3's SubprocVecEnv starts it too).
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    import torch
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    torch.set_num_threads(1)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _end_with_parent() -> None:
    # A run that is killed must not go on writing into a folder that the next one takes over.
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _execute(stage: Stage, root: Path, report: Report) -> Failure | None:
    root.mkdir(parents=True, exist_ok=True)
    # Libraries write past Python's own streams.
    with (root / OUTPUT).open("a", encoding="utf-8") as output:
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
    try:
        stage.execute(root, report)
    except Exception as error:
        return Failure.from_error(error)
    return None
