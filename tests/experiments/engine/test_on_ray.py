from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
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
    # And the figures, the video and the page.
    assert sum(shares) == 3 + 2 * (1 + 2 + 3) + 3
    assert "tables equal, byte for byte: True" in result.stdout
