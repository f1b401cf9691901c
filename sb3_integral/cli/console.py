"""How the verbs say what is wrong."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape


def fail(console: Console, message: str) -> NoReturn:
    """Print what is wrong and leave with exit status 1."""
    console.print(f"[red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)
