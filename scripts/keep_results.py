"""Copy what people look at from an experiment's folder: tables, plots, the animation, what made them.

    python scripts/keep_results.py runs/ant-standard results/ant

The results that were kept there before are replaced as a whole. A folder that holds anything else, or in
which somebody changed something, is refused.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from sb3_integral.atomic import atomic_folder
from sb3_integral.file_list import listed_files

MARKER = "provenance.json"
"""What made the results; it comes from the report, and lists the files of the folder of kept ones."""

KEPT = {
    "report": (".csv", ".md", ".png", ".yml", ".json"),
    "figures": (".csv", ".png"),
    "video": (".gif",),  # without OpenGL there is none
}
"""Which files of which stages are kept."""


def keep(run: Path, target: Path) -> None:
    """Copy the results of a finished experiment.

    Raises:
        ValueError: If the folder holds no finished experiment.
        OSError: If the target cannot be written, or holds anything else than kept results.
    """
    with atomic_folder(target, MARKER) as partial:
        for stage, endings in KEPT.items():
            for name in listed_files(run / stage, "stage.json"):
                if Path(name).suffix in endings:
                    shutil.copyfile(run / stage / name, partial / name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path, help="the experiment's folder")
    parser.add_argument("target", type=Path, help="where its results are kept")
    arguments = parser.parse_args()
    try:
        keep(arguments.run, arguments.target)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
