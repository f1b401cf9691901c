"""Where stages are executed: in processes of this machine, or on a Ray cluster."""

from sb3_integral.experiments.executors.local import LocalExecutor
from sb3_integral.experiments.executors.protocol import Executor, Failure

__all__ = ["Executor", "Failure", "LocalExecutor"]
