from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray, an extra"),
    pytest.mark.skipif(
        shutil.which("unshare") is None or shutil.which("ip") is None,
        reason="needs unshare and ip, for a network of nothing but the loopback",
    ),
]

# Ray replaces a loopback address by the machine's own, unless the machine has no other.
ALONE = ("unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


@pytest.mark.slow
def test_two_nodes_make_the_table_that_this_machine_makes_alone(
    content: dict[str, Any], write_config: Callable[[object], Path], root: Path
) -> None:
    # given a whole experiment
    path = write_config(content)

    # when it is run on two nodes and on none, in a process of its own: Ray warns, and leaves threads
    result = subprocess.run(
        [*ALONE, sys.executable, str(root / "scripts" / "ray_two_nodes.py"), str(path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )

    # then both nodes took part, all stages were made, and the tables are the same
    assert result.returncode == 0, result.stderr
    shares = [int(number) for number in re.findall(r"node \w+: (\d+) stages", result.stdout)]
    assert len(shares) == 2
    # The expert, the references and the report; demonstrations, two students, three sweeps per seed.
    # And the figures, the video, the page that moves and the page.
    assert sum(shares) == 3 + 2 * (1 + 2 + 3) + 4
    assert "tables equal, byte for byte: True" in result.stdout


SENT_ALONG = """
import sys
from pathlib import Path

from ray.cluster_utils import Cluster
from ray_two_nodes import LOOPBACK, STORE_BYTES, _free_ports

sys.path.insert(0, sys.argv[1])

import small_stage_functions as functions

from sb3_integral.experiments.engine.environment import Environment
from sb3_integral.experiments.engine.plan import Plan
from sb3_integral.experiments.engine.runner import run_stages
from sb3_integral.experiments.engine.stage import Stage
from sb3_integral.experiments.engine.on_ray import RayExecutor


class Watcher:
    def __getattr__(self, name):
        return lambda *_, **__: None


folder, root = map(Path, sys.argv[1:])
environment = Environment.from_name("small_environment:Small-v0", max_episode_steps=7)
stage = Stage("a", functions.play, environment=environment)
sources = environment.local_sources()
sources["small_stage_functions.py"] = folder / "small_stage_functions.py"
cluster = Cluster()
try:
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
    with RayExecutor(cluster.address, sources) as executor:
        assert stage.key  # a run is planned while the files are there
        for source in sources.values():
            source.unlink()  # another machine would not have them either
        run_stages([Plan(root, (stage,))], executor, Watcher())
finally:
    cluster.shutdown()
"""


@pytest.mark.slow
def test_the_code_of_an_environment_is_sent_to_the_machines(
    functions: ModuleType, root: Path, tmp_path: Path
) -> None:
    # given an environment and a stage in modules that no machine of the cluster has
    for name in ("small_stage_functions.py", "small_environment.py"):
        (tmp_path / "modules").mkdir(exist_ok=True)
        source = Path(str(functions.__file__)).with_name(name)
        (tmp_path / "modules" / name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "script.py").write_text(SENT_ALONG, encoding="utf-8")

    # when
    result = subprocess.run(
        [*ALONE, sys.executable, "script.py", str(tmp_path / "modules"), str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "scripts")])},
    )

    # then
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "a" / "text").read_text() == "7 steps in Small-v0"
