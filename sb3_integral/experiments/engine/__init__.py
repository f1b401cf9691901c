"""Where stages are executed: in processes of this machine, or on a Ray cluster."""

from sb3_integral.experiments.engine.executor import Executor, Failure
from sb3_integral.experiments.engine.local import LocalExecutor

__all__ = ["Executor", "Failure", "LocalExecutor"]
