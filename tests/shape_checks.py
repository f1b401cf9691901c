"""Checks the shapes in the signatures of the package whenever a test calls one of its functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from beartype import beartype

SHAPED = ("Float[", "Int[", "Bool[", "Shaped[")


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check the arguments that are annotated with a shape, and no others.

    The package raises errors of its own for arguments of a wrong type, which the tests want to see.
    """
    annotations = getattr(function, "__annotations__", {})
    shaped = {name: kind for name, kind in annotations.items() if any(s in str(kind) for s in SHAPED)}
    if not shaped or isinstance(function, type):
        return function
    function.__annotations__ = shaped
    checked: Callable[..., Any] = beartype(function)
    checked.__annotations__ = annotations
    return checked
