"""The table, the plot and the record of an experiment."""

from __future__ import annotations

import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml
from tabulate import tabulate

from sb3_integral.atomic import PARTIAL_PREFIX
from sb3_integral.evaluation import normalized_score, welch_p
from sb3_integral.experiments.paper import paper_table
from sb3_integral.experiments.plot import plot_reward_against_size
from sb3_integral.experiments.stage import RECORD, Report
from sb3_integral.experiments.steps import REFERENCES, SWEEP

REPORT = "report"
"""Name of the stage that writes it."""

PACKAGES = (
    "sb3-integral",
    "torch",
    "stable-baselines3",
    "sb3-contrib",
    "rl-zoo3",
    "imitation",
    "gymnasium",
    "mujoco",
    "numpy",
    "scipy",
)
"""Packages whose versions decide the results."""


class Column(NamedTuple):
    """One student of the table, with the way it is resized.

    Attributes:
        name: Prefix of its columns in the CSV file.
        label: What people read.
        student: Name of the student in the configuration.
        method: The resize method of a plain student; None for an integral one.
    """

    name: str
    label: str
    student: str
    method: str | None


def write_report(
    folder: Path,
    report: Report,
    references_folder: Path,
    *sweep_folders: Path,
    config: dict[str, Any],
    hyperparams: dict[str, Any],
    columns: list[dict[str, Any]],
) -> None:
    """Write ``table.csv``, ``table.md``, ``reward_vs_size.png``, and what made them.

    Args:
        folder: Where to write.
        report: Is told of progress.
        references_folder: Returns of the expert and of random actions.
        *sweep_folders: A sweep per column and seed, seeds within columns.
        config: The experiment's configuration.
        hyperparams: The expert's.
        columns: The fields of each :class:`Column`.
    """
    all_columns = [Column(**column) for column in columns]
    references = json.loads((references_folder / REFERENCES).read_text())
    runs = read_runs(sweep_folders, all_columns, config["seeds"])
    paper = paper_table(config["env"])
    table = build_table(runs, all_columns, references["random"]["mean"], paper)

    table.to_csv(folder / "table.csv", index=False)
    (folder / "table.md").write_text(_markdown(table, all_columns, config, references))
    plot_reward_against_size(
        folder / "reward_vs_size.png",
        table,
        title=config["env"],
        references={name: entry["mean"] for name, entry in references.items()},
    )
    (folder / "experiment.yml").write_text(
        yaml.safe_dump({**config, "expert_hyperparams": hyperparams}, sort_keys=False)
    )
    (folder / "provenance.json").write_text(
        json.dumps(_provenance(config, references, references_folder.parent), indent=2) + "\n"
    )


def read_runs(sweep_folders: tuple[Path, ...], columns: list[Column], seeds: list[int]) -> pd.DataFrame:
    """Return each run's mean return: ``column``, ``seed``, ``size``, ``mean``, ``compression``."""
    frames = []
    keys = [(column, seed) for column in columns for seed in seeds]
    for (column, seed), sweep in zip(keys, sweep_folders, strict=True):
        episodes = pd.read_csv(sweep / SWEEP)
        means = episodes.groupby("size", sort=False).agg(
            mean=("episode_return", "mean"), compression=("compression", "first")
        )
        frames.append(means.reset_index().assign(column=column.name, seed=seed))
    return pd.concat(frames, ignore_index=True)


def build_table(
    runs: pd.DataFrame, columns: list[Column], random_return: float, paper: pd.DataFrame
) -> pd.DataFrame:
    """Return the table: a row per size, the paper's figures beside ours.

    For each column the mean over runs (``_ar``), their standard deviation (``_std``) and the mean
    over runs of the score, which is 0 for random actions and 1 for the same run at full size. Each
    column but the first has Welch's p against the first (``_welch_p``).
    """
    sizes = list(dict.fromkeys(runs["size"]))
    by_column = {
        column.name: runs[runs["column"] == column.name].pivot(
            index="seed", columns="size", values="mean"
        )
        for column in columns
    }
    leader = by_column[columns[0].name]
    rows = []
    for size in sizes:
        row: dict[str, float] = {
            "n_hidden": size,
            "compression_pct": round(float(runs.loc[runs["size"] == size, "compression"].iloc[0]), 1),
        }
        for column in columns:
            means = by_column[column.name][size].to_numpy()
            full = by_column[column.name][sizes[0]].to_numpy()
            row[f"{column.name}_ar"] = float(np.mean(means))
            row[f"{column.name}_std"] = float(np.std(means, ddof=1)) if len(means) > 1 else np.nan
            row[f"{column.name}_score"] = float(
                np.mean(
                    [
                        normalized_score(value, random_return, reference)
                        for value, reference in zip(means, full, strict=True)
                    ]
                )
            )
            if column is not columns[0]:
                row[f"{column.name}_welch_p"] = welch_p(leader[size].to_numpy(), means)
        rows.append(row)
    table = pd.DataFrame(rows)
    if paper.empty:
        return table
    renamed = paper.drop(columns="compression_pct").add_prefix("paper_")
    return table.merge(renamed, how="left", left_on="n_hidden", right_on="paper_n_hidden").drop(
        columns="paper_n_hidden"
    )


def readable_table(
    table: pd.DataFrame, columns: list[Column], *, details: bool = True
) -> tuple[list[str], list[list[str]]]:
    """Return headings and cells as people read them; "-" stands for what does not exist.

    Args:
        table: What :func:`build_table` returns.
        columns: Its columns.
        details: Whether to have scores and p-values too.
    """
    has_paper = "paper_inn_ar" in table
    headings = ["N", "removed %"]
    if has_paper:
        headings += ["paper INN", "paper NN"]
    for column in columns:
        headings.append(column.label)
        if details:
            headings += ["score"] + ([] if column is columns[0] else ["p"])
    rows = []
    for _, row in table.iterrows():
        cells = [f"{row['n_hidden']:.0f}", f"{row['compression_pct']:.1f}"]
        if has_paper:
            cells += [_spread(row["paper_inn_ar"], row["paper_inn_std"], 0)]
            cells += [_spread(row["paper_nn_ar"], row["paper_nn_std"], 0)]
        for column in columns:
            name = column.name
            cells.append(_spread(row[f"{name}_ar"], row[f"{name}_std"], 1))
            if details:
                # Adding zero makes a rounded -0.00 an ordinary zero.
                cells.append(_number(round(row[f"{name}_score"], 2) + 0.0, ".2f"))
                if column is not columns[0]:
                    cells.append(_number(row[f"{name}_welch_p"], ".1e"))
        rows.append(cells)
    return headings, rows


def _markdown(
    table: pd.DataFrame,
    columns: list[Column],
    config: dict[str, Any],
    references: dict[str, Any],
) -> str:
    headings, rows = readable_table(table, columns)
    expert, random = references["expert"], references["random"]
    return "\n".join(
        [
            f"# {config['env']}",
            "",
            f"Expert: {expert['mean']:.1f} ± {expert['std']:.1f} over {expert['episodes']} "
            f"deterministic episodes; random actions: {random['mean']:.1f} ± {random['std']:.1f}. "
            f"Seeds {', '.join(map(str, config['seeds']))}; "
            f"{config['evaluation']['episodes']} episodes per seed and size.",
            "",
            tabulate(rows, headings, tablefmt="github", disable_numparse=True, stralign="right"),
            "",
            "Mean ± standard deviation over seeds of a run's average return. Score: 0 for random "
            "actions, 1 for the same run at full size, averaged over seeds. p: Welch's t-test "
            f"against {columns[0].label}; - where neither sample varies.",
            "",
        ]
    )


def _spread(mean: float, std: float, digits: int) -> str:
    if pd.isna(mean):
        return "-"
    return f"{mean:.{digits}f}" + ("" if pd.isna(std) else f" ± {std:.{digits}f}")


def _number(value: float, form: str) -> str:
    return "-" if pd.isna(value) else f"{value:{form}}"


def _provenance(
    config: dict[str, Any],
    references: dict[str, Any],
    root: Path,
) -> dict[str, Any]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    seconds = {
        str(record.parent.relative_to(root)): json.loads(record.read_text())["seconds"]
        for record in sorted(root.rglob(RECORD))
        if PARTIAL_PREFIX not in str(record) and record.parent != root / REPORT
    }
    return {
        "seeds": {"expert": config["expert"]["seed"], "runs": config["seeds"]},
        "references": references,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": versions,
        "threads_per_stage": 1,
        "stage_seconds": seconds,
    }
