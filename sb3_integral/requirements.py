"""The optional parts of this library, and how to install what they need."""

from __future__ import annotations

import importlib.util

INSTALL = {
    "permutation": 'pip install "sb3-integral[permutation]"',
    "pruning": 'pip install "sb3-integral[pruning]"',
    "imitation": (
        'pip install "sb3-integral[imitation]" && pip install --no-deps imitation==1.0.1 seals==0.2.1'
    ),
    "experiments": (
        'pip install "sb3-integral[imitation,experiments,envs]" && '
        "pip install --no-deps imitation==1.0.1 seals==0.2.1"
    ),
    "ray": (
        'pip install "sb3-integral[imitation,experiments,envs,ray]" && '
        "pip install --no-deps imitation==1.0.1 seals==0.2.1"
    ),
    "minari": (
        'pip install "sb3-integral[imitation,minari]" && '
        "pip install --no-deps imitation==1.0.1 seals==0.2.1  # on Python 3.11 or newer"
    ),
    "deploy": 'pip install "sb3-integral[deploy]"',
    "torchintegral": (
        'pip install cython "setuptools<81" && '
        "pip install --no-build-isolation git+https://github.com/TheStageAI/TorchIntegral"
    ),
}
"""The command that installs each extra. imitation 1.0.1 declares a Stable-Baselines3 of 2023 but runs
on today's, so pip has to be told not to follow it. Minari's versions for older Pythons lose detail in
images. TorchIntegral is on no package index, and imports what it does not declare to build."""

INSTALLED_BY = "install with:"
"""Stands before the command in the error of :func:`require`."""


def require(extra: str, *modules: str) -> None:
    """Check that the packages of an extra are there.

    Args:
        extra: Name of the extra, a key of :data:`INSTALL`.
        modules: Names of the modules that it provides.

    Raises:
        ImportError: If one is missing, with the command that installs it.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise ImportError(
            f"this part of sb3-integral needs {', '.join(missing)}; "
            f"{INSTALLED_BY}\n    {INSTALL[extra]}",
            name=missing[0],
        )
