"""Reading the results of experiments back: a run's folder, or the files of its report kept elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

from sb3_integral.escaping import from_csv, one_line

TABLE = "table.csv"
RUNS = "runs.csv"
PROVENANCE = "provenance.json"
CONFIGURATION = "experiment.yml"

TEXT = {TABLE: ("column", "label", "kind"), RUNS: ("column",)}
NUMBERS = {
    TABLE: (
        *("compression_pct", "n_runs", "return_mean", "return_std"),
        *("score_mean", "score_iqm", "score_low", "score_high", "welch_p"),
        *("paper_inn_mean", "paper_inn_std", "paper_nn_mean", "paper_nn_std"),
    ),
    RUNS: ("seed", "score"),
}
"""Columns that each file must have, beside ``n_hidden``."""


class Results(NamedTuple):
    """The results of an experiment in an environment.

    Attributes:
        env: The environment's id.
        table: The content of ``table.csv``.
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
        with _errors_named(self.folder):
            return read_csv(self.folder / RUNS)


def load_results(folder: Path) -> Results:
    """Read the results in an experiment's folder, or in one with the files of its report.

    Raises:
        ValueError: If it holds no finished experiment, or files of another form.
    """
    report = _report_folder(folder)
    if report is None:
        raise ValueError(
            f"{folder} holds no finished experiment, expected {folder / 'report' / TABLE} "
            f"and {CONFIGURATION} beside it; `sb3-integral run` makes one"
        )
    with _errors_named(report):
        table = read_csv(report / TABLE)
        provenance = json.loads((report / PROVENANCE).read_text(encoding="utf-8"))
        config = yaml.safe_load((report / CONFIGURATION).read_text(encoding="utf-8"))
        references = {name: float(entry["mean"]) for name, entry in provenance["references"].items()}
        return Results(str(config["env"]), table, references, report)


def load_all_results(folders: Sequence[Path]) -> tuple[list[Results], list[Path]]:
    """Read the results of several experiments, such as those that ``runs/*`` names.

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
        ValueError: If it lacks a column or a row, or has something else in a column of numbers.
    """
    text, numbers = TEXT[path.name], NUMBERS[path.name]
    dtypes = {**dict.fromkeys(text, str), **dict.fromkeys(numbers, float), "n_hidden": int}
    frame = pd.read_csv(path, dtype=dtypes, keep_default_na=False, na_values=[""], encoding="utf-8")
    if missing := [name for name in dtypes if name not in frame]:
        raise ValueError(f"{path.name} lacks the columns {', '.join(missing)}")
    key = ["column", "label" if path.name == TABLE else "seed"]
    grid = frame.assign(there=frame.get("return_mean", 0.0))
    grid = grid.pivot(index=key, columns="n_hidden", values="there")
    if grid.empty or grid.isna().any(axis=None):
        raise ValueError(f"{path.name} needs one row for each column and size")
    if "label" in text:
        frame["label"] = frame["label"].map(from_csv)
    return frame


def _report_folder(folder: Path) -> Path | None:
    # Other results have a table of that name too, such as those of the appendix on MNIST.
    for report in (folder / "report", folder):
        if all((report / name).is_file() for name in (TABLE, CONFIGURATION)):
            return report
    return None


@contextmanager
def _errors_named(report: Path) -> Iterator[None]:
    """Turn whatever is wrong with the files of a report into one error that names it."""
    errors = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
    try:
        yield
    except (*errors, yaml.YAMLError) as error:
        problem = f"{type(error).__name__}: {one_line(error)}"
        raise ValueError(f"the report in {report} cannot be read: {problem}") from error
