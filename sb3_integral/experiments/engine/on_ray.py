"""Stages on a Ray cluster, whose machines need not share a file system."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sb3_integral.requirements import require

require("ray", "ray", "threadpoolctl")

# Ray reads it when it is loaded; this library sends nobody anything.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray  # noqa: E402
from ray.exceptions import RayError  # noqa: E402
from ray.util.queue import Empty, Queue  # noqa: E402

from sb3_integral.experiments.engine.archive import packed, unpack  # noqa: E402
from sb3_integral.experiments.engine.executor import Executor, Failure, throttled  # noqa: E402
from sb3_integral.experiments.engine.plan import Task  # noqa: E402
from sb3_integral.experiments.engine.stage import Stage  # noqa: E402

REPORTS_AT_ONCE = 1000


class RayExecutor(Executor):
    """Makes each stage on one processor of a cluster, with one thread.

    A stage's folder comes back as an archive, in pieces, through Ray's object store, and goes from
    there to whichever machine needs it; it is put there once. The machines need this library and the
    packages that it uses, in the same versions, and nothing of the experiment's folder.

    Args:
        address: Of the cluster, as for ``ray.init``: ``auto``, ``127.0.0.1:6379``, ``ray://host:10001``.
        sources: Files of environments that no package holds, by relative path; they are sent along.

    Attributes:
        stages_per_node: How many stages ended on each machine, by Ray's node id.
    """

    def __init__(self, address: str, sources: Mapping[str, Path] | None = None) -> None:
        self._address = address
        self._sources = dict(sources or {})
        self._archives: dict[tuple[Path, str], list[Any]] = {}
        self._running: dict[Any, tuple[Task, Any]] = {}
        self._reports: Any = None
        self.stages_per_node: Counter[str] = Counter()

    def __enter__(self) -> RayExecutor:
        with tempfile.TemporaryDirectory() as folder:
            for name, source in self._sources.items():
                copy = Path(folder, name)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, copy)
            # Ray packs the folder here, and adds it to the module path of every worker.
            environment = {"working_dir": folder} if self._sources else {}
            options: Any = {"log_to_driver": False, "logging_level": logging.ERROR}
            try:
                ray.init(address=self._address, runtime_env=environment, **options)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise ConnectionError(f"no Ray cluster at {self._address!r}: {error}") from error
        self._reports = Queue(actor_options={"num_cpus": 0})
        return self

    def cancel(self) -> None:
        """Disconnect, which ends what is running."""
        self._running.clear()
        self._archives.clear()
        ray.shutdown()

    @property
    def workers(self) -> int:
        """The cluster's processors at this moment: machines may come and go."""
        resources: Any = ray.cluster_resources
        return int(resources().get("CPU", 0)) or 1

    def submit(self, task: Task) -> None:
        """See :class:`Executor`."""
        needed = [self._archive(task.root, need) for need in task.stage.needed]
        remote: Any = _execute  # its type does not know of streams
        results = remote.remote(task.stage, task.label, needed, self._reports)
        self._running[results.completed()] = task, results

    def wait(self, seconds: float) -> Iterator[tuple[Task, float | Failure | None]]:
        """See :class:`Executor`."""
        done, _ = ray.wait(list(self._running), num_returns=1, timeout=seconds, fetch_local=False)
        tasks = {task.label: task for task, _ in self._running.values()}
        with suppress(Empty):
            count = min(self._reports.qsize(), REPORTS_AT_ONCE)
            for label, fraction in self._reports.get_nowait_batch(count):
                if label in tasks:
                    yield tasks[label], fraction
        for task, results in map(self._running.pop, done):
            yield task, self._take(task, results)

    def release(self, root: Path, stage: Stage) -> None:
        """Let the store forget the archive; the folder stays."""
        self._archives.pop((root, stage.name), None)

    def _archive(self, root: Path, stage: Stage) -> list[Any]:
        place = root, stage.name
        if place not in self._archives:
            self._archives[place] = [ray.put(piece) for piece in packed(stage.folder(root))]
        return self._archives[place]

    def _take(self, task: Task, results: Any) -> Failure | None:
        references = list(results)
        try:
            node, failure = ray.get(references.pop())
            if failure is None:
                # One piece at a time: the store can be larger than this process may become.
                unpack(map(ray.get, references), task.stage.folder(task.root))
                self._archives[task.root, task.stage.name] = references
        except RayError as error:
            # A machine was lost, and with it perhaps what it kept for others.
            for need in task.stage.needed:
                self.release(task.root, need)
            return Failure.from_error(error, lost=True)
        self.stages_per_node[node] += 1
        return failure  # type: ignore[no-any-return]


@ray.remote(num_cpus=1, max_retries=0, num_returns="streaming")  # the runner tries again
def _execute(stage: Stage, label: str, needed: list[list[Any]], reports: Any) -> Iterator[Any]:
    """Give the pieces of the stage's folder, then the node and what went wrong."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    node = ray.get_runtime_context().get_node_id()
    failure = None
    with threadpool_limits(1), tempfile.TemporaryDirectory() as name:
        root = Path(name)
        try:
            for need, pieces in zip(stage.needed, needed, strict=True):
                unpack(map(ray.get, pieces), need.folder(root))
            stage.execute(root, throttled(lambda fraction: reports.put_nowait((label, fraction))))
        except RayError:
            raise  # not the stage's fault
        except Exception as error:
            failure = Failure.from_error(error)
        if failure is None:
            yield from packed(stage.folder(root))
    yield node, failure
