"""Reading the results of experiments back: a run's folder, or the files of its report kept elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

from sb3_integral.escaping import from_csv, one_line

TABLE = "table.csv"
RUNS = "runs.csv"
PROVENANCE = "provenance.json"
CONFIGURATION = "experiment.yml"

TEXT = ("column", "label", "kind")
NUMBERS = {
    TABLE: (
        *("n_hidden", "compression_pct", "n_runs", "return_mean", "return_std"),
        *("score_mean", "score_iqm", "score_low", "score_high", "welch_p"),
        *("paper_inn_mean", "paper_inn_std", "paper_nn_mean", "paper_nn_std"),
    ),
    RUNS: ("seed", "n_hidden", "score"),
}
"""Columns that each file must have, beside those of text."""


class Results(NamedTuple):
    """The results of an experiment.

    Attributes:
        env: The environment's id.
        table: What :func:`~sb3_integral.experiments.report.tables.build_table` returns.
        references: Returns of the expert and of random actions, by ``expert`` and ``random``.
        folder: Holds the files of the report.
    """

    env: str
    table: pd.DataFrame
    references: dict[str, float]
    folder: Path = Path()

    def runs(self) -> pd.DataFrame:
        """Read the results of each run.

        Raises:
            ValueError: If the file is not there, or not of the form that a report has.
        """
        try:
            return read_csv(self.folder / RUNS)
        except (OSError, ValueError) as error:
            raise ValueError(_unreadable(self.folder, error)) from error


def load_results(folder: Path) -> Results:
    """Read the results of an experiment.

    Args:
        folder: An experiment's folder, or one with the files of its report.

    Raises:
        ValueError: If it holds no finished experiment, or files of another form.
    """
    report = _report_folder(folder)
    if report is None:
        raise ValueError(
            f"{folder} holds no finished experiment, expected {folder / 'report' / TABLE} "
            f"and {CONFIGURATION} beside it; "
            "`sb3-integral run` makes one"
        )
    try:
        table = read_csv(report / TABLE)
        provenance = json.loads((report / PROVENANCE).read_text(encoding="utf-8"))
        config = yaml.safe_load((report / CONFIGURATION).read_text(encoding="utf-8"))
        references = {name: float(entry["mean"]) for name, entry in provenance["references"].items()}
        return Results(str(config["env"]), table, references, report)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(_unreadable(report, error)) from error
    except yaml.YAMLError as error:
        raise ValueError(_unreadable(report, error)) from error


def load_all_results(folders: Sequence[Path]) -> tuple[list[Results], list[Path]]:
    """Read the results of several experiments, such as those that ``runs/*`` names.

    Args:
        folders: As for :func:`load_results`.

    Returns:
        The results, and the files and folders that hold no report.

    Raises:
        ValueError: If one does not exist or cannot be read, or if none holds a report.
    """
    left_out = [path for path in folders if path.exists() and _report_folder(path) is None]
    if len(left_out) == len(folders):
        left_out = []  # then the first is the error
    return [load_results(path) for path in folders if path not in left_out], left_out


def read_csv(path: Path) -> pd.DataFrame:
    """Read ``table.csv`` or ``runs.csv``: text as text, and empty cells as missing numbers.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it lacks a column, or has something else in a column of numbers.
    """
    frame = pd.read_csv(
        path, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=[""], encoding="utf-8"
    )
    numbers = NUMBERS[path.name]
    missing = [name for name in (*TEXT[: 3 if path.name == TABLE else 1], *numbers) if name not in frame]
    if missing:
        raise ValueError(f"{path.name} lacks the columns {', '.join(missing)}")
    if frame.empty:
        raise ValueError(f"{path.name} has no rows")
    for name in numbers:
        frame[name] = pd.to_numeric(frame[name])
    if path.name == TABLE and frame["return_mean"].isna().any():
        raise ValueError(f"{path.name} lacks values in the column return_mean")
    if not (frame["n_hidden"] % 1 == 0).all():
        raise ValueError(f"{path.name} needs whole numbers in the column n_hidden")
    frame["n_hidden"] = frame["n_hidden"].astype(int)
    key = ["column", "seed" if path.name == RUNS else "label", "n_hidden"]
    if frame.duplicated(key).any() or len(frame) != len(frame[key[:2]].drop_duplicates()) * len(
        frame["n_hidden"].unique()
    ):
        raise ValueError(f"{path.name} needs one row for each column and size")
    if "label" in frame:
        frame["label"] = frame["label"].map(from_csv)
    return frame


def _report_folder(folder: Path) -> Path | None:
    # Other results have a table of that name too, such as those of the appendix on MNIST.
    return next(
        (
            at
            for at in (folder / "report", folder)
            if all((at / name).is_file() for name in (TABLE, CONFIGURATION))
        ),
        None,
    )


def _unreadable(report: Path, error: Exception) -> str:
    return f"the report in {report} cannot be read: {type(error).__name__}: {one_line(error)}"
