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
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sb3_integral.experiments.report.conditions import CONDITIONS
from sb3_integral.file_list import listed_files

STAGES = (CONDITIONS,)
"""The stages whose tables are those of a study."""


def keep(runs: Sequence[Path], target: Path) -> None:
    """Write the tables and copy the pictures.

    Raises:
        ValueError: If an experiment is no finished study.
        OSError: If the target cannot be written.
    """
    tables: dict[str, list[pd.DataFrame]] = defaultdict(list)
    pictures: dict[str, Path] = {}
    for run in runs:
        stage = next((run / name for name in STAGES if (run / name).is_dir()), None)
        if stage is None:
            raise ValueError(
                f"{run} is no finished study, expected a folder {' or '.join(STAGES)} in it"
            )
        preset = run.name.rpartition("-")[2]
        for name in listed_files(stage, "stage.json"):
            if name.endswith(".csv"):
                frame = pd.read_csv(stage / name, keep_default_na=False, dtype=str)
                frame.insert(0, "preset", preset)
                tables[name].append(frame)
            elif name.endswith(".png"):
                pictures[f"{preset}.png"] = stage / name
    target.mkdir(parents=True, exist_ok=True)
    for name, frames in tables.items():
        partial = target / f"{name}.partial"
        pd.concat(frames, ignore_index=True).to_csv(partial, index=False)
        Path(partial).replace(target / name)
    for name, picture in pictures.items():
        shutil.copyfile(picture, target / name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of experiments")
    parser.add_argument("-o", "--output", type=Path, required=True, help="where the results are kept")
    arguments = parser.parse_args()
    try:
        keep(arguments.runs, arguments.output)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
