"""The output of the commands: what they found, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from sb3_integral.escaping import lines

WIDE_TERMINAL = 190  # characters of a line where no terminal says how many it has


def results_console() -> Console:
    """Return the console for results, wide where no terminal says how wide it is."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE_TERMINAL)


def note(console: Console, message: str) -> None:
    """Print a remark, in which a terminal breaks lines between words."""
    console.print(
        escape(lines(message)), style="dim", highlight=False, soft_wrap=not console.is_terminal
    )


def fail(console: Console, message: str) -> NoReturn:
    """Print what is wrong and leave with exit status 1."""
    console.print(
        f"[red]error:[/] {escape(lines(message))}", highlight=False, soft_wrap=not console.is_terminal
    )
    raise typer.Exit(1)


@contextmanager
def errors_as_messages(console: Console) -> Iterator[None]:
    """Turn errors that a user can mend into one message."""
    try:
        yield
    except (ValueError, ImportError, OSError) as error:
        fail(console, str(error))
