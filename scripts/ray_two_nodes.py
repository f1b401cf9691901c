"""Run an experiment on a Ray cluster of two nodes on this machine, and compare it with a local run.

    python scripts/ray_two_nodes.py zoo_configs/acrobot.yml --preset quick

Ray puts the machine's own address in the place of the loopback's. To keep to the loopback, take the
machine's network away for it (as root, or with unshare's --map-root-user):

    unshare --net sh -c 'ip link set lo up && python scripts/ray_two_nodes.py ...'

Each node is a raylet with one processor and an object store of its own, on the loopback interface only.
Stages' folders reach them through Ray alone.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# On a machine with other work to do, Ray's processes start more slowly than Ray waits for them.
os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")
os.environ.setdefault("RAY_agent_register_timeout_ms", "300000")
os.environ.setdefault("RAY_worker_register_timeout_seconds", "300")

from ray.cluster_utils import Cluster
from rich.console import Console

from sb3_integral.cli.progress import ProgressDisplay
from sb3_integral.experiments.config.load import load_config
from sb3_integral.experiments.engine.executor import Executor
from sb3_integral.experiments.engine.local import LocalExecutor
from sb3_integral.experiments.engine.on_ray import RayExecutor
from sb3_integral.experiments.engine.runner import run_stages, tasks_of
from sb3_integral.experiments.load import load_experiments

LOOPBACK = "127.0.0.1"
STORE_BYTES = 200 * 2**20


def run(arguments: argparse.Namespace, runs: Path, executor: Executor) -> Path:
    plans = load_experiments([arguments.config], arguments.preset, runs)
    with executor, ProgressDisplay(Console(stderr=True), tasks_of(plans)) as display:
        run_stages(plans, executor, display)
    return plans[0].root


def _free_ports() -> dict[str, int]:
    """Return a port for each of a node's agents; a node that is told them does not wait for files."""
    names = (
        "metrics_agent_port",
        "metrics_export_port",
        "runtime_env_agent_port",
        "dashboard_agent_listen_port",
    )
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server((LOOPBACK, 0))) for _ in names]
        return {name: each.getsockname()[1] for name, each in zip(names, sockets, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--preset")
    parser.add_argument("--folder", type=Path, help="where to run; a temporary folder otherwise")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        cluster = Cluster()
        try:
            for _ in range(2):
                cluster.add_node(
                    num_cpus=1,
                    node_ip_address=LOOPBACK,
                    object_store_memory=STORE_BYTES,
                    include_dashboard=False,
                    include_log_monitor=False,
                    no_monitor=True,
                    **_free_ports(),
                )
            cluster.wait_for_nodes()
            environment = load_config(arguments.config, arguments.preset).environment
            executor = RayExecutor(cluster.address, environment.local_sources())
            on_ray = run(arguments, folder / "ray", executor)
        finally:
            cluster.shutdown()
        for node, stages in executor.stages_per_node.items():
            print(f"node {node[:8]}: {stages} stages")
        local = run(arguments, folder / "local", LocalExecutor(2))

        equal = all(
            (on_ray / "report" / name).read_bytes() == (local / "report" / name).read_bytes()
            for name in ("table.csv", "table.md")
        )
        print(f"tables equal, byte for byte: {equal}")
        sys.exit(0 if equal and len(executor.stages_per_node) == 2 else 1)


if __name__ == "__main__":
    main()
