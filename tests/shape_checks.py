"""Checks the shapes in the signatures of the package whenever a test calls one of its functions."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

import torch
from beartype import beartype
from jaxtyping import jaxtyped

SHAPED = ("Float[", "Int[", "Bool[", "Shaped[")


def install(packages: Iterable[str]) -> None:
    """Check shapes in all functions and methods of some packages from now on."""
    names = [
        inner.name
        for package in packages
        for inner in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
    ]
    replaced: dict[int, Any] = {}
    for name in names:
        module = importlib.import_module(name)
        for value in [*vars(module).values()]:
            if getattr(value, "__module__", None) == name:
                if isinstance(value, types.FunctionType):
                    replaced[id(value)] = check(value)
                elif isinstance(value, type):
                    _check_methods(value)
    for module in [one for name, one in sys.modules.items() if name.startswith("sb3_integral")]:
        for key, value in [*vars(module).items()]:
            if isinstance(value, types.FunctionType) and id(value) in replaced:
                setattr(module, key, replaced[id(value)])


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check the arguments that are annotated with a shape, and no others.

    The package raises errors of its own for arguments of a wrong type, which the tests want to see.
    """
    annotations = getattr(function, "__annotations__", {})
    shaped = {name: kind for name, kind in annotations.items() if any(s in str(kind) for s in SHAPED)}
    if not shaped:
        return function
    # It needs the same globals, and other annotations.
    copied = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        *_rest(function),  # type: ignore[attr-defined]
    )
    copied.__kwdefaults__, copied.__annotations__ = function.__kwdefaults__, shaped  # type: ignore[attr-defined]
    copied.__module__, copied.__qualname__ = function.__module__, function.__qualname__
    checked = jaxtyped(typechecker=beartype)(copied)

    @functools.wraps(function)
    def checked_unless_traced(*args: Any, **kwargs: Any) -> Any:
        # torch's compiler cannot read the checks.
        return (function if torch.compiler.is_compiling() else checked)(*args, **kwargs)

    return checked_unless_traced


def _rest(function: Any) -> tuple[Any, Any]:
    return function.__defaults__, function.__closure__


def _check_methods(kind: type) -> None:
    for name, value in [*vars(kind).items()]:
        if isinstance(value, types.FunctionType):
            setattr(kind, name, check(value))
        elif isinstance(value, staticmethod):
            setattr(kind, name, staticmethod(check(value.__func__)))
        elif isinstance(value, property) and isinstance(value.fget, types.FunctionType):
            setattr(kind, name, property(check(value.fget), value.fset, value.fdel, value.__doc__))
