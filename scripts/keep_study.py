"""Put the results of a study's experiments into one folder: a table of all, and the picture of each.

    python scripts/keep_study.py runs/study_noise-* -o results/study_noise

Tables of one name become one, with the preset of each experiment as its first column. Other files in the
folder stay, and a file of the same name is replaced.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from sb3_integral.atomic import atomic_file
from sb3_integral.experiments.report.conditions import CONDITIONS
from sb3_integral.experiments.report.forgetting import FORGETTING, TRANSFER_RUNS
from sb3_integral.experiments.report.forgetting_plot import FORGETTING_PLOT
from sb3_integral.experiments.report.load import RUNS
from sb3_integral.experiments.report.write import REPORT

KEPT = {
    f"{CONDITIONS}/{RUNS}": RUNS,
    f"{CONDITIONS}/{CONDITIONS}.csv": f"{CONDITIONS}.csv",
    f"{REPORT}/{TRANSFER_RUNS}": RUNS,
    f"{REPORT}/{FORGETTING}": FORGETTING,
}
"""The tables of studies by their paths in an experiment's folder, and what they are called."""

PICTURES = (f"{CONDITIONS}/{CONDITIONS}.png", f"{REPORT}/{FORGETTING_PLOT}")


def keep(runs: Sequence[Path], target: Path) -> None:
    """Write the tables and copy the pictures.

    Raises:
        ValueError: If an experiment is no finished study.
        OSError: If the target cannot be written.
    """
    tables: dict[str, list[pd.DataFrame]] = defaultdict(list)
    for run in runs:
        of_run = dict(_tables(run))
        if RUNS not in of_run:
            raise ValueError(f"{run} is no finished study, expected one of {', '.join(KEPT)} in it")
        for name, frame in of_run.items():
            tables[name].append(frame)
    target.mkdir(parents=True, exist_ok=True)
    for name, frames in tables.items():
        with atomic_file(target / name) as partial:
            pd.concat(frames, ignore_index=True).to_csv(partial, index=False)
    for run in runs:
        for picture in PICTURES:
            if (run / picture).is_file():
                with atomic_file(target / f"{_preset(run)}.png") as partial:
                    shutil.copyfile(run / picture, partial)


def _tables(run: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    for path, name in KEPT.items():
        if (run / path).is_file():
            frame = pd.read_csv(run / path, keep_default_na=False, dtype=str)
            frame.insert(0, "preset", _preset(run))
            yield name, frame


def _preset(run: Path) -> str:
    return run.name.rpartition("-")[2]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of experiments")
    parser.add_argument("-o", "--output", type=Path, required=True, help="where the results are kept")
    arguments = parser.parse_args()
    try:
        keep(arguments.runs, arguments.output)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
