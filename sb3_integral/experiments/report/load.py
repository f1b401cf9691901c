"""Reading a finished experiment: a run's folder, or the files of its report kept elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import yaml

from sb3_integral.experiments.report.plot import Panel

COLUMNS = ("column", "label", "kind", "n_hidden", "return_mean", "return_std", "score_mean")


def read_panel(folder: Path) -> Panel:
    """Return what the plot of an experiment needs.

    Args:
        folder: An experiment's folder, or one with the files of its report.

    Raises:
        ValueError: If it holds no finished experiment, or a table of another form.
    """
    report = next((at for at in (folder / "report", folder) if (at / "table.csv").is_file()), None)
    if report is None:
        raise ValueError(
            f"{folder} holds no finished experiment, expected {folder / 'report' / 'table.csv'}; "
            "`sb3-integral run` makes one"
        )
    try:
        table = pd.read_csv(report / "table.csv")
        provenance = json.loads((report / "provenance.json").read_text(encoding="utf-8"))
        env_id = yaml.safe_load((report / "experiment.yml").read_text(encoding="utf-8"))["env"]
        references = {name: float(entry["mean"]) for name, entry in provenance["references"].items()}
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ValueError(f"the report in {report} cannot be read: {error!r}") from error
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise ValueError(f"{report / 'table.csv'} lacks the columns {', '.join(missing)}")
    return Panel(str(env_id), table, references)
