"""MuJoCo's warnings, each of which it repeats for every environment that is made."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

SHOWN: set[str] = set()
"""What was shown in this process, or in the one that started it."""


def show_mujoco_warnings_once(shown: Iterable[str] = ()) -> None:
    """Let MuJoCo show each warning once; nothing happens where there is no MuJoCo.

    This library calls it wherever it makes environments, in each process that makes some.

    Args:
        shown: What need not be shown: :data:`SHOWN` of the process that started this one.
    """
    SHOWN.update(shown)
    _install()


def make_quietly(make: Callable[..., Any], shown: Iterable[str], *args: Any, **kwargs: Any) -> Any:
    """Make an environment in any process; see :func:`show_mujoco_warnings_once`."""
    show_mujoco_warnings_once(shown)
    return make(*args, **kwargs)


@cache
def _install() -> None:
    try:
        import mujoco
    except Exception:  # an environment that needs it says what is wrong
        return
    mujoco.set_mju_user_warning(_show)


def _show(message: str) -> None:
    if message not in SHOWN:
        SHOWN.add(message)
        print(f"MuJoCo: {message}", file=sys.stderr)
