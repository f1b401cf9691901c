"""The tables, the plot and the record of an experiment.

What the tables hold is written in :mod:`sb3_integral.experiments.report.tables`,
:mod:`sb3_integral.experiments.report.over_sizes`, :mod:`sb3_integral.experiments.report.roughness` and
:mod:`sb3_integral.experiments.report.forgetting`.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from sb3_integral import escaping
from sb3_integral.atomic import LEFTOVER
from sb3_integral.experiments.engine.stage import RECORD, Report
from sb3_integral.experiments.engine.versions import versions_of
from sb3_integral.experiments.files import REFERENCES
from sb3_integral.experiments.report import tables
from sb3_integral.experiments.report.forgetting import write_forgetting
from sb3_integral.experiments.report.load import CONFIGURATION, PROVENANCE, RUNS, TABLE, Results
from sb3_integral.experiments.report.markdown import markdown_report
from sb3_integral.experiments.report.over_sizes import OVER_SIZES, mean_over_sizes
from sb3_integral.experiments.report.plot import plot_results
from sb3_integral.experiments.report.roughness import read_roughness
from sb3_integral.experiments.report.tables import paper_table

REPORT = "report"  # name of the stage that writes it

PLOT = "reward_vs_size.png"

PACKAGES = (
    *("sb3-integral", "torch", "stable-baselines3", "sb3-contrib", "rl-zoo3", "imitation"),
    *("gymnasium", "mujoco", "numpy", "scipy"),
)
"""Packages whose versions decide the results."""


def write_report(
    folder: Path,
    report: Report,
    references_folder: Path,
    sweep_folders: Sequence[Path],
    figures_folder: Path,
    *,
    config: dict[str, Any],
    hyperparams: dict[str, Any] | None,
    columns: list[dict[str, Any]],
    tasks: Sequence[str] = (),
    learners: Sequence[dict[str, Any]] = (),
    task_references: Sequence[Path] = (),
    task_sweeps: Sequence[Path] = (),
) -> None:
    """Write the tables as CSV and Markdown, ``reward_vs_size.png``, and how they were made.

    There is a sweep per column and seed, seeds within columns. The folder of figures is that of
    ``draw_figures``. The hyperparameters are the expert's, if it was trained here; ``columns`` has the
    fields of each ``Column``. Where environments are learned one after another, there are the four
    others too, and forgetting is measured: see :func:`write_forgetting`.
    """
    all_columns = [tables.Column(**column) for column in columns]
    references = json.loads((references_folder / REFERENCES).read_text(encoding="utf-8"))
    runs = tables.read_runs(sweep_folders, all_columns, config["seeds"])
    scale = tables.score_scale(runs, all_columns, references["random"]["mean"])
    runs = tables.with_scores(runs, scale)
    table = tables.build_table(runs, all_columns, paper_table(config["env"]))
    over_sizes = mean_over_sizes(runs, all_columns)

    runs.to_csv(folder / RUNS, index=False, encoding="utf-8")
    for name, frame in ((TABLE, table), (OVER_SIZES, over_sizes)):
        escaped = frame.assign(label=frame["label"].map(escaping.csv))
        escaped.to_csv(folder / name, index=False, encoding="utf-8")
    means = {name: entry["mean"] for name, entry in references.items()}
    plot_results(folder / PLOT, [Results(config["env"], table, means)])
    provenance = {
        "seeds": {"expert": config["expert"]["seed"], "runs": config["seeds"]},
        "references": references,
        "scores": scale._asdict(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": versions_of(PACKAGES),
        "threads_per_stage": 1,
        **_stages(references_folder.parent),
    }
    if tasks:
        learned = [tables.Column(**learner) for learner in learners]
        provenance["task_references"] = write_forgetting(
            folder, task_references, task_sweeps, tasks, learned, config["seeds"]
        )
    introduction = _introduction(config, references)
    roughness = read_roughness(figures_folder)
    texts = {
        "table.md": markdown_report(table, over_sizes, scale, config["env"], introduction, roughness),
        CONFIGURATION: yaml.safe_dump({**config, "expert_hyperparams": hyperparams}, sort_keys=False),
        PROVENANCE: json.dumps(provenance, indent=2) + "\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _introduction(config: dict[str, Any], references: dict[str, Any]) -> str:
    expert, random = references["expert"], references["random"]
    baseline_episodes = config["evaluation"].get("baseline_episodes")
    of_baselines = f" ({baseline_episodes} for baselines)" if baseline_episodes else ""
    return (
        f"Expert: {expert['mean']:.1f} ± {expert['std']:.1f} over {expert['episodes']} "
        f"deterministic episodes; random actions: {random['mean']:.1f} ± {random['std']:.1f}. "
        f"Seeds {', '.join(map(str, config['seeds']))}; "
        f"{config['evaluation']['episodes']} episodes per seed and size{of_baselines}."
    )


def _stages(root: Path) -> dict[str, dict[str, Any]]:
    """Return how long each stage of an experiment took, and the versions behind it."""
    records = {
        str(record.parent.relative_to(root)): json.loads(record.read_text(encoding="utf-8"))
        for record in sorted(root.rglob(RECORD))
        if not any(map(LEFTOVER.fullmatch, record.parts)) and record.parent != root / REPORT
    }
    return {
        "stage_seconds": {name: record["seconds"] for name, record in records.items()},
        "stage_versions": {name: record.get("versions", {}) for name, record in records.items()},
    }
