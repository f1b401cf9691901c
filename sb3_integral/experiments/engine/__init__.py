"""Making the stages of experiments: what is done, what is missing, and where it is made."""

from sb3_integral.experiments.engine.executor import Executor, Failure
from sb3_integral.experiments.engine.forecast import Forecast, PastStages, wall_seconds
from sb3_integral.experiments.engine.local import LocalExecutor
from sb3_integral.experiments.engine.plan import Plan, Task
from sb3_integral.experiments.engine.runner import ExperimentError, run_stages, tasks_of
from sb3_integral.experiments.engine.stage import Stage

__all__ = [
    "Executor",
    "ExperimentError",
    "Failure",
    "Forecast",
    "LocalExecutor",
    "PastStages",
    "Plan",
    "Stage",
    "Task",
    "run_stages",
    "tasks_of",
    "wall_seconds",
]
