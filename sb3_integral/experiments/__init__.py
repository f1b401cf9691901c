"""A whole experiment, expert to table, as resumable stages of one configuration."""

from sb3_integral.requirements import require

require("experiments", "sb3_contrib", "rl_zoo3", "pandas", "pydantic", "filelock", "tabulate")
require("experiments", "altair", "vl_convert", "jinja2", "imageio", "PIL")

from sb3_integral.experiments.config.load import ConfigError, load_config  # noqa: E402
from sb3_integral.experiments.config.schema import ExperimentConfig  # noqa: E402
from sb3_integral.experiments.engine import Executor, LocalExecutor  # noqa: E402
from sb3_integral.experiments.engine.plan import Plan, Task  # noqa: E402
from sb3_integral.experiments.engine.runner import ExperimentError, run_stages, tasks_of  # noqa: E402
from sb3_integral.experiments.engine.stage import Stage  # noqa: E402
from sb3_integral.experiments.experiment import Experiment, load_experiments  # noqa: E402
from sb3_integral.experiments.forecast import Forecast, wall_seconds  # noqa: E402
from sb3_integral.experiments.report.page import PAGE  # noqa: E402
from sb3_integral.experiments.report.paper import paper_table  # noqa: E402
from sb3_integral.experiments.report.write import REPORT  # noqa: E402
from sb3_integral.experiments.stages.pipeline import build_stages, table_columns  # noqa: E402

__all__ = [
    "PAGE",
    "REPORT",
    "ConfigError",
    "Executor",
    "Experiment",
    "ExperimentConfig",
    "ExperimentError",
    "Forecast",
    "LocalExecutor",
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
