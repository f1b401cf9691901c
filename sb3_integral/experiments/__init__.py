"""A whole experiment, expert to table, as resumable stages of one configuration."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sb3_integral.requirements import require

require("experiments", "sb3_contrib", "rl_zoo3", "pandas", "pydantic", "filelock", "tabulate")
require("experiments", "altair", "vl_convert", "jinja2", "imageio", "PIL")

if TYPE_CHECKING:
    from sb3_integral.experiments.config.load import ConfigError, load_config
    from sb3_integral.experiments.config.schema import ExperimentConfig
    from sb3_integral.experiments.engine.environment import Environment
    from sb3_integral.experiments.engine.executor import Executor
    from sb3_integral.experiments.engine.forecast import Forecast, PastStages, wall_seconds
    from sb3_integral.experiments.engine.local import LocalExecutor
    from sb3_integral.experiments.engine.plan import Plan, Task
    from sb3_integral.experiments.engine.runner import ExperimentError, run_stages, tasks_of
    from sb3_integral.experiments.engine.stage import Stage
    from sb3_integral.experiments.load import Experiment, load_experiments
    from sb3_integral.experiments.report.page import PAGE
    from sb3_integral.experiments.report.paper import paper_table
    from sb3_integral.experiments.report.write import REPORT
    from sb3_integral.experiments.stages.experiment import build_stages, table_columns

__all__ = [
    "PAGE",
    "REPORT",
    "ConfigError",
    "Environment",
    "Executor",
    "Experiment",
    "ExperimentConfig",
    "ExperimentError",
    "Forecast",
    "LocalExecutor",
    "PastStages",
    "Plan",
    "Stage",
    "Task",
    "build_stages",
    "load_config",
    "load_experiments",
    "paper_table",
    "run_stages",
    "table_columns",
    "tasks_of",
    "wall_seconds",
]

# Torch is loaded with what needs it: a mistake in a configuration is told before that.
_MODULES = {
    "config.load": ("ConfigError", "load_config"),
    "config.schema": ("ExperimentConfig",),
    "engine": (
        "Executor",
        "ExperimentError",
        "Forecast",
        "LocalExecutor",
        "PastStages",
        "Plan",
        "Stage",
        "Task",
        "run_stages",
        "tasks_of",
        "wall_seconds",
    ),
    "engine.environment": ("Environment",),
    "load": ("Experiment", "load_experiments"),
    "report.page": ("PAGE",),
    "report.paper": ("paper_table",),
    "report.write": ("REPORT",),
    "stages.experiment": ("build_stages", "table_columns"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
