"""Kill a run at random moments, start it again each time, and compare tables with an undisturbed run.

    python scripts/kill_and_resume.py zoo_configs/acrobot.yml --preset quick --kills 20

The whole process group is killed (SIGKILL), at a moment drawn from the time that the undisturbed run
took; what is done stays, so that kills reach every stage. Whenever a run ends before its moment, its
table is compared and a new one begins.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sb3_integral.experiments.config.load import load_config


def start(arguments: argparse.Namespace, runs: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sb3_integral", "run", str(arguments.config), "--runs", str(runs)]
    command += ["--workers", str(arguments.workers)]
    if arguments.preset:
        command += ["--preset", arguments.preset]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate()
    if process.returncode != 0:
        sys.exit(f"the run failed:\n{errors.decode()}")


def stages_done(root: Path) -> int:
    return sum(1 for record in root.rglob("stage.json") if ".partial-" not in str(record))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--preset")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, help="where to run; a temporary folder otherwise")
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    name = load_config(arguments.config, arguments.preset).folder

    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        undisturbed, disturbed = folder / "undisturbed", folder / "disturbed"
        if undisturbed.exists() or disturbed.exists():
            sys.exit(f"{folder} holds runs already, expected a new folder")
        began = time.monotonic()
        finish(start(arguments, undisturbed))
        whole = time.monotonic() - began
        print(f"undisturbed: {whole:.0f} s, {stages_done(undisturbed / name)} stages", flush=True)

        def check() -> None:
            table = Path(name, "report", "table.csv")
            equal = (undisturbed / table).read_bytes() == (disturbed / table).read_bytes()
            leftovers = list((disturbed / name).rglob(".partial-*"))
            print(
                f"tables equal, byte for byte: {equal}; half-done leftovers: {len(leftovers)}",
                flush=True,
            )
            if not equal or leftovers:
                sys.exit(1)

        kills = 0
        while kills < arguments.kills:
            process = start(arguments, disturbed)
            moment = generator.uniform(0, whole)
            try:
                process.communicate(timeout=moment)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                kills += 1
                done = stages_done(disturbed / name)
                print(f"kill {kills:2}: after {moment:5.1f} s, {done} stages done", flush=True)
                continue
            if process.returncode != 0:
                sys.exit("the run failed after a kill")
            check()  # it was done before it could be killed; another one is killed from here on
            shutil.rmtree(disturbed)
        finish(start(arguments, disturbed))
        check()


if __name__ == "__main__":
    main()
