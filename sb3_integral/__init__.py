"""Policies for Stable-Baselines3 whose size is chosen after training.

Importing this package makes ``policy="IntegralMlpPolicy"``, ``"IntegralCnnPolicy"`` and
``"IntegralMultiInputPolicy"`` known to every algorithm of SB3 and, where that is installed, of
sb3-contrib.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sb3_integral._version import __version__

if TYPE_CHECKING:
    from sb3_integral.deploy.compress import compress
    from sb3_integral.evaluation import ResizeSweepCallback, evaluate_resize_sweep
    from sb3_integral.policies import (
        AnySizeCallback,
        GivenSizes,
        IntegralActorCriticPolicy,
        IntegralPolicy,
        LogUniformSizes,
        PowerLawSizes,
        RandomSizeCallback,
        ResizablePolicy,
        UniformSizes,
    )

__all__ = [
    "AnySizeCallback",
    "GivenSizes",
    "IntegralActorCriticPolicy",
    "IntegralPolicy",
    "LogUniformSizes",
    "PowerLawSizes",
    "RandomSizeCallback",
    "ResizablePolicy",
    "ResizeSweepCallback",
    "UniformSizes",
    "__version__",
    "compress",
    "evaluate_resize_sweep",
]

_PACKAGES = {
    "ResizeSweepCallback": "evaluation",
    "evaluate_resize_sweep": "evaluation",
    "compress": "deploy.compress",
}
"""The packages of the names that are not of ``policies``."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    package = _PACKAGES.get(name, "policies")
    return getattr(import_module(f"{__name__}.{package}"), name)


def _is_command_line() -> bool:
    """Return whether this process is ``sb3-integral``, which answers ``--version`` without torch."""
    program = Path(getattr(sys, "argv", [""])[0]).stem
    return program == "sb3-integral" or sys.orig_argv[1:3] == ["-m", __name__]


if not _is_command_line():
    import_module(f"{__name__}.policies")  # registers the policies
