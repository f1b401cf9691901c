"""Put the sizes of several tasks into one table and one picture.

    sb3-integral run zoo_configs/study_task_size.yml
    python scripts/task_size.py runs/study_task_size-* results/halfcheetah -o results/study_task_size

Each folder is an experiment's, or holds kept results; the INN is its first column. The stable rank is
that of the expert in an experiment's folder, which SB3 loads: take folders that you made yourself.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import yaml
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env

from sb3_integral.experiments.report.load import CONFIGURATION, load_results
from sb3_integral.experiments.report.task_size import (
    correlations,
    kept_shares,
    mean_stable_rank,
    plot_task_sizes,
    smallest_kept,
)
from sb3_integral.experiments.stages.expert import load_expert


def task(folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return the row of the table and the runs of an experiment."""
    results = load_results(folder)
    column = str(results.table["column"].iloc[0])
    runs = results.runs()
    runs = runs[runs["column"] == column]
    size = smallest_kept(kept_shares(runs, column, results.references["random"]))
    env = gym.make(results.env)
    actions = env.action_space
    n_actions = (
        int(actions.n) if isinstance(actions, spaces.Discrete) else int(np.prod(actions.shape or ()))
    )
    row = {
        "env": results.env,
        "n_observations": int(np.prod(env.observation_space.shape or ())),
        "n_actions": n_actions,
        "n_runs": runs["seed"].nunique(),
        **{"smallest": size.value, "low": size.low, "high": size.high},
        "stable_rank": _stable_rank(folder, results.folder, results.env),
    }
    return row, runs.assign(env=results.env)


def _stable_rank(folder: Path, report: Path, env_id: str) -> float:
    if not (folder / "expert").is_dir():
        return float("nan")
    config = yaml.safe_load((report / CONFIGURATION).read_text(encoding="utf-8"))
    expert = load_expert(folder / "expert", env_id, config["expert"]["algo"], make_vec_env(env_id))
    return mean_stable_rank(expert.model.policy.mlp_extractor.policy_net)  # type: ignore[operator,union-attr]


def main() -> None:
    """Read the command line, and write the table, the runs and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    rows, runs = zip(*map(task, arguments.folders), strict=True)
    table = pd.DataFrame(rows).sort_values(["smallest", "env"])
    arguments.output.mkdir(parents=True, exist_ok=True)
    all_runs = pd.concat(runs, ignore_index=True)
    all_runs.insert(0, "env", all_runs.pop("env"))
    all_runs.to_csv(arguments.output / "runs.csv", index=False)
    table.to_csv(arguments.output / "table.csv", index=False)
    found = correlations(table)
    found.to_csv(arguments.output / "correlations.csv", index=False)
    shown = found.loc[found["n_environments"] > 2, "property"].tolist()
    plot_task_sizes(arguments.output / "task_size.png", table, shown)
    print(table.to_string(index=False), found.to_string(index=False), sep="\n\n")


if __name__ == "__main__":
    main()
